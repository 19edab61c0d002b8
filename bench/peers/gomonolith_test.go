package peers

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	gomonolith "github.com/go-monolith/mono"
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

func gomonolithCall(b *testing.B, l link) call {
	client := gomonolithService(b, l, func(c gomonolith.ServiceContainer) error {
		return c.RegisterRequestReplyService("echo", func(_ context.Context, m *gomonolith.Msg) ([]byte, error) { return m.Data, nil })
	}, func(c gomonolith.ServiceContainer) (gomonolith.RequestReplyServiceClient, error) {
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

func gomonolithEvent(b *testing.B, l link, handle handler) event {
	m := &gomonolithEvents{
		is: helper.EventDefinition[struct{}]("events", "Posted", "v1", "events.events.v1.posted").ToBase(),
		handle: func(_ context.Context, m *gomonolith.Msg) error {
			handle(m.Data)
			return nil
		},
	}
	gomonolithApp(b, l, "", m)
	return func(_ context.Context, body []byte) error { return m.is.PublishRaw(m.bus, body, nil) }
}

func gomonolithGroup(b *testing.B, l link, handle handler) work {
	client := gomonolithService(b, l, func(c gomonolith.ServiceContainer) error {
		return c.RegisterQueueGroupService("jobs", gomonolith.QGHP{QueueGroup: "workers", Handler: func(_ context.Context, m *gomonolith.Msg) error {
			handle(m.Data)
			return nil
		}})
	}, func(c gomonolith.ServiceContainer) (gomonolith.QueueGroupServiceClient, error) {
		return c.GetQueueGroupService("jobs")
	})
	return work{append: client.Send}
}

func gomonolithQueue(b *testing.B, l link, handle handler) work {
	return gomonolithWork(b, l, handle, gomonolith.WorkQueuePolicy)
}

func gomonolithStream(b *testing.B, l link, handle handler) work {
	return gomonolithWork(b, l, handle, gomonolith.LimitsPolicy)
}

func gomonolithWork(b *testing.B, l link, handle handler, retention gomonolith.RetentionPolicy) work {
	m := &gomonolithModule{register: func(c gomonolith.ServiceContainer) error {
		return c.RegisterStreamConsumerService("work", gomonolith.StreamConsumerConfig{
			Stream: gomonolith.StreamConfig{Name: "work", Retention: retention},
			Fetch:  gomonolith.FetchConfig{BatchSize: batch},
		}, func(_ context.Context, messages []*gomonolith.Msg) error {
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
	app := gomonolithApp(b, l, dir, m)
	client, err := m.services.GetStreamConsumerService("work")
	if err != nil {
		b.Fatal(err)
	}
	return work{
		append: func(ctx context.Context, body []byte) error {
			_, err := client.Publish(ctx, body)
			return err
		},
		idle: idle(b, app.EventBus("").(interface{ Conn() *nats.Conn }).Conn()),
	}
}

// gomonolithService starts a module with a service, and returns its client.
func gomonolithService[C any](b *testing.B, l link, register func(gomonolith.ServiceContainer) error, client func(gomonolith.ServiceContainer) (C, error)) C {
	m := &gomonolithModule{register: register}
	gomonolithApp(b, l, "", m)
	c, err := client(m.services)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// gomonolithApp starts an application with a store if dir is not empty.
func gomonolithApp(b *testing.B, l link, dir string, m gomonolith.Module) gomonolith.MonoApplication {
	options := []gomonolith.MonoFrameworkOption{gomonolith.WithLogLevel(gomonolith.LogLevelError), gomonolith.WithLogOutput(io.Discard)}
	if l.tcp {
		_, text, _ := net.SplitHostPort(loopback.Free(b))
		port, _ := strconv.Atoi(text)
		options = append(options, gomonolith.WithNATSPort(port))
	} else {
		options = append(options, gomonolith.WithNATSDontListen(), gomonolith.WithNATSInProcessConn())
	}
	if dir != "" {
		options = append(options, gomonolith.WithJetStreamStorageDir(dir))
	}
	app, err := gomonolith.NewMonoApplication(options...)
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

// gomonolithModule provides a service.
type gomonolithModule struct {
	register func(gomonolith.ServiceContainer) error
	services gomonolith.ServiceContainer
}

func (*gomonolithModule) Name() string                { return "provider" }
func (*gomonolithModule) Start(context.Context) error { return nil }
func (*gomonolithModule) Stop(context.Context) error  { return nil }

func (m *gomonolithModule) RegisterServices(c gomonolith.ServiceContainer) error {
	m.services = c
	return m.register(c)
}

// gomonolithEvents emits an event and consumes it.
type gomonolithEvents struct {
	is     gomonolith.BaseEventDefinition
	handle gomonolith.EventConsumerHandler
	bus    gomonolith.EventBus
}

func (*gomonolithEvents) Name() string                          { return "events" }
func (*gomonolithEvents) Start(context.Context) error           { return nil }
func (*gomonolithEvents) Stop(context.Context) error            { return nil }
func (m *gomonolithEvents) SetEventBus(bus gomonolith.EventBus) { m.bus = bus }

func (m *gomonolithEvents) EmitEvents() []gomonolith.BaseEventDefinition {
	return []gomonolith.BaseEventDefinition{m.is}
}

func (m *gomonolithEvents) RegisterEventConsumers(r gomonolith.EventRegistry) error {
	return r.RegisterEventConsumer(m.is, m.handle, m)
}
