package objtest

import (
	"context"
	"errors"
	"strings"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

var errorCases = []testCase{
	{
		name: "error/ended-context", contract: "contextError returns an error if ctx has ended before anything was sent.",
		rule: "With a context that has ended, every method does nothing and returns its error.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			ctx, cancel := context.WithDeadline(s.Context(), time.Unix(1, 0))
			defer cancel()
			for method, err := range st.all(ctx) {
				if st.wantError("", err, transport.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
					s.Errorf("%s returns %v, not the error of the context", method, err)
				}
			}
			st.want("a", content(35))
			st.wantList("a")
		},
	},
	{
		name: "error/closed-transport", contract: "While the backend is disconnected or closed, methods that send one request return Unavailable with OutcomeNotDone.",
		rule: "On a closed Transport every method is unavailable and has no effect, with the name of the store.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			tr := s.connect()
			closed := &store{s.connectAs(tr, st.name, objstore.Existing()), s, st.name}
			f, err := closed.Open(s.patient(), "a")
			s.must(err)
			s.close(tr)
			for method, err := range closed.all(s.patient()) {
				if st.wantError("", err, transport.Unavailable); err == nil {
					s.Errorf("%s succeeds", method)
				}
			}
			_, err = readAll(f)
			st.wantError("a", err, transport.Unavailable)
			s.wantError(objstore.DeleteStore(s.patient(), tr, st.name), transport.Unavailable)
			for _, err := range objstore.Stores(s.patient(), tr) {
				s.wantError(err, transport.Unavailable)
			}
			st.want("a", content(35))
			st.wantList("a")
		},
	},
	{
		name: "error/long-name", contract: "A long name is cut.",
		rule: "A long name is cut in errors, with its length.",
		body: func(s *suite) {
			st := s.open()
			_, err := st.Stat(s.patient(), strings.Repeat("n", 500))
			st.wantError("", err, transport.NotFound, "nnn", "500 bytes")
			if len(err.Error()) > 400 {
				s.Errorf("the error has %d bytes", len(err.Error()))
			}
		},
	},
	{
		name: "error/no-stores", contract: "backendOf returns the stores of a transport.",
		rule: "A transport without stores is unimplemented.",
		body: func(s *suite) {
			plain := struct{ transport.Transport }{s.tr}
			_, err := objstore.Connect(s.patient(), plain, objstore.NewStore("a"))
			s.wantError(err, transport.Unimplemented)
			s.wantError(objstore.DeleteStore(s.patient(), plain, "a"), transport.Unimplemented)
			for _, err := range objstore.Stores(s.patient(), plain) {
				s.wantError(err, transport.Unimplemented)
			}
		},
	},
}

// all calls each method of the store, and returns the errors.
func (st *store) all(ctx context.Context) map[string]error {
	st.s.Helper()
	all := st.changes(ctx)
	_, all["Stat"] = st.Stat(ctx, "a")
	_, all["Open"] = st.Open(ctx, "a")
	_, _, all["ReadAll"] = st.ReadAll(ctx, "a")
	_, all["Status"] = st.Status(ctx)
	all["Seal"] = st.Seal(ctx)
	for _, err := range st.List(ctx) {
		all["List"] = err
	}
	return all
}

// changes calls each method that changes objects, and returns the errors.
func (st *store) changes(ctx context.Context) map[string]error {
	st.s.Helper()
	all := map[string]error{"Delete": st.Delete(ctx, "a")}
	_, all["Put"] = st.PutBytes(ctx, "b", []byte(content(35)))
	_, all["Put of one chunk"] = st.PutBytes(ctx, "b", []byte("1"))
	_, all["Put of nothing"] = st.PutBytes(ctx, "b", nil)
	_, all["Put of another"] = st.PutBytes(ctx, "a", []byte(content(35)))
	_, all["Copy"] = st.Copy(ctx, "a", "b")
	_, all["Rename"] = st.Rename(ctx, "a", "b")
	_, all["Update"] = st.Update(ctx, "a", func(is *objstore.Info) error { is.Description = "d"; return nil })
	_, all["Sweep"] = st.Sweep(ctx, 0)
	return all
}
