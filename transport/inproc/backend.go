package inproc

import (
	"sync"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc/internal/engine"
)

// Backend connects several Transports, like a server. A message that one of them
// publishes reaches the subscriptions of the others. Logs and buckets belong to the
// Backend and outlive every Transport. A Backend holds no goroutine; the garbage collector
// frees it together with its logs and buckets.
type Backend struct {
	maxPayload int
	router     *router
	inboxes    *inboxes
	clock      clock
	engine     engine.Engine // nil outside a test of package inproctest

	mu        sync.Mutex
	logs      map[string]*log
	buckets   map[string]*bucket
	objects   map[string]*objectStore
	connected int
}

// NewBackend returns a new Backend.
func NewBackend(o Options) *Backend {
	made := newClock()
	return &Backend{
		maxPayload: payloadLimit(o.MaxPayload),
		router:     newRouter(),
		inboxes:    newInboxes(made),
		clock:      made,
		engine:     o.Engine,
		logs:       make(map[string]*log),
		buckets:    make(map[string]*bucket),
		objects:    make(map[string]*objectStore),
	}
}

// Connect returns a new Transport of this Backend.
func (b *Backend) Connect() *Transport {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connected++
	t := &Transport{backend: b, number: b.connected, receivers: make(map[receiver]struct{}), done: make(chan struct{})}
	t.Transport = driver.New(conn{t})
	return t
}

// Restart forgets what a remote NATS server forgets when it is restarted on its store:
// the ids of removed messages. Tests can use it to find code that relies on them.
// Connections, and deliveries in flight, stay as they are. Unlike on a NATS server,
// settled messages do not repeat.
func (b *Backend) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.logs {
		l.forgetIDs()
	}
}

// openLog opens or creates the log that c describes, and changes it if that is allowed.
func (b *Backend) openLog(c transport.LogConfig) (*log, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.logs[c.Name]
	switch {
	case l == nil && c.Existing:
		return nil, transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "it does not exist")
	case l == nil:
		return b.makeLog(c)
	}
	if err := b.updateLog(l, c); err != nil {
		return nil, err
	}
	return l, nil
}

func (b *Backend) makeLog(c transport.LogConfig) (*log, error) {
	if err := b.checkSubjects(&c); err != nil {
		return nil, err
	}
	c.Sender = c.Sender || !c.Update
	l := newLog(b, c)
	b.logs[c.Name] = l
	b.router.move(l, nil, plain(&c))
	return l, nil
}

func (b *Backend) updateLog(l *log, c transport.LogConfig) error {
	was := l.settings.Load()
	changes, err := driver.ChangesLog(was, &c)
	if err != nil {
		return err
	}
	if changes {
		if err := b.checkSubjects(&c); err != nil {
			return err
		}
	}
	if err := l.update(c, changes); err != nil {
		return err
	}
	if changes {
		b.router.move(l, plain(was), plain(&c))
	}
	return nil
}

// plain returns the subjects whose plain messages a log stores.
func plain(c *transport.LogConfig) []string {
	if c.Partitions > 0 {
		return c.Subjects[:1]
	}
	return c.Subjects
}

// checkSubjects returns an error if a subject of c belongs to another log.
func (b *Backend) checkSubjects(c *transport.LogConfig) error {
	for name, other := range b.logs {
		if name == c.Name {
			continue
		}
		theirs := other.settings.Load().Subjects
		for _, subject := range c.Subjects {
			for _, their := range theirs {
				if transport.Overlap(subject, their) {
					return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
						"its subject %q overlaps with %q of log %q: a subject can belong to only one log, choose another", subject, their, name)
				}
			}
		}
	}
	return nil
}

// publish stores a message of a plain Publish or Request, and replies to the latter as a
// NATS server does.
func (b *Backend) publish(l *log, m *transport.Message) {
	var at transport.Appended
	o := &transport.AppendOptions{}
	err := o.Validate(l.settings.Load(), m)
	if err == nil {
		at, err = l.append(m, o)
	}
	if m.Reply != "" {
		b.deliver(&transport.Message{Subject: m.Reply, Body: l.acknowledgement(at, err)})
	}
}
