package objtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing/iotest"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
}

var putCases = []testCase{
	{
		name: "put/get", contract: "Put stores an object with the content of r, and replaces the one with the same name.",
		rule: "What was put is read again, with its size, digest, revision and time.",
		body: func(s *suite) {
			st := s.open()
			is := st.put("a", content(35))
			got := st.want("a", content(35))
			if is.Digest != digestOf(content(35)) || got.Digest != is.Digest || got.Revision != is.Revision || got.Modified.IsZero() {
				s.Errorf("got %+v, put %+v", got, is)
			}
			st.gone("b")
		},
	},
	{
		name: "put/sizes", contract: "All chunks but the last have the maximum size",
		rule: "An object has as many chunks as its size needs, whatever the size.",
		body: func(s *suite) {
			st := s.open()
			for _, n := range []int{0, 1, 9, 10, 11, 20, 21, 1000} {
				st.put("a", content(n))
				st.want("a", content(n))
				wantEqual(s, "the chunks", int(st.entry("a").Chunks), (n+chunkSize-1)/chunkSize)
				st.wantClean()
			}
		},
	},
	{
		name: "put/small-reads", contract: "All chunks but the last have the maximum size",
		rule: "A reader that returns a few bytes at a time makes no small chunks.",
		body: func(s *suite) {
			st := s.open()
			_, err := st.Put(s.patient(), "a", iotest.OneByteReader(strings.NewReader(content(35))))
			s.must(err)
			st.want("a", content(35))
			wantEqual(s, "the chunks", int(st.entry("a").Chunks), 4)
			st.wantClean()
		},
	},
	{
		name: "put/replace", contract: "Put stores an object with the content of r, and replaces the one with the same name.",
		rule: "Of a replaced object no chunk is left.",
		body: func(s *suite) {
			st := s.open()
			first := st.put("a", content(100))
			second := st.put("a", content(30))
			if second.Revision <= first.Revision {
				s.Errorf("revision %d follows %d", second.Revision, first.Revision)
			}
			st.want("a", content(30))
			st.put("a", "")
			st.want("a", "")
			st.wantClean()
			wantEqual(s, "the uploads", len(st.uploads()), 0)
		},
	},
	{
		name: "put/description", contract: "Header sets a header of an object. Names are canonical, as in net/textproto.",
		rule: "Description, content type, headers and metadata are those of the last Put.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "1", objstore.Description("d"), objstore.ContentType("text/plain"), objstore.Header("x-a", "1"), objstore.Metadata("k", "v"))
			is := st.want("a", "1")
			if is.Description != "d" || is.ContentType != "text/plain" || !maps.Equal(is.Header, map[string]string{"X-A": "1"}) || !maps.Equal(is.Metadata, map[string]string{"k": "v"}) {
				s.Errorf("got %+v", is)
			}
			st.put("a", "2")
			if is := st.want("a", "2"); is.Description != "" || is.ContentType != "" || is.Header != nil || is.Metadata != nil {
				s.Errorf("got %+v after a Put without a description", is)
			}
		},
	},
	{
		name: "put/format", contract: "Entry is the JSON of an entry. It is ADR-20's, which the clients of NATS share.",
		rule: "The entry has the name, the store, the upload, the size, the digest, the chunks and their maximum size.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			e := st.entry("a")
			want := driver.Entry{
				Name: "a", Bucket: st.name, Upload: e.Upload, Size: 35, Chunks: 4, Digest: digestOf(content(35)),
				Options: e.Options, Modified: e.Modified,
			}
			if e.Name != want.Name || e.Bucket != want.Bucket || e.Size != want.Size || e.Chunks != want.Chunks || e.Digest != want.Digest ||
				e.Deleted || e.Options == nil || e.Options.ChunkSize != chunkSize || st.uploads()[e.Upload] != 4 {
				s.Errorf("got %+v, want %+v", e, want)
			}
		},
	},
	{
		name: "put/names", contract: "MaxName is the maximum length of the name of an object, in bytes.",
		rule: "Any valid UTF-8 of 1 to MaxName bytes is a name.",
		body: func(s *suite) {
			st := s.open()
			names := []string{"a", "a/b.pdf", "*", ">", ".", "..", " ", "a b", "é☃", "\x00\n", "=", strings.Repeat("n", objstore.MaxName)}
			for _, name := range names {
				st.put(name, name)
			}
			for _, name := range names {
				st.want(name, name)
			}
			s.settle(func() bool { return len(st.list()) == len(names) })
			wantEqual(s, "the objects", len(st.list()), len(names))
			for _, bad := range []string{"", "\xff", strings.Repeat("n", objstore.MaxName+1)} {
				_, err := st.PutBytes(s.patient(), bad, nil)
				st.wantError("", err, transport.InvalidArgument, "the name")
				_, err = st.Stat(s.patient(), bad)
				st.wantError("", err, transport.InvalidArgument, "the name")
			}
		},
	},
	{
		name: "put/progress", contract: "Progress calls f on the goroutine of the Put whenever more bytes were sent, and at the end.",
		rule: "The bytes increase, and the last call has the size.",
		body: func(s *suite) {
			st := s.open()
			var calls []int64
			st.put("a", content(35), objstore.Progress(func(done int64) { calls = append(calls, done) }))
			for i, done := range calls {
				if i > 0 && done <= calls[i-1] {
					s.Errorf("%d follows %d", done, calls[i-1])
				}
			}
			if len(calls) != 4 || calls[3] != 35 {
				s.Errorf("got the calls %v", calls)
			}
		},
	},
	{
		name: "put/whole", contract: "The object is stored as a whole: until Put returns, readers see the old one.",
		rule: "Readers see the old object while a Put is in progress, and no object where there was none.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "before")
			first, second := st.begin(s.patient(), "a", content(95)), st.begin(s.patient(), "b", content(95))
			st.want("a", "before")
			st.gone("b")
			st.wantList("a")
			s.must(first.end(io.EOF))
			s.must(second.end(io.EOF))
			st.want("a", content(95))
			st.want("b", content(95))
			st.wantClean()
		},
	},
	{
		name: "put/many-chunks", contract: "It fetches ahead at most about a megabyte.",
		rule: "An object of thousands of chunks is read as a whole.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(30_005))
			st.want("a", content(30_005))
			st.delete("a")
			st.wantClean()
		},
	},
	{
		name: "put/large-chunks", contract: "At most the payload limit of the transport, less a kilobyte, is used.",
		rule: "Chunks are as large as a payload allows.",
		body: func(s *suite) {
			limit := s.tr.Capabilities().MaxPayload
			if limit == 0 || limit > 4<<20 {
				return // nothing limits a chunk
			}
			st := s.open(objstore.ChunkSize(1 << 30))
			all := content(limit + 100)
			st.put("a", all)
			wantEqual(s, "the chunks", int(st.entry("a").Chunks), 2)
			st.want("a", all)
			part := make([]byte, 300)
			_, err := st.file("a").ReadAt(part, int64(limit-1100))
			s.must(err)
			if string(part) != all[limit-1100:limit-800] {
				s.Error("the range over two chunks has other bytes")
			}
		},
	},
}

