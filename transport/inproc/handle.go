package inproc

import (
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc/internal/engine"
)

// handle is the view of a log from one Transport. It is the driver of a
// [transport.Log].
type handle struct {
	transport *Transport
	log       *log
	done      acknowledgements
}

func newHandle(t *Transport, l *log) *handle {
	return &handle{transport: t, log: l}
}

// Config implements [driver.Log].
func (h *handle) Config() *transport.LogConfig { return h.log.settings.Load() }

// Append implements [driver.Log]. As on NATS, the message also goes to the
// subscriptions on its subject, stored or not. A delayed message does not.
func (h *handle) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	return h.append(ctx, m, &o)
}

func (h *handle) append(ctx context.Context, m *transport.Message, o *transport.AppendOptions) (at transport.Appended, err error) {
	op, err := h.beginAppend(ctx, m, o)
	if err != nil {
		return transport.Appended{}, err
	}
	for n := op.Times(); n > 0 && err == nil; n-- {
		at, err = h.store(m, o)
	}
	if err = op.End(err); err != nil {
		return transport.Appended{}, err
	}
	return at, nil
}

// appending describes an append for an engine.
type appending struct {
	log *log
	id  string
}

func (h *handle) beginAppend(ctx context.Context, m *transport.Message, o *transport.AppendOptions) (*engine.Op, error) {
	if h.transport.backend.engine == nil {
		return nil, nil
	}
	return h.transport.beginStep(ctx, engine.Append, m, &appending{h.log, o.ID})
}

func (h *handle) store(m *transport.Message, o *transport.AppendOptions) (transport.Appended, error) {
	at, err := h.log.append(m, o)
	if at.Sequence != 0 || err != nil && o.NotBefore.IsZero() {
		h.transport.backend.forward(m)
	}
	return at, err
}

// AppendAsync implements [driver.Log].
func (h *handle) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	at, err := h.append(ctx, m, &o)
	h.done.add(acknowledgement{h, m.Subject, at, err, done})
	return nil
}

// Consume implements [driver.Log].
func (h *handle) Consume(_ context.Context, c transport.ConsumeConfig, handler transport.DeliveryHandler) (transport.Receiver, error) {
	m := newMember(h.transport, h.log, c, handler)
	if !h.transport.register(m) {
		return nil, driver.ErrClosed
	}
	joined, err := m.join(c.Group)
	switch {
	case err != nil:
		h.transport.unregister(m)
		return nil, err
	case !joined:
		return nil, driver.ErrClosed
	}
	return m, nil
}

// Remove implements [driver.Log].
func (h *handle) Remove(_ context.Context, sequence uint64) error {
	h.log.lock()
	defer h.log.unlock()
	if h.log.store.at(sequence) == nil {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such message")
	}
	h.log.remove(sequence)
	h.log.groups.offer()
	return nil
}

// Purge implements [driver.Log].
func (h *handle) Purge(_ context.Context, p transport.PurgeConfig) (uint64, error) {
	h.log.lock()
	defer h.log.unlock()
	doomed := h.log.store.matching(p)
	doomed = doomed[:len(doomed)-int(min(p.Keep, uint64(len(doomed))))]
	for _, sequence := range doomed {
		h.log.remove(sequence)
	}
	h.log.groups.offer()
	return uint64(len(doomed)), nil
}

// Info implements [driver.Log].
func (h *handle) Info(context.Context) (transport.LogInfo, error) {
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

// Groups implements [driver.Log].
func (h *handle) Groups(context.Context) (infos []transport.GroupInfo, err error) {
	h.log.lock()
	defer h.log.unlock()
	for _, g := range h.log.groups.all {
		infos = append(infos, g.info())
	}
	return infos, nil
}

// DeleteGroup implements [driver.Log].
func (h *handle) DeleteGroup(_ context.Context, name string) error {
	h.log.lock()
	defer h.log.unlock()
	return h.log.groups.delete(name)
}

// PauseGroup implements [driver.Log].
func (h *handle) PauseGroup(_ context.Context, name string, until time.Time) error {
	h.log.lock()
	defer h.log.unlock()
	return h.log.groups.pause(name, until)
}
