package testkit

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// bubble is what is known of a bubble from outside.
type bubble struct {
	name  atomic.Value // "synctest bubble 7", as in the first line of a stack
	ended chan any     // what it panicked with, or nil
}

// bubbleName returns what stacks call the bubble of this goroutine.
func bubbleName() string {
	var b [256]byte
	header, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), "]")
	if i := strings.Index(header, "synctest bubble "); i >= 0 {
		return header[i:]
	}
	return ""
}

// goroutine is one goroutine of a bubble, as its stack tells.
type goroutine struct {
	state string // "chan receive (durable)"
	stack string
}

// goroutines returns those of the bubble.
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
			state, _, _ = strings.Cut(state, ", ") // the minutes that it waits
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

// machinery is what runs a bubble itself.
func (g *goroutine) machinery() bool {
	return strings.HasPrefix(g.state, "synctest.Run") || strings.Contains(g.stack, "internal/synctest.Run(") || strings.Contains(g.stack, "testing/synctest.testingSynctestTest(")
}

// hang says why a bubble has not ended in time: who waits for something that is
// outside of it, and everybody else.
func (b *bubble) hang(limit time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "the test has not ended after %v of real time", limit)
	all := b.goroutines()
	culprits := 0
	for _, g := range all {
		if why := g.why(); why != "" && !g.machinery() {
			culprits++
			fmt.Fprintf(&text, "\n\n%s:\n%s", why, g.stack)
		}
	}
	if culprits == 0 {
		text.WriteString(": either virtual time passes without an end, or a goroutine runs without a pause; bound the wait with a context, or the work with a deadline")
	}
	for _, g := range all {
		if g.why() == "" && !g.machinery() {
			fmt.Fprintf(&text, "\n\n%s", g.stack)
		}
	}
	return text.String()
}

// why says what keeps a goroutine's bubble from coming to rest, "" for one that
// rests or runs.
func (g *goroutine) why() string {
	state := g.state
	switch {
	case strings.Contains(state, "(durable)"):
		return ""
	case strings.HasPrefix(state, "chan "), strings.HasPrefix(state, "select"):
		return "a goroutine waits on a channel that was made outside the bubble: make it in the body of testkit.Run"
	case strings.HasPrefix(state, "sync.Mutex"), strings.HasPrefix(state, "sync.RWMutex"), strings.HasPrefix(state, "semacquire"):
		return "a goroutine waits for a lock that is never released, or that is held by somebody who waits: hold no lock while you send or call"
	case strings.HasPrefix(state, "IO wait"), strings.HasPrefix(state, "syscall"):
		return "a goroutine waits for a real network or file, which virtual time cannot wait for: use testkit.Fake, or net.Pipe, or natstest"
	case strings.HasPrefix(state, "running"), strings.HasPrefix(state, "runnable"), strings.HasPrefix(state, "sleep"):
		return ""
	}
	return "a goroutine waits for what is outside the bubble (" + state + ")"
}

// explain says what a bubble's end in a panic means.
func (b *bubble) explain(v any) string {
	switch text := fmt.Sprint(v); {
	case strings.Contains(text, "main bubble goroutine has exited"):
		return "goroutines are left over when all modules have stopped: end them in the Stop of the module that began them, and wait for their end" + b.remaining()
	case strings.Contains(text, "all goroutines in bubble are blocked"):
		return "everything waits for something that will never happen, and no time can bring it about" + b.remaining()
	case strings.Contains(text, "within a synctest bubble"):
		return "testkit.Run was called in a bubble: it makes its own, call it outside synctest.Test and outside another Run"
	default:
		return panicText(v, nil)
	}
}

func (b *bubble) remaining() string {
	var text strings.Builder
	for _, g := range b.goroutines() {
		if !g.machinery() {
			text.WriteString("\n\n" + g.stack)
		}
	}
	return text.String()
}
