package inproc

import (
	"context"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/intake"
)

// handle is the view of a log from one Transport.
type handle struct {
	transport *Transport
	log       *log
	done      *acknowledgements
}

func newHandle(t *Transport, l *log) *handle {
	return &handle{transport: t, log: l, done: newAcknowledgements()}
}

// Append implements [transport.Log]. As on NATS, the message also goes to the
// subscriptions on its subject, stored or not. A delayed message does not.
func (h *handle) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	if err := h.admit(ctx, m, &o); err != nil {
		return transport.Appended{}, err
	}
	if h.transport.backend.watched {
		return h.appendStep(ctx, m, &o)
	}
	return h.append(m, &o)
}

// appendStep runs Append as a step.
func (h *handle) appendStep(ctx context.Context, m *transport.Message, o *transport.AppendOptions) (at transport.Appended, err error) {
	s := Step{Action: Append, Subject: m.Subject, Log: h.log.name}
	err = h.transport.act(ctx, s, m, func(times int) (err error) {
		if times == 0 {
			return h.transport.unknownOutcome(&s, "its acknowledgement did not arrive")
		}
		for range times {
			if at, err = h.append(m, o); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return transport.Appended{}, err
	}
	return at, nil
}

func (h *handle) append(m *transport.Message, o *transport.AppendOptions) (transport.Appended, error) {
	at, err := h.log.append(m, o)
	if at.Sequence != 0 || err != nil && o.NotBefore.IsZero() {
		h.transport.backend.forward(m)
	}
	return at, err
}

// AppendAsync implements [transport.Log].
func (h *handle) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	if err := h.admit(ctx, m, &o); err != nil {
		return err
	}
	if err := h.done.reserve(ctx, h.log.name); err != nil {
		return err
	}
	if h.transport.backend.watched {
		at, err := h.appendStep(ctx, m, &o)
		confirm := Step{Action: Confirm, Subject: m.Subject, Log: h.log.name, Sequence: at.Sequence}
		h.done.add(func() {
			_ = h.transport.AwaitStep(context.Background(), confirm, nil) // this context does not end
			done(at, err)
		})
		return nil
	}
	at, err := h.append(m, &o)
	h.done.add(func() { done(at, err) })
	return nil
}

// admit returns an error if m cannot be appended now.
func (h *handle) admit(ctx context.Context, m *transport.Message, o *transport.AppendOptions) error {
	if err := h.transport.admit(ctx, m); err != nil {
		return err
	}
	if m.Reply != "" {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"append to log %q on %q: it has the reply subject %q, which is not stored: leave it empty", h.log.name, m.Subject, m.Reply)
	}
	return o.Validate(h.log.settings.Load(), m)
}

// Consume implements [transport.Log].
func (h *handle) Consume(ctx context.Context, c transport.ConsumeConfig, handler transport.DeliveryHandler) (transport.Receiver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if handler == nil {
		return nil, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "member of group %q of log %q has no handler", c.Group.Name, h.log.name)
	}
	if err := h.ready(ctx); err != nil {
		return nil, err
	}
	m := newMember(h.transport, h.log, c, handler)
	if !h.transport.register(m) {
		return nil, errClosed("consume from log", h.log.name)
	}
	joined, err := m.join(c.Group)
	switch {
	case err != nil:
		h.transport.unregister(m)
		return nil, err
	case !joined:
		return nil, errClosed("consume from log", h.log.name)
	}
	intake.NewRelay(m.step, m.leave)
	return m, nil
}

// Remove implements [transport.Log].
func (h *handle) Remove(ctx context.Context, sequence uint64) error {
	if err := h.ready(ctx); err != nil {
		return err
	}
	h.log.lock()
	defer h.log.unlock()
	if h.log.store.at(sequence) == nil {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "log %q has no message %d to remove", h.log.name, sequence)
	}
	h.log.remove(sequence)
	h.log.offer()
	return nil
}

// Purge implements [transport.Log].
func (h *handle) Purge(ctx context.Context, p transport.PurgeConfig) (uint64, error) {
	if p.Subject != "" {
		if err := transport.ValidatePattern(p.Subject); err != nil {
			return 0, err
		}
	}
	if err := h.ready(ctx); err != nil {
		return 0, err
	}
	h.log.lock()
	defer h.log.unlock()
	doomed := h.log.matching(p)
	doomed = doomed[:len(doomed)-int(min(p.Keep, uint64(len(doomed))))]
	for _, sequence := range doomed {
		h.log.remove(sequence)
	}
	h.log.offer()
	return uint64(len(doomed)), nil
}

// matching returns the messages that p matches, except the last Keep.
func (l *log) matching(p transport.PurgeConfig) []uint64 {
	var found []uint64
	s := l.store
	for n := s.first; n <= s.last && (p.Before == 0 || n < p.Before); n = s.from(n + 1) {
		if p.Subject == "" || transport.Match(p.Subject, s.subjectAt(n).name) {
			found = append(found, n)
		}
	}
	return found
}

// Info implements [transport.Log].
func (h *handle) Info(ctx context.Context) (transport.LogInfo, error) {
	if err := h.ready(ctx); err != nil {
		return transport.LogInfo{}, err
	}
	l := h.log
	l.lock()
	defer l.unlock()
	return transport.LogInfo{
		Config:   declared(*l.config),
		First:    l.store.first,
		Last:     l.store.last,
		Messages: l.store.messages,
		Bytes:    l.store.bytes,
		Delayed:  l.delayed.count(l.now),
	}, nil
}

// Groups implements [transport.Log].
func (h *handle) Groups(ctx context.Context) ([]transport.GroupInfo, error) {
	if err := h.ready(ctx); err != nil {
		return nil, err
	}
	return h.log.groupInfos(), nil
}

// DeleteGroup implements [transport.Log].
func (h *handle) DeleteGroup(ctx context.Context, name string) error {
	if err := h.ready(ctx); err != nil {
		return err
	}
	return h.log.deleteGroup(name)
}

func (h *handle) ready(ctx context.Context) error {
	return h.transport.ready(ctx, "log", h.log.name)
}
