package objtest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

var changeCases = []testCase{
	{
		name: "delete/chunks", contract: "Its chunks are removed at once; if that fails, [Objects.Sweep] removes them.",
		rule: "Of a deleted object no chunk is left.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(95))
			st.put("b", content(95))
			st.delete("a")
			st.gone("a")
			st.wantClean()
			st.want("b", content(95))
			st.put("a", content(35))
			st.want("a", content(35))
		},
	},
	{
		name: "delete/missing", contract: "A missing one is not_found.",
		rule: "Every method but Put is not_found for an object that does not exist, and creates nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("deleted", content(35))
			st.delete("deleted")
			for _, name := range []string{"never", "deleted"} {
				st.gone(name)
				for method, err := range st.missing(name) {
					if st.wantError(name, err, transport.NotFound); err == nil {
						s.Errorf("%s of an object that does not exist succeeds", method)
					}
				}
			}
			st.wantList("")
		},
	},
	{
		name: "delete/status", contract: "Its chunks are removed at once",
		rule: "A deletion gives the bytes back to the store.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(5000))
			before := st.status().Bytes
			st.delete("a")
			if after := st.status().Bytes; after+5000 > before {
				s.Errorf("%d bytes of %d are left", after, before)
			}
		},
	},
	{
		name: "copy/own-chunks", contract: "The copy has chunks of its own.",
		rule: "A copy stays when its source is deleted, and the source when the copy is.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(95))
			for range 2 {
				_, err := st.Copy(s.patient(), "a", "b")
				s.must(err)
				st.delete("a")
				st.want("b", content(95))
				_, err = st.Copy(s.patient(), "b", "a")
				s.must(err)
				st.delete("b")
				st.want("a", content(95))
				st.wantClean()
			}
		},
	},
	{
		name: "copy/description", contract: "Options, such as [IfAbsent], are those of Put, and change its description.",
		rule: "A copy has the description of its source, but for the options.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35), objstore.Description("d"), objstore.ContentType("text/plain"), objstore.Header("X-A", "1"), objstore.Metadata("k", "v"))
			is, err := st.Copy(s.patient(), "a", "b", objstore.Description("e"))
			s.must(err)
			got := st.want("b", content(35))
			if got.Description != "e" || got.ContentType != "text/plain" || got.Header["X-A"] != "1" || got.Metadata["k"] != "v" || is.Digest != got.Digest {
				s.Errorf("got %+v", got)
			}
			_, err = st.Copy(s.patient(), "a", "b", objstore.IfAbsent())
			st.wantError("b", err, transport.AlreadyExists)
			st.put("c", "old")
			_, err = st.Copy(s.patient(), "a", "c")
			s.must(err)
			st.want("c", content(35))
			_, err = st.Copy(s.patient(), "a", "a")
			s.must(err)
			st.want("a", content(35))
			st.wantClean()
		},
	},
	{
		name: "copy/replaced-source", contract: "Copy stores the content and the description of an object under another name",
		rule: "A Copy whose source is replaced meanwhile copies the new one, with its own description.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead), objstore.Description("old"))
			replaced := false
			_, err := st.Copy(s.patient(), "a", "b", objstore.Progress(func(int64) {
				if !replaced {
					replaced = true
					st.put("a", content(ahead+1), objstore.Description("new"))
				}
			}))
			s.must(err)
			is := st.want("b", content(ahead+1))
			wantEqual(s, "the description", is.Description, "new")
			st.wantClean()
		},
	},
	{
		name: "copy/restless-source", contract: "If the object is replaced meanwhile, Copy begins again, but after a few times it is aborted.",
		rule: "A Copy whose source is replaced each time is aborted, and stores nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(ahead))
			copies := 0
			_, err := st.Copy(s.patient(), "a", "b", objstore.Progress(func(done int64) {
				if done == chunkSize {
					copies++
					st.put("a", content(ahead+copies))
				}
			}))
			st.wantError("a", err, transport.Aborted, "replaced")
			if copies < 2 || copies > 100 {
				s.Errorf("it began %d times", copies)
			}
			st.gone("b")
			st.wantClean()
		},
	},
	{
		name: "copy/damaged-source", contract: "A read from the beginning to the end checks the digest before it returns the last chunk, and returns data_loss if it differs.",
		rule: "A Copy of a damaged object is data_loss, and stores nothing.",
		body: func(s *suite) {
			st := s.open()
			st.foreign("a", func(e *driver.Entry) { e.Digest = digestOf("x") }, content(10), content(5))
			_, err := st.Copy(s.patient(), "a", "b")
			s.wantError(err, transport.DataLoss, "digest")
			st.gone("b")
			st.wantClean()
		},
	},
	{
		name: "rename/moves", contract: "Rename gives an object another name, at once: at no time both names exist, or none.",
		rule: "A renamed object has its content and description under the new name only.",
		body: func(s *suite) {
			st := s.open()
			before := st.put("a", content(35), objstore.ContentType("text/plain"))
			is, err := st.Rename(s.patient(), "a", "b")
			s.must(err)
			got := st.want("b", content(35))
			if got.ContentType != "text/plain" || got.Revision != is.Revision || is.Revision <= before.Revision || is.Name != "b" || st.entry("b").Name != "b" {
				s.Errorf("got %+v and %+v", is, got)
			}
			st.gone("a")
			st.wantList("b")
			_, err = st.Rename(s.patient(), "b", "a")
			s.must(err)
			st.want("a", content(35))
			st.gone("b")
			st.wantClean()
		},
	},
	{
		name: "rename/existing", contract: "An object with the new name is already_exists.",
		rule: "A Rename to the name of an object changes neither, and one to the same name nothing.",
		body: func(s *suite) {
			st := s.open()
			is := st.put("a", content(35))
			st.put("b", content(36))
			_, err := st.Rename(s.patient(), "a", "b")
			st.wantError("a", err, transport.AlreadyExists)
			_, err = st.Rename(s.patient(), "a", "")
			st.wantError("", err, transport.InvalidArgument)
			same, err := st.Rename(s.patient(), "a", "a")
			s.must(err)
			wantEqual(s, "the revision", same.Revision, is.Revision)
			st.want("a", content(35))
			st.want("b", content(36))
			st.wantClean()
		},
	},
	{
		name: "update/description", contract: "Update changes the description of an object: its Description, ContentType, Header and Metadata are those that change sets.",
		rule: "An Update changes what it may, with a higher revision, and keeps the content.",
		body: func(s *suite) {
			st := s.open()
			before := st.put("a", content(35), objstore.Header("X-A", "1"), objstore.Metadata("k", "v"))
			is, err := st.Update(s.patient(), "a", func(is *objstore.Info) error {
				is.Description, is.ContentType, is.Metadata["l"] = "d", "text/plain", "w"
				is.Header = nil
				is.Size, is.Digest, is.Name, is.Revision = 1, "x", "b", 7
				return nil
			})
			s.must(err)
			got := st.want("a", content(35))
			if got.Description != "d" || got.ContentType != "text/plain" || got.Header != nil || !maps.Equal(got.Metadata, map[string]string{"k": "v", "l": "w"}) ||
				got.Digest != before.Digest || got.Revision != is.Revision || is.Revision <= before.Revision {
				s.Errorf("got %+v and %+v", is, got)
			}
			st.gone("b")
			st.wantClean()
		},
	},
	{
		name: "update/error", contract: "The conditions are those of a Put.",
		rule: "An error of change, or a bad header, changes nothing.",
		body: func(s *suite) {
			st := s.open()
			is := st.put("a", content(35))
			_, err := st.Update(s.patient(), "a", func(*objstore.Info) error { return errBroken })
			if !errors.Is(err, errBroken) {
				s.Errorf("got %v, want the error of change", err)
			}
			_, err = st.Update(s.patient(), "a", func(is *objstore.Info) error { is.Header = map[string]string{"a b": "1"}; return nil })
			st.wantError("a", err, transport.InvalidArgument)
			wantEqual(s, "the revision", st.want("a", content(35)).Revision, is.Revision)
		},
	},
	{
		name: "update/concurrent", contract: "If the object changes meanwhile, Update tries again.",
		rule: "Of 10 concurrent Updates all take effect.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			ctx := s.patient()
			s.together(10, func(i int) {
				if _, err := st.Update(ctx, "a", func(is *objstore.Info) error { is.Description += "x"; return nil }); err != nil {
					s.Error(err)
				}
			})
			wantEqual(s, "the description", st.want("a", content(35)).Description, strings.Repeat("x", 10))
		},
	},
}

