package natsx

import (
	"time"

	"gomono.dev/transport"
)

// rate spaces the deliveries of a member out: after each it rests for as long as its
// bits take. The zero value does not limit.
type rate struct {
	bits  uint64 // a second
	until time.Time
}

// rest is for how long nothing more may be delivered.
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
