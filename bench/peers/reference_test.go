package peers

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	reference "github.com/go-monolith/mono"
	"github.com/go-monolith/mono/pkg/helper"
	"github.com/nats-io/nats.go"

	"gomono.dev/internal/loopback"
)

// github.com/go-monolith/mono starts its own NATS server, to which it has one connection. So
// both ends of its work are joined. It differs from the others in this:
//
//   - Its queue groups store nothing, and acknowledge a message before it is handled.
//   - Its stream consumers store messages. Their handlers must acknowledge each message by
//     themselves, and get them in batches, by default of ten: a batch that is not full waits until its
//     time is over. A message whose handler fails is not retried before its AckWait is over.

func referenceCall(b *testing.B, l link) call {
	client := referenceService(b, l, func(c reference.ServiceContainer) error {
		return c.RegisterRequestReplyService("echo", func(_ context.Context, m *reference.Msg) ([]byte, error) { return m.Data, nil })
	}, func(c reference.ServiceContainer) (reference.RequestReplyServiceClient, error) {
		return c.GetRequestReplyService("echo")
	})
	return func(ctx context.Context, body []byte) ([]byte, error) {
		m, err := client.Call(ctx, body)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}
}

func referenceEvent(b *testing.B, l link, handle handler) event {
	m := &referenceEvents{
		is: helper.EventDefinition[struct{}]("events", "Posted", "v1", "events.events.v1.posted").ToBase(),
		handle: func(_ context.Context, m *reference.Msg) error {
			handle(m.Data)
			return nil
		},
	}
	referenceApp(b, l, "", m)
	return func(_ context.Context, body []byte) error { return m.is.PublishRaw(m.bus, body, nil) }
}

func referenceGroup(b *testing.B, l link, handle handler) work {
	client := referenceService(b, l, func(c reference.ServiceContainer) error {
		return c.RegisterQueueGroupService("jobs", reference.QGHP{QueueGroup: "workers", Handler: func(_ context.Context, m *reference.Msg) error {
			handle(m.Data)
			return nil
		}})
	}, func(c reference.ServiceContainer) (reference.QueueGroupServiceClient, error) {
		return c.GetQueueGroupService("jobs")
	})
	return work{append: client.Send}
}

func referenceQueue(b *testing.B, l link, handle handler) work {
	return referenceWork(b, l, handle, reference.WorkQueuePolicy)
}

func referenceStream(b *testing.B, l link, handle handler) work {
	return referenceWork(b, l, handle, reference.LimitsPolicy)
}

func referenceWork(b *testing.B, l link, handle handler, retention reference.RetentionPolicy) work {
	m := &referenceModule{register: func(c reference.ServiceContainer) error {
		return c.RegisterStreamConsumerService("work", reference.StreamConsumerConfig{
			Stream: reference.StreamConfig{Name: "work", Retention: retention},
			Fetch:  reference.FetchConfig{BatchSize: batch},
		}, func(_ context.Context, messages []*reference.Msg) error {
			for _, m := range messages {
				handle(m.Data)
				if err := m.Ack(); err != nil {
					return err
				}
			}
			return nil
		})
	}}
	dir, err := os.MkdirTemp("", "peers") // not b.TempDir: its server may write after Stop
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	app := referenceApp(b, l, dir, m)
	client, err := m.services.GetStreamConsumerService("work")
	if err != nil {
		b.Fatal(err)
	}
	return work{
		append: func(ctx context.Context, body []byte) error {
			_, err := client.Publish(ctx, body)
			return err
		},
		idle: idle(app.EventBus("").(interface{ Conn() *nats.Conn }).Conn()),
	}
}

// referenceService starts a module with a service, and returns its client.
func referenceService[C any](b *testing.B, l link, register func(reference.ServiceContainer) error, client func(reference.ServiceContainer) (C, error)) C {
	m := &referenceModule{register: register}
	referenceApp(b, l, "", m)
	c, err := client(m.services)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// referenceApp starts an application with a store if dir is not empty.
func referenceApp(b *testing.B, l link, dir string, m reference.Module) reference.MonoApplication {
	options := []reference.MonoFrameworkOption{reference.WithLogLevel(reference.LogLevelError), reference.WithLogOutput(io.Discard)}
	if l.tcp {
		_, text, _ := net.SplitHostPort(loopback.Free(b))
		port, _ := strconv.Atoi(text)
		options = append(options, reference.WithNATSPort(port))
	} else {
		options = append(options, reference.WithNATSDontListen(), reference.WithNATSInProcessConn())
	}
	if dir != "" {
		options = append(options, reference.WithJetStreamStorageDir(dir))
	}
	app, err := reference.NewMonoApplication(options...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = app.Stop(context.Background()) })
	if err := app.Register(m); err != nil {
		b.Fatal(err)
	}
	if err := app.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	return app
}

// referenceModule provides a service.
type referenceModule struct {
	register func(reference.ServiceContainer) error
	services reference.ServiceContainer
}

func (*referenceModule) Name() string                { return "provider" }
func (*referenceModule) Start(context.Context) error { return nil }
func (*referenceModule) Stop(context.Context) error  { return nil }

func (m *referenceModule) RegisterServices(c reference.ServiceContainer) error {
	m.services = c
	return m.register(c)
}

// referenceEvents emits an event and consumes it.
type referenceEvents struct {
	is     reference.BaseEventDefinition
	handle reference.EventConsumerHandler
	bus    reference.EventBus
}

func (*referenceEvents) Name() string                         { return "events" }
func (*referenceEvents) Start(context.Context) error          { return nil }
func (*referenceEvents) Stop(context.Context) error           { return nil }
func (m *referenceEvents) SetEventBus(bus reference.EventBus) { m.bus = bus }

func (m *referenceEvents) EmitEvents() []reference.BaseEventDefinition {
	return []reference.BaseEventDefinition{m.is}
}

func (m *referenceEvents) RegisterEventConsumers(r reference.EventRegistry) error {
	return r.RegisterEventConsumer(m.is, m.handle, m)
}
