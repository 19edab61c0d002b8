package natsx

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// A queue that is never empty does not keep room for all that ever waited.
func TestInboxThatIsNeverEmptyStaysSmall(t *testing.T) {
	t.Parallel()
	b := newInbox(1<<20, nil)
	msg := new(nats.Msg)
	b.put(msg)
	for range 1_000_000 {
		b.put(msg)
		if _, ok := b.take(); !ok {
			t.Fatal("it has ended")
		}
	}
	if room := cap(b.waiting); room > 8*keepRoom {
		t.Errorf("it keeps room for %d messages", room)
	}
}
