package kvtest

import (
	"context"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

var writeCases = []testCase{
	{
		name: "put/get", contract: "Put sets the value of a key.",
		rule: "Get returns the value that Put has set.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("b", "")
			b.want("a", "1")
			b.want("b", "")
		},
	},
	{
		name: "put/again", contract: "Put sets the value of a key.",
		rule: "A second Put replaces the value.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("a", "2")
			b.want("a", "2")
			b.wantHistory("a", "a=2")
		},
	},
	{
		name: "put/revision", contract: "counts up over the whole bucket",
		rule: "Each write has the next revision of the bucket, and Get returns it.",
		body: func(s *suite) {
			b := s.open()
			first := b.put("a", "1")
			wantEqual(s, "the first revision", first, 1)
			wantEqual(s, "the next revision", b.put("b", "1"), first+1)
			b.delete("a")
			wantEqual(s, "the revision after a Delete", b.put("a", "2"), first+3)
			wantEqual(s, "the revision of Get", b.get("b").Revision, first+1)
		},
	},
	{
		name: "put/entry", contract: "by the backend's clock; zero after a write, whose answer has no time",
		rule: "The Entry of a write has the key, the value and the revision, and Created of a read is set.",
		body: func(s *suite) {
			b := s.open()
			e, err := b.Put(s.patient(), "a", "1")
			s.must(err)
			if want := (kv.Entry[string]{Key: "a", Value: "1", Revision: 1}); e != want {
				s.Errorf("got %+v, want %+v", e, want)
			}
			if e := b.get("a"); e.Created.IsZero() || !e.Expires.IsZero() {
				s.Errorf("got %+v, want Created and no Expires", e)
			}
		},
	},
	{
		name: "put/other-transport", contract: "Create, Update, Modify, conditional deletions",
		rule: "Another Transport reads the value, and its writes are seen by conditional ones.",
		body: func(s *suite) {
			b := s.open()
			other := b.elsewhere()
			r := b.put("a", "1")
			other.want("a", "1")
			other.put("a", "2")
			_, err := b.Update(s.patient(), "a", r, "3")
			b.wantError("a", err, transport.Aborted)
			b.want("a", "2")
		},
	},
	{
		name: "get/missing", contract: "Get returns the value of a key, or not_found.",
		rule: "Get of a key that was never set is not_found.",
		body: func(s *suite) {
			b := s.open()
			b.put("b", "1")
			b.gone("a")
			b.gone("b.c")
		},
	},
	{
		name: "create/new", contract: "Create sets the value of a key that has none",
		rule: "Create sets the value of a new key.",
		body: func(s *suite) {
			b := s.open()
			b.create("a", "1")
			b.want("a", "1")
		},
	},
	{
		name: "create/existing", contract: "Otherwise it returns already_exists.",
		rule: "Create of a key with a value is already_exists, and the value stays.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			_, err := b.Create(s.patient(), "a", "2")
			b.wantError("a", err, transport.AlreadyExists)
			b.want("a", "1")
		},
	},
	{
		name: "create/after-end", contract: "because it was never set, was deleted, or has expired",
		rule: "Create sets the value of a key that was deleted or purged, again and again.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, end := range []func(string, ...kv.DeleteOption){b.delete, b.purge, b.delete} {
				b.create("a", "1")
				end("a")
				b.gone("a")
			}
			b.create("a", "2")
			b.want("a", "2")
		},
	},
	{
		name: "update/newest", contract: "Update sets the value of a key whose newest revision is the given one.",
		rule: "Update with the newest revision sets the value, and returns the new revision.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			b.put("b", "1")
			r = b.update("a", r, "2")
			b.update("a", r, "3")
			b.want("a", "3")
		},
	},
	{
		name: "update/stale", contract: "Otherwise it returns aborted.",
		rule: "Update with an older revision, of another key or of the future, is aborted, and the value stays.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			old := b.put("a", "1")
			other := b.put("b", "1")
			b.put("a", "2")
			for _, r := range []uint64{old, other, 1000} {
				_, err := b.Update(s.patient(), "a", r, "3")
				b.wantError("a", err, transport.Aborted)
			}
			b.wantHistory("a", "a=1 a=2")
		},
	},
	{
		name: "update/missing", contract: "Otherwise it returns aborted.",
		rule: "Update of a key that was never set, or was deleted since, is aborted.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			b.delete("a")
			for _, key := range []string{"a", "b"} {
				_, err := b.Update(s.patient(), key, r, "2")
				b.wantError(key, err, transport.Aborted)
				b.gone(key)
			}
		},
	},
	{
		name: "update/over-mark", contract: "Update sets the value of a key whose newest revision is the given one.",
		rule: "The newest revision of a deleted key is that of the deletion.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.delete("a")
			b.update("a", b.last("a"), "2")
			b.want("a", "2")
		},
	},
	{
		name: "update/zero", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "Update with revision 0 is invalid_argument, also for a new key.",
		body: func(s *suite) {
			b := s.open()
			_, err := b.Update(s.patient(), "a", 0, "1")
			b.wantError("a", err, transport.InvalidArgument, "Create")
			b.gone("a")
		},
	},
}

