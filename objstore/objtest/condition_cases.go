package objtest

import (
	"io"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

var conditionCases = []testCase{
	{
		name: "condition/absent", contract: "IfAbsent lets a Put create an object only. If it exists, Put returns already_exists.",
		rule: "IfAbsent creates, never replaces, and creates again after a deletion.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "1", objstore.IfAbsent())
			_, err := st.PutBytes(s.patient(), "a", []byte(content(35)), objstore.IfAbsent())
			st.wantError("a", err, transport.AlreadyExists)
			st.want("a", "1")
			st.delete("a")
			st.put("a", content(35), objstore.IfAbsent())
			st.want("a", content(35))
			st.wantClean()
		},
	},
	{
		name: "condition/revision", contract: "IfRevision lets a write change the object only if that has the given revision.",
		rule: "A Put with another revision is aborted, and with the right one it replaces.",
		body: func(s *suite) {
			st := s.open()
			first := st.put("a", "1")
			second := st.put("a", "2", objstore.IfRevision(first.Revision))
			for _, wrong := range []uint64{first.Revision, second.Revision + 1} {
				_, err := st.PutBytes(s.patient(), "a", []byte(content(35)), objstore.IfRevision(wrong))
				st.wantError("a", err, transport.Aborted)
			}
			_, err := st.PutBytes(s.patient(), "b", []byte("1"), objstore.IfRevision(first.Revision))
			st.wantError("b", err, transport.Aborted)
			st.want("a", "2")
			st.wantClean()
		},
	},
	{
		name: "condition/digest", contract: "IfDigest lets a write change the object only if its content has the given digest.",
		rule: "A Put with another digest is aborted; the padding of a digest does not matter.",
		body: func(s *suite) {
			st := s.open()
			first := st.put("a", "1")
			st.put("a", "2", objstore.IfDigest(first.Digest[:len(first.Digest)-1]))
			_, err := st.PutBytes(s.patient(), "a", []byte(content(35)), objstore.IfDigest(first.Digest))
			st.wantError("a", err, transport.Aborted)
			st.want("a", "2")
			st.wantClean()
		},
	},
	{
		name: "condition/delete", contract: "Delete deletes an object, if the conditions hold.",
		rule: "A Delete with another revision or digest is aborted, and the object stays.",
		body: func(s *suite) {
			st := s.open()
			first := st.put("a", content(35))
			second := st.put("a", content(36))
			st.wantError("a", st.Delete(s.patient(), "a", objstore.IfRevision(first.Revision)), transport.Aborted)
			st.wantError("a", st.Delete(s.patient(), "a", objstore.IfDigest(first.Digest)), transport.Aborted)
			st.want("a", content(36))
			s.must(st.Delete(s.patient(), "a", objstore.IfRevision(second.Revision), objstore.IfDigest(second.Digest)))
			st.gone("a")
			st.wantClean()
		},
	},
	{
		name: "condition/update", contract: "The conditions are those of a Put.",
		rule: "An Update with another revision is aborted, and changes nothing.",
		body: func(s *suite) {
			st := s.open()
			first := st.put("a", "1")
			describe := func(is *objstore.Info) error { is.Description = "d"; return nil }
			is, err := st.Update(s.patient(), "a", describe, objstore.IfRevision(first.Revision))
			s.must(err)
			_, err = st.Update(s.patient(), "a", func(is *objstore.Info) error { is.Description = "e"; return nil }, objstore.IfRevision(first.Revision))
			st.wantError("a", err, transport.Aborted)
			got := st.want("a", "1")
			wantEqual(s, "the description", got.Description, "d")
			wantEqual(s, "the revision", got.Revision, is.Revision)
		},
	},
	{
		name: "condition/excluded", contract: "If it does not hold, the write is aborted.",
		rule: "IfAbsent together with IfRevision is invalid.",
		body: func(s *suite) {
			st := s.open()
			is := st.put("a", "1")
			_, err := st.PutBytes(s.patient(), "a", nil, objstore.IfAbsent(), objstore.IfRevision(is.Revision))
			st.wantError("a", err, transport.InvalidArgument)
			st.wantError("a", st.Delete(s.patient(), "a", nil), transport.InvalidArgument)
			st.want("a", "1")
		},
	},
	{
		name: "condition/changed-meanwhile", contract: "If the object changes meanwhile, Put returns aborted: of several concurrent Puts one succeeds.",
		rule: "The later of two Puts is aborted, and its chunks are removed; the object is that of the other.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(55))
			p := st.begin(s.patient(), "a", content(95))
			st.put("a", content(35))
			st.wantError("a", p.end(io.EOF), transport.Aborted)
			st.want("a", content(35))
			st.wantClean()
		},
	},
	{
		name: "condition/created-meanwhile", contract: "If the object changes meanwhile, Put returns aborted: of several concurrent Puts one succeeds.",
		rule: "The later of two Puts that create is aborted, or gets already_exists with IfAbsent.",
		body: func(s *suite) {
			st := s.open()
			plain, absent := st.begin(s.patient(), "a", content(95)), st.begin(s.patient(), "a", content(85), objstore.IfAbsent())
			st.put("a", content(35))
			st.wantError("a", plain.end(io.EOF), transport.Aborted)
			st.wantError("a", absent.end(io.EOF), transport.AlreadyExists)
			st.want("a", content(35))
			st.wantClean()
		},
	},
	{
		name: "condition/deleted-meanwhile", contract: "If the object changes meanwhile, Put returns aborted: of several concurrent Puts one succeeds.",
		rule: "A Put whose object is deleted, or described anew, meanwhile is aborted, and leaves nothing.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", "1")
			st.put("b", "1")
			a, b := st.begin(s.patient(), "a", content(95)), st.begin(s.patient(), "b", content(5))
			st.delete("a")
			_, err := st.Update(s.patient(), "b", func(is *objstore.Info) error { is.Description = "d"; return nil })
			s.must(err)
			st.wantError("a", a.end(io.EOF), transport.Aborted)
			st.wantError("b", b.end(io.EOF), transport.Aborted)
			st.gone("a")
			st.want("b", "1")
			st.wantClean()
		},
	},
}
