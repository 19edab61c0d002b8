package testkit

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// bubble is the state of a bubble as seen from outside.
type bubble struct {
	name  atomic.Value // "synctest bubble 7", as in the first line of a stack
	ended chan any     // its panic value, or nil
}

// bubbleName returns the name of this goroutine's bubble in stacks.
func bubbleName() string {
	var b [256]byte
	header, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), "]")
	if i := strings.Index(header, "synctest bubble "); i >= 0 {
		return header[i:]
	}
	return ""
}

// goroutine is one goroutine of a bubble, parsed from its stack.
type goroutine struct {
	state string // "chan receive (durable)"
	stack string
}

// goroutines returns the goroutines of the bubble.
func (b *bubble) goroutines() []goroutine {
	name, _ := b.name.Load().(string)
	if name == "" {
		return nil
	}
	var all []goroutine
	for stack := range strings.SplitSeq(allStacks(), "\n\n") {
		header, _, _ := strings.Cut(stack, "\n")
		_, state, _ := strings.Cut(header, "[")
		state, _, ours := strings.Cut(state, ", "+name+"]")
		if ours {
			state, _, _ = strings.Cut(state, ", ") // the minutes of its wait
			all = append(all, goroutine{state, stack})
		}
	}
	return all
}

func allStacks() string {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return string(b[:n])
		}
	}
}

// isInternal reports whether the goroutine runs the bubble itself.
func (g *goroutine) isInternal() bool {
	return strings.HasPrefix(g.state, "synctest.Run") || strings.Contains(g.stack, "internal/synctest.Run(") || strings.Contains(g.stack, "testing/synctest.testingSynctestTest(")
}

// hangText explains why a bubble has not ended in time. It lists the goroutines that wait for
// something outside the bubble, and all others.
func (b *bubble) hangText(limit time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "the test has not ended after %v of real time", limit)
	all := b.goroutines()
	culprits := 0
	for _, g := range all {
		if why := g.cause(); why != "" && !g.isInternal() {
			culprits++
			fmt.Fprintf(&text, "\n\n%s:\n%s", why, g.stack)
		}
	}
	if culprits == 0 {
		text.WriteString(": either virtual time passes without an end, or a goroutine never pauses; bound the wait with a context, or the work with a deadline")
	}
	for _, g := range all {
		if g.cause() == "" && !g.isInternal() {
			fmt.Fprintf(&text, "\n\n%s", g.stack)
		}
	}
	return text.String()
}

// cause returns what keeps a goroutine's bubble from coming to rest, or "" if it rests or runs.
func (g *goroutine) cause() string {
	state := g.state
	switch {
	case strings.Contains(state, "(durable)"):
		return ""
	case strings.HasPrefix(state, "chan "), strings.HasPrefix(state, "select"):
		return "a goroutine waits on a channel that was made outside the bubble: make it in the body of testkit.Run"
	case strings.HasPrefix(state, "sync.Mutex"), strings.HasPrefix(state, "sync.RWMutex"), strings.HasPrefix(state, "semacquire"):
		return "a goroutine waits for a lock that is never released, or that a waiting goroutine holds: hold no lock while you send or call"
	case strings.HasPrefix(state, "IO wait"), strings.HasPrefix(state, "syscall"):
		return "a goroutine waits for a real network or file, which virtual time cannot wait for: use testkit.Fake, or net.Pipe, or natstest"
	case strings.HasPrefix(state, "running"), strings.HasPrefix(state, "runnable"), strings.HasPrefix(state, "sleep"):
		return ""
	}
	return "a goroutine waits for something outside the bubble (" + state + ")"
}

// explain returns the meaning of a panic that ended a bubble.
func (b *bubble) explain(v any) string {
	switch text := fmt.Sprint(v); {
	case strings.Contains(text, "main bubble goroutine has exited"):
		return "goroutines still run after all modules have stopped: end them in the Stop of the module that started them, and wait for their end" + b.remaining()
	case strings.Contains(text, "all goroutines in bubble are blocked"):
		return "everything waits for something that will never happen, however much time passes" + b.remaining()
	case strings.Contains(text, "within a synctest bubble"):
		return "testkit.Run was called in a bubble: it makes its own bubble; call it outside synctest.Test and outside another Run"
	default:
		return panicText(v, nil)
	}
}

func (b *bubble) remaining() string {
	var text strings.Builder
	for _, g := range b.goroutines() {
		if !g.isInternal() {
			text.WriteString("\n\n" + g.stack)
		}
	}
	return text.String()
}
