package objtest

import (
	"fmt"
	"io"
	"strings"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

var foreignCases = []testCase{
	{
		name: "foreign/uneven-chunks", contract: "Otherwise, which other clients can cause, an object is",
		rule: "Ranges of an object with uneven chunks are right, whatever its maximum chunk size.",
		body: func(s *suite) {
			st := s.open()
			all := content(38)
			chunks := []string{all[:10], all[10:11], all[11:19], all[19:29], all[29:38]}
			for i, size := range []uint32{10, 0, 1 << 31} {
				name := fmt.Sprint(i)
				st.foreign(name, func(e *driver.Entry) { e.Options.ChunkSize = size }, chunks...)
				st.want(name, all)
				f := st.file(name)
				for from := range 38 {
					st.wantRange(f, all, from, min(from+12, 38))
				}
			}
		},
	},
	{
		name: "foreign/lying-chunk-size", contract: "no chunk is larger than the maximum",
		rule: "An object with chunks over its maximum size gives no wrong bytes.",
		body: func(s *suite) {
			st := s.open()
			all := content(25)
			st.foreign("a", nil, all[:10], all[10:22], all[22:])
			f := st.file("a")
			for from := range 25 {
				p := make([]byte, 5)
				n, err := f.ReadAt(p, int64(from))
				if string(p[:n]) != all[from:][:n] {
					s.Errorf("at %d: got %s, %v", from, brief(string(p[:n])), err)
				}
			}
		},
	},
	{
		name: "foreign/plain", contract: "Entry is the JSON of an entry.",
		rule: "An entry without digest, options and headers is an object, and its mtime does not count.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) {
				e.Digest, e.Options, e.Modified = "", nil, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
			}, content(35))
			is := st.want("a", content(35))
			if is.Modified.Year() == 1999 || is.Digest != "" {
				s.Errorf("got %+v", is)
			}
			_, err := st.Copy(s.patient(), "a", "b")
			s.must(err)
			wantEqual(s, "the digest", st.want("b", content(35)).Digest, digestOf(content(35)))
			_, err = st.Rename(s.patient(), "a", "c")
			s.must(err)
			st.want("c", content(35))
			st.put("c", "1")
			st.wantClean()
		},
	},
	{
		name: "foreign/headers", contract: "of the user, by canonical names (see net/textproto); not the content type",
		rule: "Headers of other programs have canonical names, and their values are joined.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) {
				e.Headers = map[string][]string{"content-type": {"text/plain"}, "x-a": {"1", "2"}, "x-none": {}}
			}, "1")
			if is := st.stat("a"); is.ContentType != "text/plain" || len(is.Header) != 1 || is.Header["X-A"] != "1, 2" {
				s.Errorf("got %+v", is)
			}
		},
	},
	{
		name: "foreign/digest", contract: "Other clients write it with or without padding.",
		rule: "A digest without padding is checked, and one of another kind is data_loss.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) { e.Digest = strings.TrimRight(e.Digest, "=") }, content(10))
			st.want("a", content(10))
			for i, digest := range []string{"SHA-256=", "MD5=x", "SHA-256=!", "x", digestOf("y")} {
				name := fmt.Sprint(i)
				st.foreign(name, func(e *driver.Entry) { e.Digest = digest }, content(10))
				_, _, err := st.ReadAll(s.patient(), name)
				st.wantError(name, err, transport.DataLoss, "digest")
			}
		},
	},
	{
		name: "foreign/malformed", contract: "all others are returned, or the iteration ends with an error.",
		rule: "An entry that cannot be understood is data_loss; List continues after it, and Delete removes it.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "1")
			bad := []string{"{", "null null", `[]`, `"text"`, `{"size":-1}`, `{"size":18446744073709551615,"nuid":"u"}`, `{"chunks":1e9}`, `{"size":5,"chunks":0,"nuid":"u"}`}
			for i, value := range bad {
				st.write(fmt.Sprint(i), value)
			}
			listed, failed := 0, 0
			for is, err := range st.List(s.patient()) {
				if err != nil {
					st.wantError(is.Name, err, transport.DataLoss)
					failed++
				} else {
					wantEqual(s, "the name", is.Name, "a")
					listed++
				}
			}
			if listed != 1 || failed != len(bad) {
				s.Errorf("List has %d objects and %d errors, want 1 and %d", listed, failed, len(bad))
			}
			for i := range bad {
				name := fmt.Sprint(i)
				_, err := st.Stat(s.patient(), name)
				st.wantError(name, err, transport.DataLoss)
				_, err = st.Open(s.patient(), name)
				st.wantError(name, err, transport.DataLoss)
				st.delete(name)
				st.gone(name)
			}
			st.want("a", "1")
		},
	},
	{
		name: "foreign/upload", contract: "An entry describes an object: its name, the id of its chunks, their number, their size and their digest.",
		rule: "An entry whose upload is a pattern reads and removes no chunks of other objects.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			st.put("b", content(35))
			for _, id := range []string{"*", ">", "a.*", "", "x y", "a..b", ".", "x\r\ny", "a.>"} {
				st.write("bad", driver.Entry{Name: "bad", Upload: id, Size: 35, Chunks: 4})
				_, _, err := st.ReadAll(s.patient(), "bad")
				st.wantError("bad", err, transport.DataLoss)
				st.delete("bad")
				st.gone("bad")
			}
			st.want("a", content(35))
			st.want("b", content(35))
		},
	},
	{
		name: "foreign/name", contract: "The key of an entry is the name of its object in URL-safe base64 without padding",
		rule: "An object has the name of its key, whatever its JSON has.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) { e.Name = "b" }, "1")
			st.wantList("a")
			st.want("a", "1")
			st.gone("b")
		},
	},
	{
		name: "foreign/empty-chunk", contract: "A read of a part checks the number and the sizes of the chunks.",
		rule: "Chunks without bytes are no end.",
		body: func(s *suite) {
			st := s.open()
			all := content(20)
			st.foreign("a", nil, "", all[:10], "", all[10:], "")
			st.want("a", all)
			st.wantRange(st.file("a"), all, 5, 20)
		},
	},
}