var errBroken = errors.New("broken")

// panicAt is a Progress that panics when a number of bytes is done.
func panicAt(n int64) objstore.PutOption {
	return objstore.Progress(func(done int64) {
		if done == n {
			panic("oh")
		}
	})
}

var failedPutCases = []testCase{
	{
		name: "put/reader-fails", contract: "An error of r has the code unknown.",
		rule: "A reader that fails half-way leaves the object as it was, and no chunk.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "before")
			for _, n := range []int{0, 5, 10, 95} {
				r := io.MultiReader(strings.NewReader(content(n)), iotest.ErrReader(errBroken))
				_, err := st.Put(s.patient(), "a", r)
				st.wantError("a", err, transport.Unknown)
				if !errors.Is(err, errBroken) {
					s.Errorf("got %v, want the error of the reader", err)
				}
			}
			st.want("a", "before")
			st.wantClean()
		},
	},
	{
		name: "put/reader-panics", contract: "A panic of r is an error.",
		rule: "A reader that panics half-way leaves nothing.",
		body: func(s *suite) {
			st := s.open()
			_, err := st.Put(s.patient(), "a", io.MultiReader(strings.NewReader(content(50)), readerFunc(func([]byte) (int, error) { panic("oh") })))
			st.wantError("a", err, transport.Unknown, "oh")
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "put/progress-panics", contract: "If f panics, the Put ends with the code internal",
		rule: "A Progress that panics at any chunk leaves nothing. At the end, the object is stored. An upload keeps its bytes.",
		body: func(s *suite) {
			st := s.open()
			for at := int64(10); at <= 95; at += 10 {
				_, err := st.PutBytes(s.patient(), "a", []byte(content(95)), panicAt(at))
				st.wantError("a", err, transport.Internal, "Progress", "oh")
				st.gone("a")
				st.wantClean()
			}
			st.put("a", "before")
			_, err := st.PutBytes(s.patient(), "a", []byte(content(95)), panicAt(95))
			s.wantCode(err, transport.Internal)
			st.want("a", content(95))
			st.wantClean()
			u, err := st.Begin(s.patient(), "b", hour, panicAt(50))
			s.must(err)
			n, err := u.Append(s.patient(), strings.NewReader(content(95)))
			st.wantError("b", err, transport.Internal, "Progress", "oh")
			wantEqual(s, "the bytes", n, 50)
			_, err = u.Append(s.patient(), strings.NewReader(content(95)[50:]))
			s.must(err)
			_, err = u.Finish(s.patient())
			s.must(err)
			st.want("b", content(95))
		},
	},
	{
		name: "put/goroutine-ends", contract: "After an error nothing is left of the content",
		rule: "A Progress that ends its goroutine leaves nothing.",
		body: func(s *suite) {
			st := s.open()
			s.together(1, func(int) {
				_, _ = st.PutBytes(s.patient(), "a", []byte(content(95)), objstore.Progress(func(done int64) {
					if done == 50 {
						runtime.Goexit()
					}
				}))
			})
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "put/declared-size", contract: "Size declares the number of bytes of the content. A Put of more or fewer is invalid_argument, and stores nothing.",
		rule: "Of a content with another size than the declared one nothing is left.",
		body: func(s *suite) {
			st := s.open()
			for _, declared := range []int64{0, 34, 36, 1000} {
				_, err := st.PutBytes(s.patient(), "a", []byte(content(35)), objstore.Size(declared))
				st.wantError("a", err, transport.InvalidArgument)
			}
			_, err := st.PutBytes(s.patient(), "a", nil, objstore.Size(-1))
			st.wantError("a", err, transport.InvalidArgument)
			st.gone("a")
			st.wantClean()
			st.put("a", content(35), objstore.Size(35))
			st.want("a", content(35))
		},
	},
	{
		name: "put/cancelled", contract: "After an error nothing is left of the content",
		rule: "A Put that is cancelled after any chunk leaves the object as it was, and no chunk.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "before")
			for at := range 9 {
				ctx, cancel := context.WithCancel(s.patient())
				n := 0
				_, err := st.PutBytes(ctx, "a", []byte(content(95)), objstore.Progress(func(int64) {
					if n++; n == at+1 {
						cancel()
					}
				}))
				st.wantError("a", err, transport.Canceled)
				cancel()
			}
			st.want("a", "before")
			st.wantClean()
		},
	},
	{
		name: "put/cancelled-at-the-end", contract: "After an error nothing is left of the content",
		rule: "A Put that is cancelled while it waits for the last acknowledgements stores all, or leaves nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "before")
			ctx, cancel := context.WithCancel(s.patient())
			end := readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF })
			_, err := st.Put(ctx, "a", io.MultiReader(strings.NewReader(content(95)), end))
			s.wantCode(err, transport.Canceled)
			st.want("a", "before")
			st.wantClean()
		},
	},
	{
		name: "put/cancelled-slow", contract: "After an error nothing is left of the content",
		rule: "A Put whose context ends while its reader blocks leaves nothing.",
		body: func(s *suite) {
			st := s.open()
			ctx, cancel := context.WithCancel(s.patient())
			p := st.begin(ctx, "a", content(95))
			cancel()
			st.wantError("a", p.end(io.EOF), transport.Canceled)
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "put/large-description", contract: "After an error nothing is left of the content",
		rule: "A description that no message can carry is refused, and nothing is left.",
		body: func(s *suite) {
			limit := s.tr.Capabilities().MaxPayload
			if limit == 0 {
				return
			}
			st := s.open()
			_, err := st.PutBytes(s.patient(), "a", []byte(content(95)), objstore.Description(strings.Repeat("d", limit+1)))
			st.wantError("a", err, transport.InvalidArgument)
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "put/bad-options", contract: "invalid returns the error for an argument that is wrong in any state of the store.",
		rule: "An invalid option is invalid_argument, and nothing is stored.",
		body: func(s *suite) {
			st := s.open()
			for text, option := range map[string]objstore.PutOption{
				"header": objstore.Header("a b", "1"), "header ": objstore.Header("A", "1\r\nB: 2"), "header  ": objstore.ContentType("a\nb"),
				"ChunkSize": objstore.ChunkSize(0), "TTL": objstore.TTL(1), "IfRevision": objstore.IfRevision(0), "IfDigest": objstore.IfDigest("x"), "nil": nil,
			} {
				_, err := st.PutBytes(s.patient(), "a", []byte("1"), option)
				st.wantError("a", err, transport.InvalidArgument, strings.TrimSpace(text))
			}
			st.gone("a")
		},
	},
	{
		name: "put/retry", contract: "It needs memory for two chunks, whatever the size.",
		rule: "The bytes that are given belong to the caller again when Put returns.",
		body: func(s *suite) {
			st := s.open()
			b := bytes.Repeat([]byte("1"), 35)
			_, err := st.PutBytes(s.patient(), "a", b)
			s.must(err)
			copy(b, bytes.Repeat([]byte("2"), 35))
			st.want("a", strings.Repeat("1", 35))
		},
	},
}
