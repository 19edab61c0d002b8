package bench

import (
	"testing"

	"gomono.dev/mono"
)

// A call over inproc allocates as often as its parts need: see the numbers.
func TestAllocationsOfACallOverInproc(t *testing.T) {
	const most = 7
	if n := allocationsOf(t, localEcho(t, mono.NoLocalCalls())); n > most {
		t.Errorf("a call allocates %v times, want at most %d", n, most)
	}
}

// An event over inproc allocates a copy of its message and of its body, and the memory that its
// handler keeps.
func TestAllocationsOfAnEventOverInproc(t *testing.T) {
	const most = 3
	var publish mono.Publisher[[]byte]
	sizes := make(chan int, 1)
	local(t, func(s *mono.Scope) {
		subscribe(s, func(body []byte) { sizes <- len(body) })
		publish = posted.Publisher(s)
	})
	if n := eventAllocations(t, publish, sizes); n > most {
		t.Errorf("an event allocates %v times, want at most %d", n, most)
	}
}

// eventAllocations publishes events, whose sizes their handler sends.
func eventAllocations(t *testing.T, publish mono.Publisher[[]byte], sizes <-chan int) float64 {
	ctx, body := t.Context(), make([]byte, size)
	return testing.AllocsPerRun(500, func() {
		if err := publish(ctx, body); err != nil || <-sizes != size {
			t.Error(err)
		}
	})
}

func allocationsOf(t *testing.T, ask mono.Func[[]byte, []byte]) float64 {
	ctx, question := t.Context(), make([]byte, size)
	return testing.AllocsPerRun(500, func() {
		if answer, err := ask(ctx, question); err != nil || len(answer) != size {
			t.Fatalf("%d bytes, %v", len(answer), err)
		}
	})
}
