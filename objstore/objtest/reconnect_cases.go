package objtest

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport"
)

// near opens a store over the line that the case cuts.
func (st *store) near() *store {
	st.s.Helper()
	return &store{st.s.connectAs(st.s.line.Transport, st.name, objstore.ChunkSize(chunkSize)), st.s, st.name}
}

// cutting is a reader that loses the connection when it has given so many bytes.
type cutting struct {
	s    *suite
	rest io.Reader
	at   int
	mend bool
}

func (c *cutting) Read(p []byte) (int, error) {
	if c.at == 0 {
		c.s.line.Cut()
		if c.mend {
			c.s.line.Mend()
		}
	}
	if c.at > 0 {
		p = p[:min(len(p), c.at)]
	}
	n, err := c.rest.Read(p)
	c.at -= n
	if n == 0 {
		c.at = -1
	}
	return n, err
}

// outcome reports whether an error, or nil, means that a write may have and may lack an effect.
func outcome(err error) (may, mayNot bool) {
	e, ok := errors.AsType[*transport.Error](err)
	return err == nil || ok && e.Outcome == transport.OutcomeUnknown, err != nil
}

var reconnectCases = []testCase{
	{
		name: "reconnect/put", contract: "An object is whole, or not there.",
		rule: "A Put whose connection is lost replaces the object or does not, as its error reports, and Sweep removes what it left.",
		body: func(s *suite) {
			st := s.open()
			near := st.near()
			for i, at := range []int{0, 5, 10, 95, 500, 995, 1000} {
				before, after := content(100+i), content(1000+i)
				st.put("a", before)
				for _, mend := range []bool{true, false} {
					ctx, cancel := context.WithCancel(s.patient())
					if !mend {
						time.AfterFunc(50*time.Millisecond, cancel)
					}
					_, err := near.Put(ctx, "a", &cutting{s, strings.NewReader(after), at, mend})
					cancel()
					s.line.Mend()
					got, _, failed := st.ReadAll(s.patient(), "a")
					s.must(failed)
					may, mayNot := outcome(err)
					if string(got) == after && !may || string(got) == before && !mayNot || string(got) != before && string(got) != after {
						s.Errorf("Put that lost its connection after %d bytes: %v, and the object is %s", at, err, brief(string(got)))
					}
				}
			}
			realtime.Until(s, "Sweep has removed what was left", func() bool {
				_, err := near.Sweep(s.patient(), 0)
				return err == nil
			})
			st.wantClean()
		},
	},
	{
		name: "reconnect/upload", contract: "Resume continues an upload, by the token",
		rule: "An upload that loses its connection in each phase continues where its bytes end, and has the right digest.",
		body: func(s *suite) {
			st := s.open()
			near := st.near()
			for i, at := range []int{0, 5, 10, 95, 250} {
				want := content(300 + i)
				u, err := near.Begin(s.patient(), "a", time.Hour, objstore.Size(int64(len(want))))
				s.must(err)
				token := u.Token()
				n, err := u.Append(s.patient(), strings.NewReader(want[:20+i]))
				s.must(err)
				wantEqual(s, "the stored bytes", n, int64(20+i))
				_, _ = u.Append(s.patient(), &cutting{s, strings.NewReader(want[n:]), at, true})
				var is objstore.Info
				realtime.Until(s, "the upload is finished", func() bool {
					u, err = near.Resume(s.patient(), token)
					if err == nil && u.Offset() < n {
						s.Fatalf("the upload continues at %d, after %d bytes were stored", u.Offset(), n)
					}
					if err == nil {
						_, err = u.Append(s.patient(), strings.NewReader(want[u.Offset():]))
					}
					if err == nil {
						is, err = u.Finish(s.patient())
					}
					return err == nil
				})
				wantEqual(s, "the digest", is.Digest, digestOf(want))
				st.want("a", want)
			}
			st.wantClean()
		},
	},
	{
		name: "reconnect/read", contract: "it never returns a mixture.",
		rule: "A read whose connection is lost has the whole content, or ends with unavailable. Reads succeed afterwards.",
		body: func(s *suite) {
			st := s.open()
			want := content(3000)
			st.put("a", want)
			near := st.near()
			for _, at := range []int{0, 1, 1500, 2999} {
				f, err := near.Open(s.patient(), "a")
				s.must(err)
				part := make([]byte, at)
				_, err = io.ReadFull(f, part)
				s.must(err)
				s.line.Cut()
				s.line.Mend()
				rest, err := readAll(f)
				if got := string(part) + rest; err == nil && got != want || !strings.HasPrefix(want, got) {
					s.Errorf("a read that lost its connection after %d bytes has %d of %d bytes, %v", at, len(got), len(want), err)
				}
				if err != nil {
					s.wantCode(err, transport.Unavailable)
				}
				s.must(f.Close())
				realtime.Until(s, "a read succeeds", func() bool {
					got, _, err := near.ReadAll(s.patient(), "a")
					return err == nil && string(got) == want
				})
			}
		},
	},
	{
		name: "reconnect/writes", contract: "unavailable for a lost connection",
		rule: "Without a connection, Delete, Rename and Update are unavailable, in the end with no effect; afterwards they work.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(25))
			near := st.near()
			for what, do := range map[string]func(context.Context) error{
				"Update": func(ctx context.Context) error {
					_, err := near.Update(ctx, "a", func(is *objstore.Info) error { is.Description = "new"; return nil })
					return err
				},
				"Rename": func(ctx context.Context) error { _, err := near.Rename(ctx, "a", "b"); return err },
				"Delete": func(ctx context.Context) error { return near.Delete(ctx, "a") },
			} {
				s.line.Cut()
				realtime.Until(s, what+" is refused", func() bool {
					ctx, cancel := context.WithTimeout(s.Context(), time.Second)
					defer cancel()
					err := do(ctx)
					if err == nil {
						s.Fatalf("%s succeeds without a connection", what)
					}
					may, _ := outcome(err)
					return !may && transport.CodeOf(err) == transport.Unavailable
				})
				s.line.Mend()
			}
			st.want("a", content(25))
			realtime.Until(s, "Delete succeeds", func() bool { return near.Delete(s.patient(), "a") == nil })
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "reconnect/listing", contract: "A listing is complete, or ends with an error.",
		rule: "A listing whose connection is lost is complete, or ends with an error.",
		body: func(s *suite) {
			st := s.open()
			for i := range 300 {
				st.put(strconv.Itoa(i), "")
			}
			near := st.near()
			for _, at := range []int{0, 1, 150} {
				n := 0
				var last error
				for _, err := range near.List(s.patient()) {
					if last = err; err == nil {
						n++
					}
					if n == at+1 {
						s.line.Cut()
						s.line.Mend()
					}
				}
				if last == nil && n != 300 {
					s.Errorf("a listing has %d of 300 objects and no error", n)
				}
			}
		},
	},
	{
		name: "reconnect/watch", contract: "Each change comes once, also over lost connections, servers and leaders",
		rule: "Each change that was made while the connection was lost comes once, in order.",
		body: func(s *suite) {
			st := s.open()
			near := st.near()
			ctx, cancel := context.WithCancel(s.patient())
			defer cancel()
			events := make(chan string, 100)
			go func() {
				for e, err := range near.Watch(ctx) {
					if err != nil {
						if ctx.Err() == nil {
							s.Error(err)
						}
						return
					}
					events <- strconv.Itoa(int(e.Kind)) + e.Name
				}
			}()
			want := func(kind objstore.EventKind, name string) {
				select {
				case got := <-events:
					wantEqual(s, "the event", got, strconv.Itoa(int(kind))+name)
				case <-ctx.Done():
					s.Fatalf("no event of %q", name)
				}
			}
			want(objstore.EventCurrent, "")
			for i := range 5 {
				n := strconv.Itoa(i)
				s.line.Cut()
				st.put("a"+n, n)
				st.put("b"+n, n)
				st.delete("b" + n)
				s.line.Mend()
				st.put("c"+n, n)
				want(objstore.EventPut, "a"+n)
				want(objstore.EventDelete, "b"+n)
				want(objstore.EventPut, "c"+n)
			}
		},
	},
}