// missing calls the methods that need an object.
func (st *store) missing(name string) map[string]error {
	all := make(map[string]error)
	ctx := st.s.patient()
	_, all["Stat"] = st.Stat(ctx, name)
	_, all["Open"] = st.Open(ctx, name)
	_, _, all["ReadAll"] = st.ReadAll(ctx, name)
	all["Delete"] = st.Delete(ctx, name)
	_, all["Update"] = st.Update(ctx, name, func(*objstore.Info) error { return nil })
	_, all["Rename"] = st.Rename(ctx, name, "other")
	_, all["Copy"] = st.Copy(ctx, name, "other")
	return all
}

var listCases = []testCase{
	{
		name: "list/all", contract: "List returns the objects of the store.",
		rule: "Each object is listed once, as Stat describes it, until it is deleted.",
		body: func(s *suite) {
			st := s.open()
			st.wantList("")
			st.put("a", content(35), objstore.Description("d"))
			st.put("b", "")
			st.put("c", "1")
			st.delete("c")
			st.put("a", content(36), objstore.Description("e"))
			st.wantList("a b")
			for is, err := range st.List(s.patient(), objstore.Prefix("a")) {
				s.must(err)
				if got := st.stat("a"); got.Revision != is.Revision || is.Size != 36 || is.Description != "e" || !got.Modified.Equal(is.Modified) || is.Digest != got.Digest {
					s.Errorf("got %+v, want %+v", is, got)
				}
			}
		},
	},
	{
		name: "list/prefix", contract: "Prefix selects the objects whose names begin with a text.",
		rule: "A prefix is any text, with its case.",
		body: func(s *suite) {
			st := s.open()
			for _, name := range []string{"a", "a/b", "a/c/d", "ab", "A/b", "é/x"} {
				st.put(name, "1")
			}
			st.wantList("a/b a/c/d", objstore.Prefix("a/"))
			st.wantList("a a/b a/c/d ab", objstore.Prefix("a"))
			st.wantList("é/x", objstore.Prefix("\xc3"))
			st.wantList("", objstore.Prefix("a/b/"))
		},
	},
	{
		name: "list/delimiter", contract: "of all names that have the text after the prefix, List returns the part up to the first one, once, with IsPrefix.",
		rule: "A delimiter folds names, also longer ones than a byte.",
		body: func(s *suite) {
			st := s.open()
			for _, name := range []string{"a", "a/b", "a/c/d", "a/c/e", "b/", "x--y--z"} {
				st.put(name, "1")
			}
			st.wantList("a a/… b/… x--y--z", objstore.Delimiter("/"))
			st.wantList("a/b a/c/…", objstore.Prefix("a/"), objstore.Delimiter("/"))
			st.wantList("a a/b a/c/d a/c/e b/ x--…", objstore.Delimiter("--"))
			st.wantList("b/", objstore.Prefix("b/"), objstore.Delimiter("/"))
			st.wantList("a a/b a/c/d a/c/e b/ x--y--z", objstore.Delimiter(""))
		},
	},
	{
		name: "list/many", contract: "all others are returned, or the iteration ends with an error.",
		rule: "Hundreds of objects are all listed, also when the caller deletes them meanwhile.",
		body: func(s *suite) {
			st := s.open()
			var want []string
			for i := range 600 {
				name := fmt.Sprintf("%03d", i)
				st.put(name, "")
				want = append(want, name)
			}
			st.wantList(strings.Join(want, " "))
			n := 0
			for is, err := range st.List(s.patient()) {
				s.must(err)
				st.delete(is.Name)
				n++
			}
			wantEqual(s, "the objects", n, 600)
			st.wantList("")
		},
	},
	{
		name: "list/ends", contract: "all others are returned, or the iteration ends with an error.",
		rule: "A caller that has enough ends the iteration, and a nil option is invalid.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "1")
			st.put("b", "1")
			for _, err := range st.List(s.patient()) {
				s.must(err)
				break
			}
			for _, err := range st.List(s.patient(), nil) {
				st.wantError("", err, transport.InvalidArgument)
			}
			for _, err := range st.List(s.ended()) {
				st.wantError("", err, transport.Canceled)
			}
		},
	},
}

