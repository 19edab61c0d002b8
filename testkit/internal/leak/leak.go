// Package leak finds the goroutines that a test leaves behind in real time, while other tests
// run in parallel: they carry the label of the test.
package leak

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"gomono.dev/internal/realtime"
)

// Watch identifies the goroutines of one test.
type Watch struct{ label string }

var watches atomic.Int64

// New makes a Watch.
func New(name string) *Watch {
	return &Watch{fmt.Sprintf("%s %d", name, watches.Add(1))}
}

const key = "gomono.dev/testkit"

// Do calls f. Goroutines started by f, and by these, belong to the Watch.
func (w *Watch) Do(f func()) {
	pprof.Do(context.Background(), pprof.Labels(key, w.label), func(context.Context) { f() })
}

// Left waits until all goroutines of the Watch have ended, and returns the stacks of those that
// still run after limit.
func (w *Watch) Left(limit time.Duration) (stacks string) {
	realtime.Within(limit, func() bool {
		stacks = w.stacks()
		return stacks == ""
	})
	return stacks
}

// sharedClock is in the stack of a goroutine that all NATS servers of a process share.
// It carries the label of the test that started the first of them.
const sharedClock = "nats-server/v2/server/ats."

// stacks returns the stacks of goroutines with the label.
func (w *Watch) stacks() string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return ""
	}
	var found []string
	label := fmt.Sprintf("%q:%q", key, w.label)
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(record, label) && !strings.Contains(record, sharedClock) {
			found = append(found, record)
		}
	}
	return strings.Join(found, "\n\n")
}
