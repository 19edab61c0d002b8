package natsx

import (
	"time"

	"gomono.dev/transport"
)

// rate limits the deliveries of a member. After each delivery it pauses for the time that its
// bits take. The zero value does not limit.
type rate struct {
	bits  uint64 // a second
	until time.Time
}

// rest returns the remaining time of the pause.
func (r *rate) rest() time.Duration {
	if r.bits == 0 {
		return 0
	}
	return max(time.Until(r.until), 0)
}

func (r *rate) took(m *transport.Message) {
	if r.bits > 0 {
		r.until = time.Now().Add(time.Duration(float64(m.Size()*8) / float64(r.bits) * float64(time.Second)))
	}
}