var linkCases = []testCase{
	{
		name: "link/object", contract: "A link is followed.",
		rule: "Open follows a link in the same store, and Stat describes the link itself.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			st.link("l", st.name, "a")
			got, is, err := st.ReadAll(s.patient(), "l")
			s.must(err)
			if string(got) != content(35) || is.Name != "a" {
				s.Errorf("got %s, %+v", brief(string(got)), is)
			}
			if is := st.stat("l"); is.Link == nil || *is.Link != (objstore.Link{Bucket: st.name, Name: "a"}) {
				s.Errorf("got %+v", is)
			}
			st.wantList("a l")
			st.delete("l")
			st.want("a", content(35))
			st.wantClean()
		},
	},
	{
		name: "link/other-store", contract: "Link names an object, or a whole store if Name is empty.",
		rule: "Open follows a link to another store; a missing store or object is not_found.",
		body: func(s *suite) {
			st, other := s.open(), s.open()
			other.put("a", content(35))
			st.link("l", other.name, "a")
			got, _, err := st.ReadAll(s.patient(), "l")
			s.must(err)
			wantEqual(s, "the content", string(got), content(35))
			_, err = st.Copy(s.patient(), "l", "b")
			s.must(err)
			st.want("b", content(35))
			other.delete("a")
			_, err = st.Open(s.patient(), "l")
			st.wantError("l", err, transport.NotFound)
			st.link("m", s.name(), "a")
			_, err = st.Open(s.patient(), "m")
			st.wantError("m", err, transport.NotFound)
		},
	},
	{
		name: "link/store", contract: "Link names an object, or a whole store if Name is empty.",
		rule: "A link to a store, or to an impossible name, is failed_precondition.",
		body: func(s *suite) {
			st := s.open()
			st.link("l", st.name, "")
			_, err := st.Open(s.patient(), "l")
			st.wantError("l", err, transport.FailedPrecondition, st.name)
			for _, bad := range []string{"a.b", "*", ""} {
				st.link("m", bad, "a")
				_, err := st.Open(s.patient(), "m")
				st.wantError("m", err, transport.FailedPrecondition)
			}
		},
	},
	{
		name: "link/loop", contract: "maxLinks is the number of links that are followed one after the other.",
		rule: "A link to itself, and a loop, are failed_precondition.",
		body: func(s *suite) {
			st := s.open()
			st.link("l", st.name, "l")
			st.link("m", st.name, "n")
			st.link("n", st.name, "m")
			for _, name := range []string{"l", "m"} {
				_, err := st.Open(s.patient(), name)
				st.wantError(name, err, transport.FailedPrecondition, "links")
			}
		},
	},
	{
		name: "link/replaced", contract: "not nil: this is another client's name for another object",
		rule: "A Put replaces a link, and not its object; an Update keeps it.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			st.link("l", st.name, "a")
			_, err := st.Update(s.patient(), "l", func(is *objstore.Info) error { is.Description = "d"; return nil })
			s.must(err)
			if is := st.stat("l"); is.Link == nil || is.Link.Name != "a" || is.Description != "d" {
				s.Errorf("got %+v", is)
			}
			st.put("l", content(15))
			st.want("a", content(35))
			if is := st.want("l", content(15)); is.Link != nil {
				s.Errorf("got %+v, want no link", is)
			}
			st.wantClean()
		},
	},
	{
		name: "link/overtaken", contract: overtaken,
		rule: "A reader through a link whose object is replaced reads the new one if it has returned nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			st.link("l", st.name, "a")
			fresh, begun := st.file("l"), st.file("l")
			_, err := io.ReadFull(begun, make([]byte, 5))
			s.must(err)
			st.put("a", content(35))
			got, err := readAll(fresh)
			s.must(err)
			wantEqual(s, "the content", brief(got), brief(content(35)))
			_, err = readAll(begun)
			st.wantError("l", err, transport.Aborted)
		},
	},
}

// link stores a link as another program writes it.
func (st *store) link(name, bucket, object string) {
	st.s.Helper()
	st.write(name, driver.Entry{Name: name, Bucket: st.name, Upload: "u", Options: &driver.EntryOptions{Link: &driver.Link{Bucket: bucket, Name: object}}})
}
