package mono

import (
	"cmp"
	"context"
	"slices"

	"gomono.dev/transport"
)

// source is the origin of a receiver's messages: the subscriptions of a subscriber, or
// the group of a consumer.
type source interface {
	start(ctx context.Context) error

	// leave makes messages go elsewhere, during a stop and before drain.
	leave()

	// drain returns when the messages that have arrived were admitted.
	drain(ctx context.Context) error

	// concerned reports whether a denial is one of this source.
	concerned(d *transport.Denial) bool
}

// subscriber receives the messages of a handle that is not stored.
type subscriber struct {
	r    *receiver
	subs []transport.Receiver
}

// start implements source.
func (s *subscriber) start(ctx context.Context) error {
	for _, subject := range s.subjects() {
		sub, err := s.r.in.app.transport.Subscribe(ctx, s.subscription(subject), s.receive)
		if err != nil {
			return about(s.r.decl.String(), err)
		}
		s.subs = append(s.subs, sub)
	}
	return nil
}

// subjects returns the subjects of the subscriptions. A job of a NonPersistent queue has
// the subject of its group if it is to be confirmed.
func (s *subscriber) subjects() []string {
	if s.r.decl.nonPersistent() {
		return []string{s.r.in.names.prefix(s.r.decl), s.r.in.names.ask(s.r.decl, s.r.group())}
	}
	return s.r.in.names.patterns(s.r.decl, &s.r.config)
}

func (s *subscriber) subscription(subject string) transport.Subscription {
	c := transport.Subscription{Subject: subject, Group: s.r.group(), PendingLimit: s.r.config.MaxBuffered, OnDrop: s.dropped}
	if s.r.replies() {
		c.Group, c.Endpoint = serviceGroup, s.endpoint()
	}
	return c
}

// serviceGroup is the group of all instances of a service. It is the default of NATS
// micro services, so that an instance written with another library can share the calls.
const serviceGroup = "q"

// receive receives a message.
func (s *subscriber) receive(m *transport.Message) transport.Work {
	if s.r.arrive != nil && len(m.Header) == 0 {
		return s.r.arrive(m)
	}
	return s.r.admit(s.r.message(m, nil))
}

func (s *subscriber) dropped(total uint64) {
	s.r.in.log.Warn("mono: messages dropped, the handler is too slow", "module", s.r.unit.name, "handle", s.r.decl.name, "total", total)
	s.r.in.observe(MessagesDropped{Module: s.r.unit.name, Handle: s.r.decl, Total: total})
}

// leave implements source.
func (s *subscriber) leave() {}

// drain implements source.
func (s *subscriber) drain(ctx context.Context) error {
	var err error
	for _, sub := range s.subs {
		err = cmp.Or(err, sub.Drain(ctx))
	}
	return err
}

// concerned implements source.
func (s *subscriber) concerned(d *transport.Denial) bool {
	return d.Log == "" && slices.Contains(s.subjects(), d.Subject) && s.subscription(d.Subject).Group == d.Group
}
