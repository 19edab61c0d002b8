package mono_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"gomono.dev/mono"
)

var (
	numbers = mono.NewChannel[int]("test.numbers", mono.Capacity(2))
	copies  = mono.NewChannel[int]("test.copies", mono.FanOut())
	conn    = mono.NewResource[*database]("test.conn")
)

// counter is a module that sends 1 to n. Its Stop waits until all are sent.
type counter struct {
	name    string
	channel mono.Channel[int]
	n       int
	out     chan<- int
	done    chan struct{}
}

func (c *counter) Name() string { return c.name }

func (c *counter) Bind(s *mono.Scope) error {
	c.out, c.done = c.channel.Send(s), make(chan struct{})
	return nil
}

func (c *counter) Start(context.Context) error {
	go func() {
		defer close(c.done)
		for n := range c.n {
			c.out <- n + 1
		}
	}()
	return nil
}

func (c *counter) Stop(context.Context) error {
	<-c.done
	return nil
}

// adder is a module that adds up what it receives until its channel is closed.
type adder struct {
	name    string
	channel mono.Channel[int]
	in      <-chan int
	sum     int
	done    chan struct{}
}

func (a *adder) Name() string { return a.name }

func (a *adder) Bind(s *mono.Scope) error {
	a.in, a.done = a.channel.Receive(s), make(chan struct{})
	return nil
}

func (a *adder) Start(context.Context) error {
	go func() {
		defer close(a.done)
		for n := range a.in {
			a.sum += n
		}
	}()
	return nil
}

// Stop waits until the channel is closed. The App closes it after the senders have stopped,
// and stops the receivers later.
func (a *adder) Stop(context.Context) error {
	<-a.done
	return nil
}

// Receivers of a channel compete for its values. With FanOut each receives all values.
func TestChannel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		channel mono.Channel[int]
		sum     func(a, b int) bool
	}{
		{numbers, func(a, b int) bool { return a+b == 2*5050 }},           // receivers compete
		{copies, func(a, b int) bool { return a == 10100 && b == 10100 }}, // each gets all
	} {
		t.Run(c.channel.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &adder{name: "a", channel: c.channel}, &adder{name: "b", channel: c.channel}
				app := newApp(t)
				app.Add(&counter{name: "x", channel: c.channel, n: 100}, a, b, &counter{name: "y", channel: c.channel, n: 100})
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := app.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !c.sum(a.sum, b.sum) {
					t.Errorf("sums %d and %d", a.sum, b.sum)
				}
			})
		})
	}
}

// Each App has a separate channel for a handle.
func TestChannelIsOnePerApp(t *testing.T) {
	t.Parallel()
	for range 2 {
		a := &adder{name: "a", channel: numbers}
		app := newApp(t)
		app.Add(&counter{name: "x", channel: numbers, n: 3}, a)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); err != nil || a.sum != 6 {
			t.Errorf("sum %d, %v", a.sum, err)
		}
	}
}

// A receiver of a FanOut channel that does not read delays no Stop and leaks no goroutine.
func TestChannelReceiverThatStopsReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Add(
			&counter{name: "x", channel: copies, n: 1},
			module("idle", func(s *mono.Scope) { copies.Receive(s) }))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

type database struct {
	trace *trace
	err   error
}

func (d *database) Close() error {
	d.trace.add("close")
	return nil
}

func (d *database) PingContext(context.Context) error { return d.err }

// A resource opens before its provider and its users start, and closes after they stop.
// Its ping is part of the health of the App.
func TestResourceLifecycle(t *testing.T) {
	t.Parallel()
	var tr trace
	db := &database{trace: &tr}
	var inUser, inProvider *database
	app := newApp(t)
	app.Add(
		&lifecycle{name: "user",
			bind: func(s *mono.Scope) error { conn.Need(s, &inUser); return nil },
			start: func(context.Context) error {
				tr.add("user")
				if inUser != db {
					return errors.New("not filled")
				}
				return nil
			},
			stop: func(context.Context) error { tr.add("-user"); return nil }},
		&lifecycle{name: "provider",
			bind: func(s *mono.Scope) error {
				conn.Provide(s, func(context.Context) (*database, error) { tr.add("open"); return db, nil })
				conn.Need(s, &inProvider)
				return nil
			},
			start: func(context.Context) error { tr.add("provider"); return nil },
			stop:  func(context.Context) error { tr.add("-provider"); return nil }})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := app.Health(t.Context()); !h.Healthy || !h.Resources["test.conn"].Checked {
		t.Errorf("health %+v", h)
	}
	db.err = errors.New("gone away")
	if h := app.Health(t.Context()); h.Healthy || h.Resources["test.conn"].Message != "gone away" {
		t.Errorf("health %+v", h)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"open", "provider", "user", "-user", "-provider", "close"}
	if got := tr.all(); !slices.Equal(got, want) || inProvider != db {
		t.Errorf("got %v, want %v", got, want)
	}
}

// If a resource does not open, Start fails with its error.
func TestResourceThatDoesNotOpenFailsStart(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Add(module("provider", func(s *mono.Scope) {
		conn.Provide(s, func(context.Context) (*database, error) { return nil, errStart })
	}))
	if err := app.Start(t.Context()); !errors.Is(err, errStart) || app.State() != mono.StateCreated {
		t.Errorf("got %v", err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A type of plugin can be added several times under different names.
func TestPluginUnderSeveralNames(t *testing.T) {
	t.Parallel()
	first, second := mono.NewResource[int]("test.first"), mono.NewResource[int]("test.second")
	plugin := func(r mono.Resource[int], n int) mono.Module {
		return &lifecycle{bind: func(s *mono.Scope) error {
			r.Provide(s, func(context.Context) (int, error) { return n, nil })
			return nil
		}}
	}
	var a, b int
	app := newApp(t)
	app.Plugin("cache-a", plugin(first, 1))
	app.Plugin("cache-b", plugin(second, 2))
	app.Add(module("user", func(s *mono.Scope) { first.Need(s, &a); second.Need(s, &b) }))
	begin(t, app)
	if a != 1 || b != 2 {
		t.Errorf("got %d and %d", a, b)
	}
}
