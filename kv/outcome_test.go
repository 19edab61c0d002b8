package kv_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

// faulty is a bucket whose backend has faults.
type faulty struct {
	*testing.T
	*kv.KeyValue[string]
	faults map[inproctest.Action][]inproctest.FaultAction // of the next steps of a kind
	tr     transport.Transport
	other  *kv.KeyValue[string] // without faults
}

// withFaults runs a test in a bubble.
func withFaults(t *testing.T, body func(*faulty), options ...kv.BucketOption) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{T: t, faults: make(map[inproctest.Action][]inproctest.FaultAction)}
		backend := inproctest.NewBackend(inproctest.Options{Fault: f.next})
		f.tr = backend.Connect()
		f.KeyValue, f.other = f.open(f.tr, options...), f.open(backend.Connect(), options...)
		body(f)
		for action, faults := range f.faults {
			if len(faults) > 0 {
				t.Errorf("%d faults of %s were not met", len(faults), action)
			}
		}
	})
}

func (f *faulty) open(tr transport.Transport, options ...kv.BucketOption) *kv.KeyValue[string] {
	f.Cleanup(func() { _ = tr.Close(context.Background()) })
	bucket, err := kv.Connect(f.Context(), tr, kv.NewBucket[string]("b", options...))
	if err != nil {
		f.Fatal(err)
	}
	return bucket
}

func (f *faulty) next(p inproctest.Point) (next inproctest.FaultAction) {
	faults := f.faults[p.Action]
	if p.Phase != inproctest.Before || len(faults) == 0 || p.Transport != 1 {
		return next
	}
	f.faults[p.Action] = faults[1:]
	return faults[0]
}

// on lets the next steps of a kind fail.
func (f *faulty) on(action inproctest.Action, faults ...inproctest.FaultAction) {
	f.faults[action] = faults
}

func (f *faulty) want(key, value string) {
	f.Helper()
	switch e, err := f.other.Get(f.Context(), key); {
	case value == "" && transport.CodeOf(err) != transport.NotFound, value != "" && (err != nil || e.Value != value):
		f.Errorf("%s: got %q, %v, want %q", key, e.Value, err, value)
	}
}

func (f *faulty) wantOutcome(err error, outcome transport.Outcome) {
	f.Helper()
	e, ok := errors.AsType[*transport.Error](err)
	if !ok || e.Code != transport.Unavailable || e.Outcome != outcome || !strings.Contains(err.Error(), `bucket "b": key "a"`) {
		f.Errorf("got %v (%+v), want unavailable with outcome %v", err, e, outcome)
	}
}

var (
	lostAnswer  = inproctest.FaultAction{AmbiguousSend: true}
	lostRequest = inproctest.FaultAction{Drop: true}
	refused     = inproctest.FaultAction{Err: transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "refused")}
	stale       = inproctest.FaultAction{Stale: true}
)

func add(text string) func(string) (string, error) {
	return func(was string) (string, error) { return was + text, nil }
}

// A write has the outcome of its fault, and the value is that of before, or the new one.
func TestOutcomeOfWrites(t *testing.T) {
	for name, write := range map[string]func(f *faulty) error{
		"Put":    func(f *faulty) error { _, err := f.Put(f.Context(), "a", "new"); return err },
		"Create": func(f *faulty) error { _, err := f.Create(f.Context(), "a", "new"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			withFaults(t, func(f *faulty) {
				f.on("put", refused, lostRequest, lostAnswer)
				f.wantOutcome(write(f), transport.OutcomeNotDone)
				f.want("a", "")
				f.wantOutcome(write(f), transport.OutcomeUnknown)
				f.want("a", "")
				f.wantOutcome(write(f), transport.OutcomeUnknown)
				f.want("a", "new")
			})
		})
	}
}

// A read changes nothing, so an answer that is lost, or that its context does not await, is
// not done.
func TestOutcomeOfReads(t *testing.T) {
	for name, read := range map[string]func(f *faulty, ctx context.Context) error{
		"Get":         func(f *faulty, ctx context.Context) error { _, err := f.Get(ctx, "a"); return err },
		"GetRevision": func(f *faulty, ctx context.Context) error { _, err := f.GetRevision(ctx, "a", 1); return err },
		"GetAll":      func(f *faulty, ctx context.Context) error { _, _, err := f.GetAll(ctx, "a"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			withFaults(t, func(f *faulty) {
				for _, fault := range []inproctest.FaultAction{lostAnswer, lostRequest, {Delay: time.Hour}} {
					f.on("get", fault)
					ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
					err := read(f, ctx)
					cancel()
					if e, ok := errors.AsType[*transport.Error](err); !ok || e.Outcome != transport.OutcomeNotDone {
						f.Errorf("got %v (%+v) after %+v", err, e, fault)
					}
				}
			})
		})
	}
}

