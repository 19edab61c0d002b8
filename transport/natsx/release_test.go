package natsx_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// Many hand-backs at once are no attempts elsewhere, whichever way they are handed back,
// and take few records.
func TestManyHandBacksAreNoAttempts(t *testing.T) {
	t.Parallel()
	const n = 1500
	group := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: n}
	for name, handBack := range map[string]func(*natsx.Transport, transport.Receiver, []*transport.Delivery){
		"Release": func(_ *natsx.Transport, r transport.Receiver, held []*transport.Delivery) {
			var wait sync.WaitGroup
			for _, d := range held {
				wait.Go(func() { _ = d.Release(t.Context()) })
			}
			if err := r.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			wait.Wait()
		},
		"Receiver.Close": func(_ *natsx.Transport, r transport.Receiver, _ []*transport.Delivery) { r.Close() },
		"Transport.Close": func(tr *natsx.Transport, _ transport.Receiver, _ []*transport.Delivery) {
			_ = tr.Close(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() })
			one, two := connect(t, s.ClientURL()), connect(t, s.ClientURL())
			l := openLog(t, one, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group.Group}})
			for i := range n {
				if _, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{ID: strconv.Itoa(i)}); err != nil {
					t.Fatal(err)
				}
			}
			deliveries := make(chan *transport.Delivery, n)
			var stopping atomic.Bool
			r, err := l.Consume(t.Context(), group, transport.Serial(func(d *transport.Delivery) {
				if stopping.Load() { // it came back before the Drain began
					_ = d.Release(t.Context())
					return
				}
				deliveries <- d
			}))
			if err != nil {
				t.Fatal(err)
			}
			held := make([]*transport.Delivery, n)
			for i := range held {
				held[i] = receive(t, deliveries)
			}
			stopping.Store(true)
			handBack(one, r, held)
			again, _ := consume(t, openLog(t, two, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group.Group}}), group)
			for range n {
				if d := receive(t, again); d.Attempt != 1 {
					t.Fatalf("attempt %d of message %d", d.Attempt, d.Sequence)
				}
			}
			js, err := jetstream.New(two.Conn())
			if err != nil {
				t.Fatal(err)
			}
			state, err := js.Stream(t.Context(), "mono_state")
			if err != nil {
				t.Fatal(err)
			}
			if records := state.CachedInfo().State.Msgs; records > 100 {
				t.Errorf("%d records", records)
			}
		})
	}
}
