package mono_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// errOnce makes a message a dead letter at its first attempt.
var errOnce = errors.New("not at first")

// For each kind of handle, a replay reaches only the group of the dead letter. The lag of
// all groups returns to zero.
func TestReplayReachesOneGroup(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("replay.queue", mono.Groups("bad", "good"), mono.MaxAttempts(1))
	plain := mono.NewStream[job]("replay.plain")
	keyed := mono.NewStream[job]("replay.keyed", mono.Partitions(3)).KeyedBy(job.key)
	event := mono.NewEvent[job]("replay.event", mono.Durable()).KeyedBy(job.key)
	once := func() func(handled) error {
		seen := make(map[string]bool)
		return func(h handled) error {
			if !seen[h.id] {
				seen[h.id] = true
				return mono.Permanent(errOnce)
			}
			return nil
		}
	}
	kinds := map[string]struct {
		log     string
		dl      func(mono.Binder) mono.DeadLetters[job]
		send    func(context.Context, mono.Binder, job) error
		modules func(bad, good chan handled) []mono.Module
	}{
		"queue": {"queues_replay_queue", q.DeadLetters, q.Enqueue, func(bad, good chan handled) []mono.Module {
			return []mono.Module{worker("bad", q, bad, once()), worker("good", q, good, succeed)}
		}},
		"stream": {"streams_replay_plain", plain.DeadLetters, plain.Append, func(bad, good chan handled) []mono.Module {
			return []mono.Module{consumer("bad", plain, bad, once()), consumer("good", plain, good, succeed, mono.Unordered())}
		}},
		"partitions": {"streams_replay_keyed", keyed.DeadLetters, keyed.Append, func(bad, good chan handled) []mono.Module {
			return []mono.Module{consumer("bad", keyed, bad, once()), consumer("good", keyed, good, succeed)}
		}},
		"keys": {"streams_replay_keyed", keyed.DeadLetters, keyed.Append, func(bad, good chan handled) []mono.Module {
			return []mono.Module{consumer("bad", keyed, bad, once(), mono.Keys("a")), consumer("good", keyed, good, succeed, mono.Keys("a"))}
		}},
		"batches": {"streams_replay_plain", plain.DeadLetters, plain.Append, func(bad, good chan handled) []mono.Module {
			return []mono.Module{consumer("bad", plain, bad, once()), module("good", func(sc *mono.Scope) {
				plain.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error {
					for _, m := range batch {
						good <- handled{m.Value, m.Attempt, m.ID}
					}
					return nil
				}, mono.BatchWait(time.Millisecond))
			})}
		}},
		"event": {"events_replay_event", event.DeadLetters, event.Publish, func(bad, good chan handled) []mono.Module {
			return []mono.Module{subscriber("bad", event, bad, once()), subscriber("good", event, good, succeed)}
		}},
	}
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBackends(t, func(t *testing.T, b backend) {
				bad, good := make(chan handled, 10), make(chan handled, 10)
				app := b.start(t, k.modules(bad, good)...)
				if err := k.send(t.Context(), app, job{N: 1, Key: "a"}); err != nil {
					t.Fatal(err)
				}
				next(t, bad)
				next(t, good)
				dl := k.dl(app)
				if err := dl.Replay(t.Context(), awaitDeadLetters(t, dl, 1)[0]); err != nil {
					t.Fatal(err)
				}
				if h := next(t, bad); h.N != 1 || h.attempt != 1 {
					t.Errorf("replayed: %+v", h)
				}
				if err := k.send(t.Context(), app, job{N: 2, Key: "a"}); err != nil {
					t.Fatal(err)
				}
				if h := next(t, good); h.N != 2 {
					t.Errorf("the other group got %+v", h)
				}
				awaitNoLag(t, app, k.log, 2)
				if n := len(good); n > 0 {
					t.Errorf("the other group got %d more", n)
				}
			})
		})
	}
}

// subscriber is a module that handles a durable event.
func subscriber(name string, e mono.Event[job], got chan<- handled, do func(handled) error) mono.Module {
	return module(name, func(sc *mono.Scope) {
		e.Handle(sc, func(ctx context.Context, j job) error {
			c := mono.CallFrom(ctx)
			h := handled{j, c.Attempt(), c.ID()}
			err := do(h)
			got <- h
			return err
		})
	})
}

// awaitNoLag waits until a log has the given number of groups and none of them lags.
func awaitNoLag(t *testing.T, app *mono.App, name string, groups int) {
	t.Helper()
	log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: name, Subjects: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	realtime.Until(t, fmt.Sprintf("%d groups to be done with all of %s", groups, name), func() bool {
		all, err := log.Groups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lag := uint64(0)
		for _, g := range all {
			lag += g.Undelivered + g.InFlight
		}
		return lag == 0 && len(all) == groups
	})
}
