package kv

import (
	"context"
	"slices"
	"sync"

	"gomono.dev/kv/driver"
)

// watcher collects the changes of some keys until they are read.
type watcher struct {
	patterns     []string // none: all keys
	metadataOnly bool
	news         chan struct{} // of capacity 1

	mu     sync.Mutex
	queue  []*driver.Record
	limit  int  // of queue; more than maxQueue if records were removed from it
	behind bool // the last queue was too long, or the present values are being read
	lost   bool // changes after the queue's are missing
	err    error
}

// maxQueue is the number of changes that a watcher collects. If it falls further behind, it
// reads the present values instead. Meanwhile, and until it has caught up, it collects the
// newest change of each key, for any number of keys.
const maxQueue = 4096

func newWatcher(patterns []string, metadataOnly bool) *watcher {
	return &watcher{patterns: patterns, metadataOnly: metadataOnly, news: make(chan struct{}, 1), limit: maxQueue, behind: true}
}

func (w *watcher) wants() following { return following{w.patterns, !w.metadataOnly} }

func (w *watcher) push(r *driver.Record) {
	w.change(func() {
		switch full := len(w.queue) >= w.limit; {
		case w.lost:
			return
		case full && !w.behind:
			w.lost = true
			return
		case full:
			w.queue = newestOfKeys(w.queue)
			w.limit = maxQueue + 2*len(w.queue)
		}
		w.queue = append(w.queue, r)
	})
}

// newestOfKeys returns the last record of each key.
func newestOfKeys(records []*driver.Record) []*driver.Record {
	seen := make(map[string]bool, len(records))
	kept := len(records)
	for i, r := range slices.Backward(records) {
		if !seen[r.Key] {
			seen[r.Key] = true
			kept--
			records[kept] = records[i]
		}
	}
	return slices.Clone(records[kept:]) // the array is long
}

func (w *watcher) lose() { w.change(func() { w.lost = true }) }

func (w *watcher) fail(err error) { w.change(func() { w.err = firstError(w.err, err) }) }

func (w *watcher) change(f func()) {
	w.mu.Lock()
	f()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// await waits for changes, or for the end of ctx.
func (w *watcher) await(ctx context.Context) {
	select {
	case <-w.news:
	case <-ctx.Done():
	}
}

// take returns the collected changes. It reports whether others are missing after them; from
// now on the watcher collects again.
func (w *watcher) take() (records []*driver.Record, lost bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	records, lost = w.queue, w.lost
	w.behind = lost || w.limit > maxQueue
	w.queue, w.limit, w.lost = nil, maxQueue, false
	if records == nil && !lost {
		err = w.err
	}
	return records, lost, err
}
