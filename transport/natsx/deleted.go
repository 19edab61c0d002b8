package natsx

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// deleted holds the deleted consumers that this Transport knows, by stream and name. In a
// cluster, a server that has not yet applied a deletion may still report the consumer. The
// time of creation distinguishes it from a new consumer of the same name.
type deleted struct {
	mu    sync.Mutex
	known map[string]time.Time
}

func (d *deleted) add(stream, consumer string, created time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]time.Time)
	}
	d.known[stream+"."+consumer] = created
}

// forget removes an existing consumer. It reports whether the consumer was recorded as
// deleted.
func (d *deleted) forget(is *jetstream.ConsumerInfo) bool {
	if !d.has(is) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, is.Stream+"."+is.Name)
	return true
}

func (d *deleted) has(is *jetstream.ConsumerInfo) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	created, ok := d.known[is.Stream+"."+is.Name]
	return ok && created.Equal(is.Created)
}