// Nor has a read that ends between its records.
func TestOutcomeOfEndedScans(t *testing.T) {
	withFaults(t, func(f *faulty) {
		for _, key := range []string{"a", "b"} {
			if _, err := f.Put(f.Context(), key, "1"); err != nil {
				f.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(f.Context())
		defer cancel()
		for _, err := range f.Keys(ctx) {
			if e, ok := errors.AsType[*transport.Error](err); err != nil && (!ok || e.Code != transport.Canceled || e.Outcome != transport.OutcomeNotDone) {
				f.Errorf("got %v (%+v)", err, e)
			}
			cancel()
		}
	})
}

// Modify and Touch take effect once, whatever is lost.
func TestModifyIsDoneOnce(t *testing.T) {
	withFaults(t, func(f *faulty) {
		for _, faults := range [][]inproctest.FaultAction{{lostAnswer}, {lostRequest}, {lostRequest, lostAnswer}, {lostAnswer, lostAnswer}} {
			was, _ := f.other.Get(f.Context(), "a")
			f.on("put", faults[0])
			e, err := f.Modify(f.Context(), "a", add("x"))
			if err != nil || e.Value != was.Value+"x" {
				f.Errorf("got %+v, %v", e, err)
			}
			f.want("a", was.Value+"x")
			f.on("put", faults[len(faults)-1])
			touched, err := f.Touch(f.Context(), "a")
			is, _ := f.other.Get(f.Context(), "a")
			if err != nil || touched.Revision != is.Revision || is.Revision != e.Revision+1 {
				f.Errorf("got %+v, %v, want %+v", touched, err, is)
			}
		}
	}, kv.History(5))
}

// If another program has written after a lost answer or request, the outcome of a Modify is
// unknown, and f is not called again.
func TestModifyBesideOthers(t *testing.T) {
	withFaults(t, func(f *faulty) {
		overwrite := inproctest.FaultAction{Run: func() {
			if _, err := f.other.Put(f.Context(), "a", "other"); err != nil {
				f.Error(err)
			}
		}}
		for _, lost := range []inproctest.FaultAction{lostAnswer, lostRequest} {
			f.on("put", lost)
			f.on("get", inproctest.FaultAction{}, overwrite)
			calls := 0
			_, err := f.Modify(f.Context(), "a", func(string) (string, error) {
				calls++
				return "mine", nil
			})
			f.wantOutcome(err, transport.OutcomeUnknown)
			f.want("a", "other")
			if calls != 1 {
				f.Errorf("f was called %d times", calls)
			}
		}
	}, kv.History(5))
}

// A refused write of a Modify is returned, and nothing is written.
func TestModifyRefused(t *testing.T) {
	withFaults(t, func(f *faulty) {
		f.on("put", refused)
		_, err := f.Modify(f.Context(), "a", add("x"))
		f.wantOutcome(err, transport.OutcomeNotDone)
		f.want("a", "")
	})
}

// A process reads what it wrote, although a replica or a mirror answers that does not have it yet.
func TestOwnWrites(t *testing.T) {
	t.Run("replica", func(t *testing.T) { withFaults(t, readOwnWrites, kv.Replicas(3)) })
	t.Run("mirror", func(t *testing.T) { withFaults(t, readOwnWrites) })
}

func readOwnWrites(f *faulty) {
	for _, value := range []string{"1", "2"} {
		if _, err := f.Put(f.Context(), "a", value); err != nil {
			f.Fatal(err)
		}
		f.on("get", stale)
		if e, err := f.Get(f.Context(), "a"); err != nil || e.Value != value {
			f.Errorf("got %+v, %v after a Put of %s", e, err, value)
		}
		f.on("get", stale, stale)
		if all, _, err := f.GetAll(f.Context(), "a"); err != nil || len(all) != 1 || all[0].Value != value {
			f.Errorf("GetAll: got %+v, %v after a Put of %s", all, err, value)
		}
	}
	if err := f.Delete(f.Context(), "a"); err != nil {
		f.Fatal(err)
	}
	f.on("get", stale)
	if e, err := f.Get(f.Context(), "a"); transport.CodeOf(err) != transport.NotFound {
		f.Errorf("got %+v, %v after a Delete", e, err)
	}
	f.on("get", stale)
	if _, err := f.Modify(f.Context(), "a", add("x")); err != nil {
		f.Error(err)
	}
	f.want("a", "x")
}

// A lost answer of a Batch has an unknown outcome, and all of it is stored.
func TestOutcomeOfBatch(t *testing.T) {
	withFaults(t, func(f *faulty) {
		batch := func() error {
			_, err := f.Batch(f.Context(), func(tx *kv.Tx[string]) error {
				tx.Create("a", "1")
				tx.Put("b", "1")
				return nil
			})
			return err
		}
		for _, c := range []struct {
			fault  inproctest.FaultAction
			stored string
		}{{lostRequest, ""}, {lostAnswer, "1"}} {
			f.on("put", c.fault)
			if e, ok := errors.AsType[*transport.Error](batch()); !ok || e.Outcome != transport.OutcomeUnknown {
				f.Errorf("got %v", e)
			}
			f.want("a", c.stored)
			f.want("b", c.stored)
		}
	})
}
