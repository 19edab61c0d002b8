package transporttest_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

// brokenForPrograms maps the breakages that random programs find to a pattern of their
// reports. A program may find a consequence first, so that several seeds are tried.
var brokenForPrograms = map[string]string{
	"rejects nothing when it is full":              `"stored as \d+"\], and the model returns \["resource_exhausted"\]`,
	"rejects instead of dropping":                  `"resource_exhausted"\], and the model returns \["stored as`,
	"delays any number of messages":                `"stored as 0"\], and the model returns \["resource_exhausted"\]`,
	"keeps settled messages":                       `want\s+log: first \d+, last \d+, 0 messages`,
	"keeps expired messages":                       `want\s+log: first \d+, last \d+, \d+ messages`,
	"ignores ids":                                  `the model returns \["duplicate of \d+"\]|id ""`,
	"never forgets ids":                            `returns \["duplicate of \d+"\], and the model returns \["(stored as|resource)|cannot be opened`,
	"ignores expectations":                         `the model returns \["aborted"\]|an expectation that cannot hold`,
	"rejects a repeated conditional append":        `returns \["aborted"\], and the model returns \["duplicate of \d+"\]|id ""`,
	"ignores a message's own time to live":         `want\s+log: first \d+, last \d+, \d+ messages|received`,
	"delivers delayed messages early":              `before its NotBefore`,
	"treats a log as one key":                      `undelivered|of key`,
	"does not count attempts":                      `as attempt 1 after attempt 1`,
	"has a constant fencing token":                 `with fencing token 1 after 1`,
	"forgets acknowledgements":                     `1 in flight\s+want\s+group \d \(g\d\): 0 in flight`,
	"redelivers terminated messages":               `after it had been settled there`,
	"redelivers before the delay is over":          `before its delay had passed`,
	"lets a live member's deliveries go to others": `while a live member held it`,
	"purges messages to keep":                      `purged"\], and the model returns \["\d+ purged"\]`,
	"loses hand-backs":                             `0 in flight\s+want\s+group \d \(g\d\): \d in flight|received|after Close returns`,
	"loses queued messages when it is drained":     `received`,
	"drains without waiting":                       `a Drain has returned while the member held`,
	"forgets positions":                            `after it had been settled there|received|in flight`,
	"loses messages of a killed process":           `0 in flight\s+want\s+group \d \(g\d\): \d in flight|received`,
	"loses one message in five":                    `want\s+log: `,
}

// brokenOnce are breakages that only programs find.
var brokenOnce = map[string]func(*inproc.Transport) transport.Transport{
	"loses messages of a killed process": func(tr *inproc.Transport) transport.Transport {
		held := make(chan *transport.Delivery, 10000)
		broken := alteration{deliver: func(d *transport.Delivery) { held <- d }}.broken(tr)
		return &mortal{Transport: broken, tr: tr, held: held}
	},
	"loses queued messages when it is drained": replacing(func(l transport.Log) transport.Log { return &oblivious{l} }),
	"loses one message in five":                replacing(func(l transport.Log) transport.Log { return &leaky{Log: l} }),
}

// mortal acknowledges what it holds when it is killed.
type mortal struct {
	transport.Transport
	tr   *inproc.Transport
	held chan *transport.Delivery
}

func (m *mortal) Kill() {
	for len(m.held) > 0 {
		_ = (<-m.held).Ack(context.Background())
	}
	m.tr.Kill()
}

// oblivious has a queue before the handler, and acknowledges the queued deliveries when
// it drains.
type oblivious struct{ transport.Log }

func (o *oblivious) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	m := &obliviousMember{h: h}
	var err error
	m.Receiver, err = o.Log.Consume(ctx, c, transport.Serial(m.take))
	return m, err
}

type obliviousMember struct {
	transport.Receiver
	h      transport.DeliveryHandler
	drains atomic.Bool

	turn  sync.Mutex // with the handler
	mu    sync.Mutex
	queue []*transport.Delivery
}

func (m *obliviousMember) take(d *transport.Delivery) {
	m.mu.Lock()
	m.queue = append(m.queue, d)
	m.mu.Unlock()
	go m.next()
}

func (m *obliviousMember) next() {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.mu.Lock()
	d := m.queue[0]
	m.queue = m.queue[1:]
	m.mu.Unlock()
	if m.drains.Load() {
		_ = d.Ack(context.Background())
		return
	}
	finish(m.h, d)
}

func (m *obliviousMember) Drain(ctx context.Context) error {
	m.drains.Store(true)
	return m.Receiver.Drain(ctx)
}

// leaky loses every fifth message that it has acknowledged.
type leaky struct {
	transport.Log
	n int
}

func (l *leaky) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	at, err := l.Log.Append(ctx, m, o)
	if l.n++; l.n%5 == 0 && at.Sequence > 0 {
		_ = l.Remove(ctx, at.Sequence)
	}
	return at, err
}

