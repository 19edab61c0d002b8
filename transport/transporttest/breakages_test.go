package transporttest_test

import (
	"context"
	"maps"
	"sync"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// breakage is a way to break a rule, the case that then fails, and a part of its output:
// the beginning of the rule, or the report of a deadlock in a bubble.
type breakage struct {
	broken func(*inproc.Transport) transport.Transport
	fails  string
	output string
}

// breakages are all breakages, by name.
var breakages = func() map[string]breakage {
	all := maps.Clone(brokenTransports)
	maps.Copy(all, brokenCore)
	maps.Copy(all, brokenLogs)
	return all
}()

var brokenTransports = map[string]breakage{
	"loses a message": {
		func(tr *inproc.Transport) transport.Transport { return &lossy{Transport: tr} },
		"publish/order", "Messages published by one goroutine on one Transport",
	},
	"ignores groups": {
		func(tr *inproc.Transport) transport.Transport { return groupless{tr} },
		"group/one-member", "Publish hands the message to one member of each group.",
	},
	"hands out one message twice": {
		func(tr *inproc.Transport) transport.Transport { return &sharing{Transport: tr} },
		"ownership/receivers", "A message passed to a Handler belongs to that handler",
	},
	"waits although there is no subscriber": {
		func(tr *inproc.Transport) transport.Transport { return patient{tr} },
		"request/no-subscriber", "Unavailable with OutcomeNotDone, at once",
	},
	"takes any subject": {
		func(tr *inproc.Transport) transport.Transport { return lenient{tr} },
		"subject/bad-publish", "Publish: InvalidArgument",
	},
}

type lossy struct {
	*inproc.Transport
	mu sync.Mutex
	n  int
}

func (l *lossy) Publish(ctx context.Context, m *transport.Message) error {
	l.mu.Lock()
	l.n++
	lose := l.n%1000 == 0
	l.mu.Unlock()
	if lose {
		return nil
	}
	return l.Transport.Publish(ctx, m)
}

type groupless struct{ *inproc.Transport }

func (g groupless) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	s.Group = ""
	return g.Transport.Subscribe(ctx, s, h)
}

type sharing struct {
	*inproc.Transport
	seen sync.Map
}

func (s *sharing) Subscribe(ctx context.Context, sub transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	return s.Transport.Subscribe(ctx, sub, func(m *transport.Message) transport.Work {
		first, _ := s.seen.LoadOrStore(m.Subject+string(m.Body), m.Body)
		m.Body = first.([]byte)
		return h(m)
	})
}

type patient struct{ *inproc.Transport }

func (p patient) Request(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	reply, err := p.Transport.Request(ctx, m)
	if transport.CodeOf(err) == transport.Unavailable {
		<-ctx.Done()
		err = transport.ContextError(ctx, transport.OutcomeUnknown, "%w", ctx.Err())
	}
	return reply, err
}

type lenient struct{ *inproc.Transport }

func (l lenient) Publish(ctx context.Context, m *transport.Message) error {
	if transport.ValidateSubject(m.Subject) != nil {
		return nil
	}
	return l.Transport.Publish(ctx, m)
}
