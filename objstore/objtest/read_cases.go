package objtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing/iotest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

var readCases = []testCase{
	{
		name: "read/interfaces", contract: "It implements [io.ReadSeekCloser], [io.ReaderAt] and [io.WriterTo].",
		rule: "An object passes the tests of testing/iotest.",
		body: func(s *suite) {
			st := s.open()
			for _, n := range []int{0, 1, 10, 35, 1000} {
				st.put("a", content(n))
				if err := iotest.TestReader(st.file("a"), []byte(content(n))); err != nil {
					s.Errorf("%d bytes: %v", n, err)
				}
			}
		},
	},
	{
		name: "read/write-to", contract: "It writes the rest of the object.",
		rule: "WriteTo writes what Read and Seek have left, and returns the error of the writer.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			f := st.file("a")
			_, err := io.ReadFull(f, make([]byte, 13))
			s.must(err)
			var b bytes.Buffer
			n, err := f.WriteTo(&b)
			s.must(err)
			if n != 22 || b.String() != content(35)[13:] {
				s.Errorf("got %d bytes, %s", n, brief(b.String()))
			}
			_, err = f.Seek(0, io.SeekStart)
			s.must(err)
			if _, err = f.WriteTo(brokenWriter{}); err != errBroken {
				s.Errorf("got %v, want the error of the writer", err)
			}
		},
	},
	{
		name: "read/close", contract: "Close ends the reading. Further reads return [fs.ErrClosed].",
		rule: "After Close, Read, ReadAt, Seek and WriteTo return fs.ErrClosed.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			f := st.file("a")
			_, err := f.Read(make([]byte, 5))
			s.must(err)
			s.must(f.Close())
			s.must(f.Close())
			_, read := f.Read(make([]byte, 5))
			_, at := f.ReadAt(make([]byte, 5), 0)
			_, seek := f.Seek(0, io.SeekStart)
			_, write := f.WriteTo(io.Discard)
			for _, err := range []error{read, at, seek, write} {
				if !errors.Is(err, fs.ErrClosed) {
					s.Errorf("got %v, want fs.ErrClosed", err)
				}
			}
		},
	},
	{
		name: "read/slow", contract: "it needs no deadline, however slow the reader is.",
		rule: "A reader that takes an hour for each chunk, with a context without a deadline, gets the whole object.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(3005))
			f, err := st.Open(context.Background(), "a")
			s.must(err)
			defer f.Close()
			var got strings.Builder
			for p := make([]byte, 500); ; s.pass(time.Hour) {
				n, err := f.Read(p)
				got.Write(p[:n])
				if err == io.EOF {
					break
				}
				s.must(err)
			}
			wantEqual(s, "the content", brief(got.String()), brief(content(3005)))
		},
	},
	{
		name: "read/cancelled", contract: "ctx holds until Close",
		rule: "A read whose context has ended returns its error.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(30_000))
			ctx, cancel := context.WithCancel(s.patient())
			f, err := st.Open(ctx, "a")
			s.must(err)
			defer f.Close()
			_, err = f.Read(make([]byte, 5))
			s.must(err)
			cancel()
			_, err = readAll(f)
			st.wantError("a", err, transport.Canceled)
			_, err = f.ReadAt(make([]byte, 5), 25_000)
			st.wantError("a", err, transport.Canceled)
		},
	},
	{
		name: "read/digest", contract: "A read from the beginning to the end checks the digest before it returns the last chunk, and returns data_loss if it differs.",
		rule: "A changed content never ends with io.EOF, also if the reader reads on after the error.",
		body: func(s *suite) {
			st := s.open()
			for name, chunks := range map[string][]string{
				"changed": {content(10), "x" + content(10)[1:], "end"}, "exchanged": {"0123456789", content(10), "end"},
			} {
				st.foreign(name, func(e *driver.Entry) { e.Digest = digestOf(content(10) + "0123456789end") }, chunks...)
				f := st.file(name)
				_, err := readAll(f)
				st.wantError(name, err, transport.DataLoss, "digest")
				_, err = f.Read(make([]byte, 1))
				st.wantError(name, err, transport.DataLoss, "digest")
				_, _, err = st.ReadAll(s.patient(), name)
				st.wantError(name, err, transport.DataLoss, "digest")
			}
		},
	},
	{
		name: "read/missing-chunk", contract: "A read of a part checks the number and the sizes of the chunks.",
		rule: "Whichever chunk is missing, no read returns the bytes of another one, nor io.EOF.",
		body: func(s *suite) {
			st := s.open()
			all := content(45)
			chunks := []string{all[:10], all[10:20], all[20:30], all[30:40], all[40:]}
			for missing, name := range []string{"0", "1", "2", "3", "4"} {
				var left []string
				for i, c := range chunks {
					if i != missing {
						left = append(left, c)
					}
				}
				st.foreign(name, func(e *driver.Entry) { e.Size, e.Chunks, e.Digest = 45, 5, digestOf(all) }, left...)
				st.wantLoss(name, all)
			}
		},
	},
	{
		name: "read/truncated-chunk", contract: "A read of a part checks the number and the sizes of the chunks.",
		rule: "Whichever chunk is cut, or longer, no read ends with io.EOF.",
		body: func(s *suite) {
			st := s.open()
			all := content(25)
			for name, chunks := range map[string][]string{
				"first": {all[:9], all[10:20], all[20:]}, "middle": {all[:10], all[10:19], all[20:]}, "last": {all[:10], all[10:20], all[20:24]},
				"longer": {all[:10], all[10:20], all[20:] + "x"},
			} {
				st.foreign(name, func(e *driver.Entry) { e.Size, e.Digest = 25, digestOf(all) }, chunks...)
				_, _, err := st.ReadAll(s.patient(), name)
				st.wantError(name, err, transport.DataLoss)
			}
		},
	},
	{
		name: "read/extra-chunk", contract: "A read of a part checks the number and the sizes of the chunks.",
		rule: "An upload with more chunks than its object is data_loss.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) { e.Chunks, e.Size, e.Digest = 2, 20, digestOf(content(30)[:20]) }, content(30)[:10], content(30)[10:20], content(30)[20:])
			_, _, err := st.ReadAll(s.patient(), "a")
			st.wantError("a", err, transport.DataLoss)
		},
	},
	{
		name: "read/no-chunks", contract: "A read of a part checks the number and the sizes of the chunks.",
		rule: "An object none of whose chunks exists is data_loss.",
		body: func(s *suite) {
			st := s.open()
			st.write("a", driver.Entry{Name: "a", Upload: "none", Size: 35, Chunks: 4})
			st.wantLoss("a", content(35))
		},
	},
	{
		name: "read/concurrent", contract: "ReadAt and Info may be called concurrently with all methods",
		rule: "Concurrent ReadAts and a Read get their own bytes.",
		body: func(s *suite) {
			st := s.open()
			all := content(1005)
			st.put("a", all)
			f := st.file("a")
			s.together(8, func(i int) {
				if i == 0 {
					got, err := readAll(f)
					if err != nil || got != all {
						s.Errorf("got %s, %v", brief(got), err)
					}
					return
				}
				for at := i; at < 1000; at += 97 {
					p := make([]byte, min(25, 1005-at))
					if _, err := f.ReadAt(p, int64(at)); err != nil || string(p) != all[at:at+len(p)] {
						s.Errorf("ReadAt(%d): got %s, %v", at, brief(string(p)), err)
					}
				}
				wantEqual(s, "the size", f.Info().Size, 1005)
			})
		},
	},
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// wantLoss fails if any read of an object returns a wrong byte, or io.EOF, or no read returns
// data_loss.
func (st *store) wantLoss(name, all string) {
	st.s.Helper()
	_, _, err := st.ReadAll(st.s.patient(), name)
	st.wantError(name, err, transport.DataLoss)
	for at := range len(all) {
		f := st.file(name)
		p := make([]byte, 12)
		n, err := f.ReadAt(p, int64(at))
		st.check(name, all[at:], string(p[:n]), n == len(p), err)
		_, err = f.Seek(int64(at), io.SeekStart)
		st.s.must(err)
		got, err := readAll(f)
		st.check(name, all[at:], got, false, err)
	}
}