func breakageForPrograms(name string) func(*inproc.Transport) transport.Transport {
	if broken := brokenOnce[name]; broken != nil {
		return broken
	}
	return brokenLogs[name].broken
}

// Random programs find breakages, with the model and by comparison with a correct
// backend, and report what is wrong. They print a program that shows it.
func TestProgramsCatchBrokenTransports(t *testing.T) {
	t.Parallel()
	for name, pattern := range brokenForPrograms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := regexp.MustCompile(pattern + "|" + differs)
			var out string
			for seed := range programSeeds {
				out = catches(t, "Model", name, seed+1)
				if !strings.Contains(out, "transporttest.Program{\n") {
					t.Errorf("want a program in\n%s", out)
				}
				if want.MatchString(out) {
					return
				}
			}
			t.Errorf("want %q after one of %d seeds; the last output was\n%s", want, programSeeds, out)
		})
	}
	for _, name := range []string{"ignores ids", "loses messages of a killed process", "loses queued messages when it is drained"} {
		t.Run("by comparison "+name, func(t *testing.T) {
			t.Parallel()
			if out := catches(t, "Compare", name, 1); !strings.Contains(out, "on broken") {
				t.Errorf("want a report of what is broken in\n%s", out)
			}
		})
	}
}

// differs is the report of an observable state that differs from the model.
const differs = `want\s+(log: |group )`

const programSeeds = 5

const programVariable = "TRANSPORTTEST_PROGRAM_BREAKAGE"

// catches runs programs on a broken transport in a separate process, and in a separate
// directory, where the failed program is saved.
func catches(t *testing.T, how, name string, seed int) string {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProgramBreakage$/^"+how+"$",
		"-test.v", "-test.timeout=1m", "-rapid.nofailfile", "-rapid.shrinktime=2s", "-rapid.seed="+strconv.Itoa(seed))
	cmd.Env = append(os.Environ(), programVariable+"="+name)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it was not caught:\n%s", out)
	}
	return string(out)
}

// TestProgramBreakage is run by catches. On its own it tests nothing.
func TestProgramBreakage(t *testing.T) {
	name := os.Getenv(programVariable)
	if brokenForPrograms[name] == "" {
		return
	}
	broken := inMemory("broken", breakageForPrograms(name))
	o := transporttest.ProgramOptions{Parallel: 1, Programs: 2000}
	t.Run("Model", func(t *testing.T) { transporttest.Model(t, broken, o) })
	t.Run("Compare", func(t *testing.T) {
		whole := inMemory("whole", func(tr *inproc.Transport) transport.Transport { return tr })
		transporttest.Compare(t, whole, broken, o)
	})
}

func inMemory(name string, altered func(*inproc.Transport) transport.Transport) transporttest.Backend {
	return transporttest.Backend{
		Name: name,
		Open: func() (func(context.Context) (transport.Transport, error), func(context.Context, transport.Transport, string) error) {
			b := inproc.NewBackend(inproc.Options{})
			return func(context.Context) (transport.Transport, error) { return altered(b.Connect()), nil }, nil
		},
		Kill:   func(tr transport.Transport) { tr.(interface{ Kill() }).Kill() },
		Bubble: true,
	}
}

// A printed program can be pasted into a test.
func TestReplay(t *testing.T) {
	t.Parallel()
	p := transporttest.Program{
		Log: transport.LogConfig{Retention: 1, Storage: 1, Partitions: 2, Groups: []transport.GroupConfig{transport.GroupConfig{Name: "g0", Ordered: true}}},
		Steps: []transporttest.Step{
			{Do: "join", Group: "g0", InFlight: 100},
			{Do: "append", Key: "k0", Count: 2, Fates: []string{"hh"}},
			{Do: "append", Key: "k1", ID: "x", Fates: []string{"nd"}, TTL: 10 * time.Minute},
			{Do: "append", Key: "k1", ID: "y", Expect: &transport.Expectation{Subject: "k0", Sequence: 1}},
			{Do: "join", Process: 1, Group: "g0", InFlight: 100},
			{Do: "crash"},
			{Do: "settle", Group: "g0", Sequence: 1, Fates: []string{"a"}},
			{Do: "wait", Delay: 11 * time.Minute},
		},
	}
	transporttest.Replay(t, p, inMemory("one", func(tr *inproc.Transport) transport.Transport { return tr }))
	want := []string{
		`Log: transport.LogConfig{Retention: 1, Storage: 1, Partitions: 2, Groups: []transport.GroupConfig{transport.GroupConfig{Name: "g0", Ordered: true}}},`,
		`{Do: "append", Key: "k1", ID: "x", Fates: []string{"nd"}, TTL: 10 * time.Minute},`,
		`{Do: "append", Key: "k1", ID: "y", Expect: &transport.Expectation{Subject: "k0", Sequence: 1}},`,
	}
	for _, line := range want {
		if !strings.Contains(p.String(), line) {
			t.Errorf("want %s in\n%s", line, p)
		}
	}
}
