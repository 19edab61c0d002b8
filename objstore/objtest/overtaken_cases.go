package objtest

import (
	"io"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

const overtaken = "If the object is replaced or deleted meanwhile, a reader that has returned nothing reads the new one, and any other gets aborted"

// ahead is more than a reader fetches ahead.
const ahead = 20_005

var overtakenCases = []testCase{
	{
		name: "overtaken/fresh", contract: overtaken,
		rule: "A reader of a replaced object that has returned nothing reads the new one.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			st.put("a", content(35))
			got, err := readAll(f)
			s.must(err)
			wantEqual(s, "the content", brief(got), brief(content(35)))
			wantEqual(s, "the size", f.Info().Size, 35)
		},
	},
	{
		name: "overtaken/begun", contract: overtaken,
		rule: "A reader of a replaced or deleted object that has returned a part is aborted, now and later.",
		body: func(s *suite) {
			st := s.open()
			for _, end := range []func(){func() { st.put("a", content(ahead+1)) }, func() { st.delete("a") }} {
				st.put("a", content(ahead))
				f := st.file("a")
				_, err := io.ReadFull(f, make([]byte, 5))
				s.must(err)
				end()
				got, err := readAll(f)
				st.wantError("a", err, transport.Aborted)
				if got != content(ahead)[5:5+len(got)] {
					s.Error("the reader got a mixture")
				}
				_, err = f.Read(make([]byte, 5))
				st.wantError("a", err, transport.Aborted)
			}
		},
	},
	{
		name: "overtaken/deleted", contract: overtaken,
		rule: "A reader of a deleted object that has returned nothing gets not_found.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			st.delete("a")
			_, err := readAll(f)
			st.wantError("a", err, transport.NotFound)
		},
	},
	{
		name: "overtaken/read-at", contract: "it never returns a mixture.",
		rule: "After a ReadAt has returned bytes of the old object, no method returns any of the new one.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			_, err := f.ReadAt(make([]byte, 5), 30)
			s.must(err)
			st.put("a", content(ahead+1))
			_, err = readAll(f)
			st.wantError("a", err, transport.Aborted)
			_, err = f.ReadAt(make([]byte, 5), 0)
			st.wantError("a", err, transport.Aborted)
		},
	},
	{
		name: "overtaken/fresh-read-at", contract: overtaken,
		rule: "A ReadAt of a replaced object, from which nothing was returned, reads the new one.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			st.put("a", content(ahead+1))
			st.wantRange(f, content(ahead+1), 15, 45)
		},
	},
	{
		name: "overtaken/sized", contract: "it never returns a mixture.",
		rule: "After a Seek has returned the size of the old object, no method returns bytes of the new one.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			_, err := f.Seek(0, io.SeekEnd)
			s.must(err)
			_, err = f.Seek(0, io.SeekStart)
			s.must(err)
			st.put("a", content(ahead+1))
			_, err = readAll(f)
			st.wantError("a", err, transport.Aborted)
		},
	},
	{
		name: "overtaken/described", contract: overtaken,
		rule: "An Update and a Rename disturb no reader.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			_, err := f.Read(make([]byte, 5))
			s.must(err)
			_, err = st.Update(s.patient(), "a", func(is *objstore.Info) error { is.Description = "d"; return nil })
			s.must(err)
			_, err = st.Rename(s.patient(), "a", "b")
			s.must(err)
			_, err = f.Seek(0, io.SeekStart)
			s.must(err)
			got, err := readAll(f)
			s.must(err)
			wantEqual(s, "the content", brief(got), brief(content(ahead)))
		},
	},
	{
		name: "overtaken/store", contract: overtaken,
		rule: "A reader whose store is deleted and created again is aborted, or gets not_found if it has returned nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			begun, fresh := st.file("a"), st.file("a")
			_, err := begun.Read(make([]byte, 5))
			s.must(err)
			s.must(objstore.DeleteStore(s.patient(), s.tr, st.name))
			st.again()
			_, err = readAll(begun)
			st.wantError("a", err, transport.Aborted)
			_, err = readAll(fresh)
			st.wantError("a", err, transport.NotFound)
			_, err = st.ReadAt(s, "a")
			st.wantError("a", err, transport.NotFound)
		},
	},
	{
		name: "overtaken/no-store", contract: overtaken,
		rule: "A reader whose store is deleted gets an error, and no end.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			f := st.file("a")
			s.must(objstore.DeleteStore(s.patient(), s.tr, st.name))
			_, err := readAll(f)
			st.wantError("a", err, transport.NotFound)
		},
	},
}

// ReadAt opens an object, and reads its beginning.
func (st *store) ReadAt(s *suite, name string) (int, error) {
	f, err := st.Open(s.patient(), name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(make([]byte, 1), 0)
}