var sweepCases = []testCase{
	{
		name: "sweep/left-over", contract: "Sweep removes the chunks that no object has: those of Puts whose processes were killed, and of replaced objects.",
		rule: "Sweep counts and removes what no object has, and nothing else.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(95))
			st.put("b", content(35))
			_, err := st.Rename(s.patient(), "b", "c")
			s.must(err)
			st.upload("left", "1", "2", "3")
			st.upload("over", "1")
			swept, err := st.Sweep(s.patient(), 0)
			s.must(err)
			wantEqual(s, "Sweep", swept, objstore.Swept{Uploads: 2, Chunks: 4})
			st.wantClean()
			st.want("a", content(95))
			st.want("c", content(35))
			swept, err = st.Sweep(s.patient(), 0)
			s.must(err)
			wantEqual(s, "another Sweep", swept, objstore.Swept{})
		},
	},
	{
		name: "sweep/young", contract: "An upload whose last chunk is newer than olderThan stays, and one that can be resumed stays until it expires",
		rule: "Sweep leaves what is newer, and a negative age is invalid.",
		body: func(s *suite) {
			st := s.open()
			st.upload("left", "1", "2")
			swept, err := st.Sweep(s.patient(), 24*hour)
			s.must(err)
			wantEqual(s, "Sweep", swept, objstore.Swept{})
			wantEqual(s, "the chunks", st.uploads()["left"], 2)
			_, err = st.Sweep(s.patient(), -1)
			st.wantError("", err, transport.InvalidArgument)
		},
	},
	{
		name: "sweep/slow-put", contract: "A Put that is still in progress, however slow, fails when its chunks were removed.",
		rule: "A Put whose chunks were swept is failed_precondition, and stores nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "before")
			for _, n := range []int{50, 55} {
				p := st.begin(s.patient(), "a", content(n))
				realtimeSweep(st, 1)
				st.wantError("a", p.end(io.EOF), transport.FailedPrecondition)
			}
			st.want("a", "before")
			st.wantClean()
		},
	},
	{
		name: "sweep/fast-put", contract: "A Put that is still in progress, however slow, fails when its chunks were removed.",
		rule: "Sweeps during Puts leave no object whose chunks they removed.",
		body: func(s *suite) {
			st := s.open()
			ctx := s.patient()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range 10 {
					name := fmt.Sprint(i)
					if _, err := st.PutBytes(ctx, name, []byte(content(505))); err != nil {
						s.wantCode(err, transport.FailedPrecondition)
					}
				}
			}()
			for range 30 {
				_, err := st.Sweep(ctx, 0)
				s.must(err)
			}
			<-done
			for _, name := range st.list() {
				st.want(name, content(505))
			}
			_, err := st.Sweep(ctx, 0)
			s.must(err)
			st.wantClean()
		},
	},
	{
		name: "sweep/malformed", contract: "It fails if an entry cannot be decoded, which may name any upload.",
		rule: "With an entry that cannot be decoded, Sweep is data_loss and removes nothing.",
		body: func(s *suite) {
			st := s.open()
			st.upload("left", "1")
			st.write("bad", "{")
			_, err := st.Sweep(s.patient(), 0)
			st.wantError("", err, transport.DataLoss)
			wantEqual(s, "the chunks", st.uploads()["left"], 1)
			st.delete("bad")
			_, err = st.Sweep(s.patient(), 0)
			s.must(err)
			st.wantClean()
		},
	},
}
