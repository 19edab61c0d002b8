//go:build unix

package ordertest

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// Options configure Run.
type Options struct {
	URLs     []string
	Replicas int           // of the log
	Changes  int           // how often members join, leave, are killed or are paused
	Quiet    time.Duration // between two changes, besides up to 500 ms
}

const maxMembers = 6

// Run lets members come and go while messages are published. It fails if a key had two handlers at
// once, if a message was overtaken, if a fencing token fell, or if a message was lost, and logs how
// long the members took. A process that stands still may lose its keys while its handlers run:
// such runs are counted, and do not fail the test.
func Run(t *testing.T, o Options) {
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: o.URLs, Replicas: o.Replicas, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	l, err := tr.Log(realtime.Patient(t), config())
	if err != nil {
		t.Fatal(err)
	}
	g := &group{t: t, o: &o, dir: t.TempDir(), pausing: make(map[*process]bool)}
	for range 3 {
		g.join()
	}
	sent := publish(t, l)
	for range o.Changes {
		<-time.After(100*time.Millisecond + rand.N(400*time.Millisecond) + o.Quiet)
		g.change()
	}
	g.pauses.Wait()
	total := sent()
	for left := uint64(math.MaxUint64); left > 0; { // after many deaths, much may be left
		before := left
		realtime.Until(t, "more messages to be handled", func() bool {
			groups, err := l.Groups(realtime.Patient(t))
			if err == nil {
				left = groups[0].InFlight + groups[0].Undelivered
			}
			return err == nil && left < before
		})
	}
	for _, p := range slices.Clone(g.running) {
		g.leave(p)
	}
	t.Logf("%d messages, %d members, %d kills, %d pauses", total, len(g.all), g.kills, g.stops)
	check(t, g.all, total)
}

// group has the members of a test.
type group struct {
	t            *testing.T
	o            *Options
	dir          string
	all, running []*process
	kills, stops int

	pauses  sync.WaitGroup
	mu      sync.Mutex
	pausing map[*process]bool
}

// change lets a member join, leave, die or stand still.
func (g *group) change() {
	p, n := g.some()
	switch {
	case n < 2 || rand.IntN(4) == 0 && len(g.running) < maxMembers:
		g.join()
	case rand.IntN(3) == 0:
		g.leave(p)
	case rand.IntN(3) > 0 || n < 3:
		g.remove(p)
		p.kill()
		g.kills++
		g.join()
	default:
		g.stops++
		g.setPausing(p, true)
		g.pauses.Go(func() {
			p.pause(ackWait + rand.N(2*time.Second))
			g.setPausing(p, false)
		})
	}
}

func (g *group) setPausing(p *process, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pausing[p] = on
}

// some returns a member that is not paused, and the number of such members.
func (g *group) some() (p *process, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	free := slices.DeleteFunc(slices.Clone(g.running), func(p *process) bool { return g.pausing[p] })
	if len(free) == 0 {
		return nil, 0
	}
	return free[rand.IntN(len(free))], len(free)
}

func (g *group) join() {
	p := start(g.t, len(g.all), g.o, filepath.Join(g.dir, strconv.Itoa(len(g.all))))
	g.all, g.running = append(g.all, p), append(g.running, p)
}

func (g *group) leave(p *process) {
	g.remove(p)
	p.leave(g.t)
}

func (g *group) remove(p *process) {
	g.running = slices.DeleteFunc(g.running, func(other *process) bool { return other == p })
}

// publish appends messages until the returned function is called, which returns their number.
func publish(t *testing.T, l transport.Log) (stop func() int) {
	stopped, total := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				total <- n
				return
			case <-tick.C:
			}
			var wait sync.WaitGroup
			for range 10 {
				n++
				wait.Go(func() { appendOne(t, l) })
			}
			wait.Wait()
		}
	}()
	return func() int { close(stopped); return <-total }
}

func appendOne(t *testing.T, l transport.Log) {
	key := rand.IntN(keys)
	if rand.IntN(2) == 0 {
		key = rand.IntN(busyKeys)
	}
	ctx, cancel := context.WithTimeout(context.Background(), realtime.Patience)
	defer cancel()
	if _, err := l.Append(ctx, &transport.Message{Subject: "orders." + strconv.Itoa(key)}, transport.AppendOptions{}); err != nil {
		t.Error(err)
	}
}
