package kvtest

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// watcher collects the steps of a Watch for a case. Its channel is short on purpose: most
// changes are queued in package kv.
type watcher struct {
	s     *suite
	b     *bucket
	steps chan step

	current bool // it has given all present values
}

type step struct {
	kv.Event[string]
	err error
}

// watch watches a bucket until the case ends.
func (b *bucket) watch(options ...kv.WatchOption) *watcher {
	return b.watchIn(b.s.Context(), options...)
}

// watchIn watches a bucket until a context ends.
func (b *bucket) watchIn(ctx context.Context, options ...kv.WatchOption) *watcher {
	w := &watcher{s: b.s, b: b, steps: make(chan step, 1)}
	end := b.s.Context().Done()
	events := b.Watch(ctx, options...)
	go func() {
		defer close(w.steps)
		for e, err := range events {
			select {
			case w.steps <- step{e, err}:
			case <-end:
				return
			}
		}
	}()
	return w
}

// next returns the next step.
func (w *watcher) next() step {
	w.s.Helper()
	return realtime.Receive(w.s, w.steps, "a step of a Watch")
}

// want fails unless these steps come next, such as "a=1", "a:delete", "current" or "replay".
func (w *watcher) want(steps ...string) {
	w.s.Helper()
	for _, want := range steps {
		got := w.next()
		for w.lags(got, want) {
			got = w.next()
		}
		w.s.must(got.err)
		if text := stepText(got); text != want {
			w.s.Fatalf("Watch: got %s, want %s of %q", text, want, steps)
		}
	}
}

// lags reports whether a step is not the wanted one, because a replica that lags gives a value
// that its key no longer has.
func (w *watcher) lags(got step, want string) bool {
	w.current = w.current || got.err != nil || got.Kind != kv.EventEntry
	if w.current || !w.s.target.Lags || stepText(got) == want {
		return false
	}
	newest, err := w.s.foreign(w.b.name).Get(w.s.patient(), got.Key, 0, true)
	return transport.CodeOf(err) == transport.NotFound || err == nil && newest.Revision > got.Revision
}

// wantEnd fails unless the Watch ends with an error of this code.
func (w *watcher) wantEnd(code transport.Code) {
	w.s.Helper()
	last := w.next()
	w.b.wantError("", last.err, code)
	if _, more := <-w.steps; more {
		w.s.Error("Watch continued after its error")
	}
}

func stepText(e step) string {
	switch {
	case e.err != nil:
		return e.err.Error()
	case e.Kind == kv.EventCurrent:
		return "current"
	case e.Kind == kv.EventReplay:
		return "replay"
	}
	return entryText(e.Entry)
}

// probe begins the values by which begun finds out that a watcher gets changes.
const probe = "probe "

// begun waits until a watcher with UpdatesOnly gets changes. It sets a key until one comes.
func (w *watcher) begun(key string) {
	w.s.Helper()
	for i := 0; ; i++ {
		last := probe + strconv.Itoa(i)
		w.b.put(key, last)
		select {
		case got := <-w.steps:
			for ; got.Value != last; got = w.next() {
				if got.err != nil || !strings.HasPrefix(got.Value, probe) {
					w.s.Fatalf("Watch: got %s before any change", stepText(got))
				}
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
