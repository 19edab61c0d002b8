package inproc

import (
	"sync"

	"gomono.dev/transport"
)

// Backend is what several Transports have in common, as connections have a
// server: what one publishes reaches the subscriptions of another, and logs belong
// to the Backend and outlive every Transport. It holds no goroutine; one that
// nobody refers to is gone with its logs.
type Backend struct {
	maxPayload int
	router     *router
	inboxes    *inboxes
	picker     picker
	clock      clock
	scheduler  *scheduler // nil: everything happens by itself
	fault      func(Point) Verdict
	watched    bool // there is a scheduler or a fault

	mu        sync.Mutex
	logs      map[string]*log
	connected int
}

// NewBackend makes a Backend. A nil o is the zero Options.
func NewBackend(o *Options) *Backend {
	if o == nil {
		o = new(Options)
	}
	made := newClock()
	b := &Backend{
		maxPayload: payloadLimit(o.MaxPayload),
		router:     newRouter(),
		inboxes:    newInboxes(made),
		picker:     newPicker(o.Seed),
		clock:      made,
		fault:      o.Fault,
		watched:    o.Rest != nil || o.Fault != nil,
		logs:       make(map[string]*log),
	}
	b.scheduler = newScheduler(o, b.clock)
	return b
}

// Connect makes a Transport of this Backend.
func (b *Backend) Connect() *Transport {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connected++
	return &Transport{backend: b, number: b.connected, receivers: make(map[receiver]struct{}), done: make(chan struct{})}
}

// Restart forgets what a NATS server elsewhere forgets when it ends and is started
// again on its store, so that no test relies on it: the ids of messages that are gone.
// Connections, and what members hold, stay as they are; settled messages do not repeat.
func (b *Backend) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.logs {
		l.forgetIDs()
	}
}

// openLog finds or makes the log that c describes, and changes it as c says.
func (b *Backend) openLog(c transport.LogConfig) (*log, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.logs[c.Name]
	if l == nil {
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
	l := newLog(b, c)
	b.logs[c.Name] = l
	b.router.move(l, nil, plain(&c))
	return l, nil
}

func (b *Backend) updateLog(l *log, c transport.LogConfig) error {
	was := l.settings.Load()
	changes := c.Update && c.Generation >= was.Generation
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
	if c.Lanes > 0 {
		return c.Subjects[:1]
	}
	return c.Subjects
}

// checkSubjects reports a subject that another log has.
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
						"log %q: its subject %q overlaps with %q of log %q: a subject belongs to one log, choose another", c.Name, subject, their, name)
				}
			}
		}
	}
	return nil
}

// publish stores a message that came by a plain Publish or Request, and answers
// the latter as a NATS server does.
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
