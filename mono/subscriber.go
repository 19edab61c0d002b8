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
	*receiver
	subs []transport.Receiver
}

// start implements source.
func (r *subscriber) start(ctx context.Context) error {
	for _, subject := range r.subjects() {
		sub, err := r.in.app.transport.Subscribe(ctx, r.subscription(subject), r.receive)
		if err != nil {
			return about(r.decl.String(), err)
		}
		r.subs = append(r.subs, sub)
	}
	return nil
}

// subjects returns the subjects of the subscriptions. A job of a NonPersistent queue has
// the subject of its group if it is to be confirmed.
func (r *subscriber) subjects() []string {
	if r.decl.nonPersistent() {
		return []string{r.in.names.prefix(r.decl), r.in.names.replay(r.decl, r.group(), "")}
	}
	return r.in.names.patterns(r.decl, &r.config)
}

func (r *subscriber) subscription(subject string) transport.Subscription {
	s := transport.Subscription{Subject: subject, Group: r.group(), PendingLimit: r.config.MaxBuffered, OnDrop: r.dropped}
	if r.replies() {
		s.Group = serviceGroup
		s.Endpoint = r.endpoint()
	}
	return s
}

// serviceGroup is the group of all instances of a service. It is the default of NATS
// micro services, so that an instance written with another library can share the calls.
const serviceGroup = "q"

// receive receives a message.
func (r *subscriber) receive(m *transport.Message) transport.Work {
	return r.admit(r.message(m, nil))
}

func (r *subscriber) dropped(total uint64) {
	r.in.log.Warn("mono: messages dropped, the handler is too slow", "module", r.unit.name, "handle", r.decl.name, "total", total)
	r.in.observe(MessagesDropped{Module: r.unit.name, Handle: r.decl, Total: total})
}

// leave implements source.
func (r *subscriber) leave() {}

// drain implements source.
func (r *subscriber) drain(ctx context.Context) error {
	var err error
	for _, sub := range r.subs {
		err = cmp.Or(err, sub.Drain(ctx))
	}
	return err
}

// concerned implements source.
func (r *subscriber) concerned(d *transport.Denial) bool {
	return d.Log == "" && slices.Contains(r.subjects(), d.Subject) && r.subscription(d.Subject).Group == d.Group
}
