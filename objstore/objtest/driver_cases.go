package objtest

import (
	"context"
	"strings"

	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

var driverCases = []testCase{
	{
		name: "driver/chunk", contract: "Chunk returns the first chunk of an upload at or after a sequence.",
		rule: "Chunk has the bytes, the sequence, the time, and the number of chunks after it; a missing one is not_found.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			last := st.upload("u", "one", "two", "three")
			st.upload("v", "other")
			from := uint64(0)
			for after, want := range []string{"three", "two", "one"} {
				after = 2 - after
				want = []string{"one", "two", "three"}[2-after]
				c, err := d.Chunk(s.patient(), "u", from)
				s.must(err)
				if string(c.Data) != want || c.After != after || c.Sequence < from || c.Created.IsZero() {
					s.Errorf("got %+v, want %q and %d after it", c, want, after)
				}
				from = c.Sequence + 1
			}
			wantEqual(s, "the last sequence", from-1, last)
			_, err := d.Chunk(s.patient(), "u", from)
			s.wantError(err, transport.NotFound)
			_, err = d.Chunk(s.patient(), "none", 0)
			s.wantError(err, transport.NotFound)
		},
	},
	{
		name: "driver/last", contract: "Last returns the last chunk of an upload, as the leader has it.",
		rule: "Last is the newest chunk, and Count their number.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			w := d.Write("u", 0)
			for n, text := range []string{"one", "two"} {
				s.must(w.Append(s.patient(), driver.Chunk{Data: []byte(text)}))
				end, err := w.Flush(s.patient())
				s.must(err)
				c, err := d.Last(s.patient(), "u")
				s.must(err)
				if string(c.Data) != text || c.Sequence != end || c.Created.IsZero() {
					s.Errorf("got %+v, want %q at %d", c, text, end)
				}
				count, err := d.Count(s.patient(), "u")
				s.must(err)
				wantEqual(s, "Count", count, n+1)
			}
			_, err := d.Last(s.patient(), "none")
			s.wantError(err, transport.NotFound)
			count, err := d.Count(s.patient(), "none")
			s.must(err)
			wantEqual(s, "Count", count, 0)
		},
	},
	{
		name: "driver/read", contract: "Read calls yield for the chunks of an upload at or after a sequence, in order, until yield returns false.",
		rule: "Read has all chunks from a sequence on, numbered by the chunks after them.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			const n = 600
			w, other := d.Write("u", 0), d.Write("v", 0)
			for i := range n {
				s.must(w.Append(s.patient(), driver.Chunk{Data: []byte{byte(i)}}))
				s.must(other.Append(s.patient(), driver.Chunk{Data: []byte("other")}))
			}
			_, err := w.Flush(s.patient())
			s.must(err)
			_, err = other.Flush(s.patient())
			s.must(err)
			i, middle := 0, uint64(0)
			s.must(d.Read(s.patient(), "u", 0, func(c *driver.Chunk) bool {
				if len(c.Data) != 1 || c.Data[0] != byte(i) || c.After != n-1-i {
					s.Errorf("got %+v as chunk %d", c, i)
				}
				if i++; i == 300 {
					middle = c.Sequence
				}
				return !s.Failed()
			}))
			wantEqual(s, "the chunks", i, n)
			i = 0
			s.must(d.Read(s.patient(), "u", middle+1, func(c *driver.Chunk) bool {
				wantEqual(s, "the chunk", c.Data[0], byte(300+i))
				i++
				return i < 2
			}))
			wantEqual(s, "the chunks", i, 2)
		},
	},
	{
		name: "driver/uploads", contract: "Uploads returns all uploads that have chunks, in any order. It ends with an error, or is complete.",
		rule: "Uploads has hundreds of uploads, with the numbers of their chunks.",
		body: func(s *suite) {
			st := s.open()
			for i := range 300 {
				st.upload("u"+strings.Repeat("x", i), "1", "2")
			}
			all := st.uploads()
			wantEqual(s, "the uploads", len(all), 300)
			for id, n := range all {
				if n != 2 {
					s.Errorf("%s has %d chunks", id, n)
				}
			}
			for _, err := range st.driver().Uploads(s.ended()) {
				s.wantCode(err, transport.Canceled)
			}
		},
	},
	{
		name: "driver/remove", contract: "Remove deletes the chunks of an upload.",
		rule: "Remove deletes those of one upload, also if there are none.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			st.upload("u", "1", "2")
			st.upload("ux", "1")
			s.must(d.Remove(s.patient(), "u"))
			s.must(d.Remove(s.patient(), "u"))
			if all := st.uploads(); len(all) != 1 || all["ux"] != 1 {
				s.Errorf("got %v", all)
			}
		},
	},
	{
		name: "driver/truncate", contract: "Truncate deletes the last chunk of an upload, which has the given sequence. Aborted means that it is not the last one.",
		rule: "Truncate deletes the last chunk only, and the upload can be continued.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			last := st.upload("u", "1", "2", "3")
			s.wantError(d.Truncate(s.patient(), "u", last-1), transport.Aborted)
			s.wantError(d.Truncate(s.patient(), "none", last), transport.Aborted)
			s.must(d.Truncate(s.patient(), "u", last))
			s.wantError(d.Truncate(s.patient(), "u", last), transport.Aborted)
			is, err := d.Last(s.patient(), "u")
			s.must(err)
			wantEqual(s, "the last chunk", string(is.Data), "2")
			w := d.Write("u", is.Sequence)
			s.must(w.Append(s.patient(), driver.Chunk{Data: []byte("4")}))
			_, err = w.Flush(s.patient())
			s.must(err)
			wantEqual(s, "the chunks", st.uploads()["u"], 3)
		},
	},
	{
		name: "driver/discard", contract: "No Commit that is in progress or follows stores an entry with these chunks.",
		rule: "Discard removes an upload that ends as expected, and makes its Commit fail; otherwise it is aborted.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			w := d.Write("u", 0)
			s.must(w.Append(s.patient(), driver.Chunk{Data: []byte("1")}))
			s.must(w.Append(s.patient(), driver.Chunk{Data: []byte("2")}))
			last, err := w.Flush(s.patient())
			s.must(err)
			s.wantError(d.Discard(s.patient(), "u", last-1), transport.Aborted)
			s.wantError(d.Discard(s.patient(), "u", last+1), transport.Aborted)
			wantEqual(s, "the chunks", st.uploads()["u"], 2)
			s.must(d.Discard(s.patient(), "u", last))
			zero := uint64(0)
			entry := kvdriver.Write{Key: keyOf("a"), Value: []byte("{}"), Expect: &zero}
			_, err = w.Commit(s.patient(), &driver.Chunk{Data: []byte("3")}, entry)
			s.wantError(err, transport.FailedPrecondition)
			st.gone("a")
			wantEqual(s, "the uploads", len(st.uploads()), 0)
		},
	},
	{
		name: "driver/two-writers", contract: "FailedPrecondition means that another Writer has appended to the upload, or that chunks of it were removed.",
		rule: "A Writer that another one overtakes is failed_precondition, once and for all.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			last := st.upload("u", "1")
			first, second := d.Write("u", last), d.Write("u", last)
			s.must(first.Append(s.patient(), driver.Chunk{Data: []byte("2")}))
			_, err := first.Flush(s.patient())
			s.must(err)
			flush := func() error {
				if err := second.Append(s.patient(), driver.Chunk{Data: []byte("3")}); err != nil {
					return err
				}
				_, err := second.Flush(s.patient())
				return err
			}
			s.wantError(flush(), transport.FailedPrecondition)
			s.wantError(flush(), transport.FailedPrecondition)
			wantEqual(s, "the chunks", st.uploads()["u"], 2)
		},
	},
	{
		name: "driver/commit", contract: "Commit appends the last chunk, if it is not nil, and stores the entry, both or none.",
		rule: "After a Commit that is aborted, another one with the same chunk can succeed.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			st.write("a", "{}")
			w := d.Write("u", 0)
			s.must(w.Append(s.patient(), driver.Chunk{Data: []byte("1")}))
			c := &driver.Chunk{Data: []byte("2")}
			wrong := uint64(0)
			entry := kvdriver.Write{Key: keyOf("a"), Value: []byte(`{"name":"a"}`), Expect: &wrong}
			_, err := w.Commit(s.patient(), c, entry)
			s.wantError(err, transport.Aborted)
			is, err := d.Entries().Get(s.patient(), keyOf("a"), 0, true)
			s.must(err)
			wantEqual(s, "the entry", string(is.Value), "{}")
			entry.Expect = &is.Revision
			r, err := w.Commit(s.patient(), c, entry)
			s.must(err)
			now, err := d.Entries().Get(s.patient(), keyOf("a"), 0, true)
			s.must(err)
			if now.Revision != r || string(now.Value) != `{"name":"a"}` || now.Created.IsZero() {
				s.Errorf("got %+v, want revision %d", now, r)
			}
			wantEqual(s, "the chunks", st.uploads()["u"], 2)
		},
	},
	{
		name: "driver/header", contract: "Chunk is a part of an object.",
		rule: "A chunk keeps its header.",
		body: func(s *suite) {
			st := s.open()
			d := st.driver()
			w := d.Write("u", 0)
			s.must(w.Append(context.WithoutCancel(s.Context()), driver.Chunk{Data: []byte("1"), Header: transport.Header{{Name: "Part", Value: "7"}}}))
			_, err := w.Flush(s.patient())
			s.must(err)
			last, err := d.Last(s.patient(), "u")
			s.must(err)
			first, err := d.Chunk(s.patient(), "u", 0)
			s.must(err)
			wantEqual(s, "the header", last.Header.Get("Part"), "7")
			wantEqual(s, "the header", first.Header.Get("Part"), "7")
		},
	},
}