var deleteCases = []testCase{
	{
		name: "delete/key", contract: "The history of the key remains, and a mark of the deletion",
		rule: "Delete removes the value; the history and a mark remain.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("b", "1")
			b.put("a", "2")
			b.delete("a")
			b.gone("a")
			b.want("b", "1")
			b.wantHistory("a", "a=1 a=2 a:delete")
		},
	},
	{
		name: "delete/history-1", contract: "removes the value of a key",
		rule: "With a History of 1 only the mark remains.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.delete("a")
			b.gone("a")
			b.wantHistory("a", "a:delete")
		},
	},
	{
		name: "delete/missing", contract: "To delete a key without a value is no error.",
		rule: "Delete of a new or deleted key is no error.",
		body: func(s *suite) {
			b := s.open()
			b.delete("a")
			b.delete("a")
			b.gone("a")
		},
	},
	{
		name: "delete/revision", contract: "IfRevision makes a Delete or a Purge fail with aborted unless the key's newest revision is the given one.",
		rule: "Delete with the newest revision deletes; with another it is aborted, and the value stays.",
		body: func(s *suite) { conditionalEnd(s, (*bucket).delete, (*kv.KeyValue[string]).Delete) },
	},
	{
		name: "purge/key", contract: "Purge removes the value of a key and its history. A mark of the deletion remains",
		rule: "Purge leaves only its mark, and other keys stay.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("a.b", "1")
			b.put("a", "2")
			b.purge("a")
			b.gone("a")
			b.wantHistory("a", "a:purge")
			b.want("a.b", "1")
		},
	},
	{
		name: "purge/missing", contract: "To purge a key without a value is no error.",
		rule: "Purge of a new or deleted key is no error.",
		body: func(s *suite) {
			b := s.open()
			b.purge("a")
			b.delete("b")
			b.purge("b")
			b.gone("a")
			b.gone("b")
		},
	},
	{
		name: "purge/revision", contract: "IfRevision makes a Delete or a Purge fail with aborted unless the key's newest revision is the given one.",
		rule: "Purge with the newest revision purges; with another it is aborted, and the value stays.",
		body: func(s *suite) { conditionalEnd(s, (*bucket).purge, (*kv.KeyValue[string]).Purge) },
	},
	{
		name: "delete/revision-zero", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "IfRevision(0) is invalid_argument.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.wantError("a", b.Delete(s.patient(), "a", kv.IfRevision(0)), transport.InvalidArgument)
			b.wantError("a", b.Purge(s.patient(), "a", kv.IfRevision(0)), transport.InvalidArgument)
			b.want("a", "1")
		},
	},
}

// conditionalEnd tests a Delete or a Purge with IfRevision.
func conditionalEnd(s *suite, end func(*bucket, string, ...kv.DeleteOption), try deletion) {
	s.Helper()
	b := s.open(kv.History(3))
	old := b.put("a", "1")
	r := b.put("a", "2")
	b.put("b", "1")
	for _, stale := range []uint64{old, r + 1, r + 2} {
		b.wantError("a", try(b.KeyValue, s.patient(), "a", kv.IfRevision(stale)), transport.Aborted)
	}
	b.wantHistory("a", "a=1 a=2")
	end(b, "a", kv.IfRevision(r))
	b.gone("a")
	b.wantError("c", try(b.KeyValue, s.patient(), "c", kv.IfRevision(r)), transport.Aborted)
}

type deletion = func(*kv.KeyValue[string], context.Context, string, ...kv.DeleteOption) error

var revisionCases = []testCase{
	{
		name: "revision/older", contract: "GetRevision returns the value that a key had at a revision",
		rule: "Each kept revision can be read, with its own revision.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			first := b.put("a", "1")
			second := b.put("a", "2")
			for r, value := range map[uint64]string{first: "1", second: "2"} {
				e, err := b.GetRevision(s.patient(), "a", r)
				s.must(err)
				if e.Value != value || e.Revision != r || e.Key != "a" || e.Created.IsZero() {
					s.Errorf("got %+v, want %q at %d", e, value, r)
				}
			}
		},
	},
	{
		name: "revision/other", contract: "or not_found if the revision is of another key, no longer stored, or not a value",
		rule: "A revision of another key, one that is no longer stored, and one of a deletion are not_found.",
		body: func(s *suite) {
			b := s.open(kv.History(2))
			dropped := b.put("a", "1")
			other := b.put("b", "1")
			b.put("a", "2")
			b.delete("a")
			mark := b.last("a")
			for _, r := range []uint64{dropped, other, mark} {
				_, err := b.GetRevision(s.patient(), "a", r)
				b.wantError("a", err, transport.NotFound)
			}
		},
	},
	{
		name: "revision/future", contract: "A revision that the bucket has not reached is out_of_range.",
		rule: "GetRevision of the next revision is out_of_range, also in an empty bucket.",
		body: func(s *suite) {
			b := s.open()
			_, err := b.GetRevision(s.patient(), "a", 1)
			b.wantError("a", err, transport.OutOfRange)
			r := b.put("a", "1")
			_, err = b.GetRevision(s.patient(), "a", r+1)
			b.wantError("a", err, transport.OutOfRange, "2")
		},
	},
	{
		name: "revision/zero", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "GetRevision of revision 0 is invalid_argument.",
		body: func(s *suite) {
			b := s.open()
			_, err := b.GetRevision(s.patient(), "a", 0)
			b.wantError("a", err, transport.InvalidArgument)
		},
	},
}
