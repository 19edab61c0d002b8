package kvtest

import (
	"context"
	"errors"
	"strings"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

var errorCases = []testCase{
	{
		name: "error/ended-context", contract: "No method outlasts its context.",
		rule: "With a context that has ended, every method does nothing and returns its error.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.delete("b")
			ctx, cancel := context.WithDeadline(s.Context(), time.Unix(1, 0))
			defer cancel()
			for method, err := range b.all(ctx) {
				b.wantError("", err, transport.DeadlineExceeded)
				if !errors.Is(err, context.DeadlineExceeded) {
					s.Errorf("%s returns %v, not the error of the context", method, err)
				}
			}
			b.wantList("a=1")
			b.wantHistory("b", "b:delete")
		},
	},
	{
		name: "error/closed-transport", contract: "unavailable for a lost connection",
		rule: "On a closed Transport every method is unavailable and has no effect, with the name of the bucket.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.delete("b")
			tr := s.connect()
			closed := b.on(tr)
			s.close(tr)
			for method, err := range closed.all(s.patient()) {
				if closed.wantCode(err, transport.Unavailable); err == nil {
					s.Errorf("%s succeeds", method)
				}
				e, ok := errors.AsType[*transport.Error](err)
				if ok && e.Outcome != transport.OutcomeNotDone {
					s.Errorf("%s has outcome %v: %v", method, e.Outcome, err)
				}
			}
			s.wantError(kv.DeleteBucket(s.patient(), tr, b.name), transport.Unavailable)
			for _, err := range kv.Buckets(s.patient(), tr) {
				s.wantError(err, transport.Unavailable)
			}
			b.wantList("a=1")
			b.wantHistory("b", "b:delete")
		},
	},
	{
		name: "error/long-key", contract: "Every error names the bucket and, if it is about one, the key.",
		rule: "A long key is cut in errors, with its length.",
		body: func(s *suite) {
			b := s.open()
			key := strings.Repeat("k", 500)
			_, err := b.Get(s.patient(), key)
			b.wantError("", err, transport.NotFound, "kkk", "500 bytes")
			if len(err.Error()) > 400 {
				s.Errorf("the error has %d bytes", len(err.Error()))
			}
		},
	},
	{
		name: "error/no-buckets", contract: "unimplemented for what the backend or the bucket cannot do",
		rule: "A transport without buckets is unimplemented.",
		body: func(s *suite) {
			plain := struct{ transport.Transport }{s.tr}
			_, err := kv.Connect(s.patient(), plain, kv.NewBucket[string]("a"))
			s.wantError(err, transport.Unimplemented, "natsx")
			s.wantError(kv.DeleteBucket(s.patient(), plain, "a"), transport.Unimplemented)
			for _, err := range kv.Buckets(s.patient(), plain) {
				s.wantError(err, transport.Unimplemented)
			}
		},
	},
}

// all calls each method of the bucket, and returns the errors.
func (b *bucket) all(ctx context.Context) map[string]error {
	b.s.Helper()
	all := make(map[string]error)
	_, all["Get"] = b.Get(ctx, "a")
	_, all["GetRevision"] = b.GetRevision(ctx, "a", 1)
	_, _, all["GetAll"] = b.GetAll(ctx, "a")
	_, all["History"] = b.History(ctx, "a")
	_, all["Status"] = b.Status(ctx)
	_, all["Put"] = b.Put(ctx, "a", "2")
	_, all["Create"] = b.Create(ctx, "c", "2")
	_, all["Update"] = b.Update(ctx, "a", 1, "2")
	_, all["Modify"] = b.Modify(ctx, "a", appendText("2"))
	_, all["Touch"] = b.Touch(ctx, "a")
	all["Delete"], all["Purge"] = b.Delete(ctx, "a"), b.Purge(ctx, "a")
	all["PurgeDeletes"] = b.PurgeDeletes(ctx, 0)
	_, all["Batch"] = b.Batch(ctx, func(tx *kv.Tx[string]) error {
		tx.Put("a", "2")
		return nil
	})
	all["Keys"], all["List"], all["Watch"] = errNothing, errNothing, errNothing
	for _, err := range b.Keys(ctx) {
		all["Keys"] = err
	}
	for _, err := range b.List(ctx) {
		all["List"] = err
	}
	for e, err := range b.Watch(ctx) {
		if all["Watch"] = err; e.Kind == kv.EventCurrent {
			break
		}
	}
	return all
}

// errNothing stands for an iteration without steps.
var errNothing = errors.New("it had no steps")