// check fails unless a read has got the beginning of the rest of an object, and then data_loss;
// a read of a part may succeed.
func (st *store) check(name, rest, got string, done bool, err error) {
	st.s.Helper()
	if !strings.HasPrefix(rest, got) {
		st.s.Errorf("%s: got %s, want %s", name, brief(got), brief(rest))
	}
	if done && err == nil {
		return
	}
	st.wantError(name, err, transport.DataLoss)
}

var rangeCases = []testCase{
	{
		name: "range/all", contract: "Then an offset gives the index of its chunk.",
		rule: "Every range is read by ReadAt, and by Seek and Read.",
		body: func(s *suite) {
			st := s.open()
			for _, n := range []int{1, 10, 25, 30} {
				all := content(n)
				st.put("a", all)
				f := st.file("a")
				for from := range n + 1 {
					for to := from; to <= n; to++ {
						st.wantRange(f, all, from, to)
					}
				}
			}
		},
	},
	{
		name: "range/interleaved", contract: "Otherwise the number of chunks after a sequence leads to the chunk with an index, by bisection.",
		rule: "Ranges are right if the chunks of several uploads are mixed in any way.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			const uploads, chunks = 3, 30
			var writers [uploads]driver.Writer
			for i := range writers {
				writers[i] = d.Write(string(rune('a'+i)), 0)
			}
			all := content(chunks * chunkSize)
			next := [uploads]int{}
			for n := 0; next != [uploads]int{chunks, chunks, chunks}; n++ {
				i := n * n % 7 % uploads
				if next[i] == chunks {
					i = (n / 2) % uploads
				}
				if next[i] == chunks {
					continue
				}
				s.must(writers[i].Append(s.patient(), driver.Chunk{Data: []byte(all[next[i]*chunkSize:][:chunkSize])}))
				_, err := writers[i].Flush(s.patient())
				s.must(err)
				next[i]++
			}
			for i := range writers {
				name := string(rune('a' + i))
				st.write(name, driver.Entry{Name: name, Upload: name, Size: uint64(len(all)), Chunks: chunks, Digest: digestOf(all), Options: &driver.EntryOptions{ChunkSize: chunkSize}})
				f := st.file(name)
				for from := 0; from < len(all); from += 7 {
					st.wantRange(f, all, from, min(from+13, len(all)))
				}
				st.want(name, all)
			}
		},
	},
	{
		name: "range/end", contract: "A position after the end is allowed; Read then returns io.EOF.",
		rule: "Reads at and after the end return io.EOF, and one over the end its bytes and io.EOF.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			f := st.file("a")
			for _, at := range []int64{35, 36, 1 << 40} {
				if n, err := f.ReadAt(make([]byte, 5), at); n != 0 || err != io.EOF {
					s.Errorf("ReadAt(%d): got %d, %v", at, n, err)
				}
				_, err := f.Seek(at, io.SeekStart)
				s.must(err)
				if n, err := f.Read(make([]byte, 5)); n != 0 || err != io.EOF {
					s.Errorf("Read at %d: got %d, %v", at, n, err)
				}
			}
			p := make([]byte, 20)
			if n, err := f.ReadAt(p, 28); n != 7 || err != io.EOF || string(p[:n]) != content(35)[28:] {
				s.Errorf("got %d, %v", n, err)
			}
			at, err := f.Seek(-5, io.SeekEnd)
			s.must(err)
			wantEqual(s, "the position", at, 30)
			got, err := readAll(f)
			s.must(err)
			wantEqual(s, "the end", got, content(35)[30:])
		},
	},
	{
		name: "range/invalid", contract: "Seek implements [io.Seeker].",
		rule: "A position before the beginning, another whence and a negative offset are invalid_argument.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			f := st.file("a")
			_, err := f.Seek(-1, io.SeekStart)
			st.wantError("a", err, transport.InvalidArgument, "-1")
			_, err = f.Seek(0, 3)
			st.wantError("a", err, transport.InvalidArgument, "3")
			_, err = f.ReadAt(make([]byte, 5), -2)
			st.wantError("a", err, transport.InvalidArgument, "-2")
			got, err := readAll(f)
			s.must(err)
			wantEqual(s, "the content", brief(got), brief(content(35)))
		},
	},
	{
		name: "range/back", contract: "A read from the beginning to the end checks the digest before it returns the last chunk",
		rule: "Seek back and forth during a read changes only the position.",
		body: func(s *suite) {
			st := s.open()
			all := content(105)
			st.put("a", all)
			f := st.file("a")
			for _, at := range []int64{50, 3, 3, 99, 0, 104, 10} {
				_, err := f.Seek(at, io.SeekStart)
				s.must(err)
				p := make([]byte, 12)
				n, err := io.ReadFull(f, p)
				if err != nil && err != io.ErrUnexpectedEOF || string(p[:n]) != all[at:min(at+12, 105)] {
					s.Errorf("at %d: got %s, %v", at, brief(string(p[:n])), err)
				}
				here, err := f.Seek(0, io.SeekCurrent)
				s.must(err)
				wantEqual(s, "the position", here, at+int64(n))
			}
		},
	},
}

// wantRange fails unless a range has its bytes.
func (st *store) wantRange(f *objstore.Object, all string, from, to int) {
	st.s.Helper()
	p := make([]byte, to-from)
	n, err := f.ReadAt(p, int64(from))
	if err != nil && err != io.EOF || string(p[:n]) != all[from:to] {
		st.s.Fatalf("ReadAt %d to %d of %d: got %s, %v, want %s", from, to, len(all), brief(string(p[:n])), err, brief(all[from:to]))
	}
	_, err = f.Seek(int64(from), io.SeekStart)
	st.s.must(err)
	if _, err = io.ReadFull(f, p); err != nil || string(p) != all[from:to] {
		st.s.Fatalf("Read %d to %d of %d: got %s, %v, want %s", from, to, len(all), brief(string(p)), err, brief(all[from:to]))
	}
}
