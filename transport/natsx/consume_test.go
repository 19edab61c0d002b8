package natsx_test

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// A member that requests few messages at a time does not stall: none of its pulls expires or
// counts as lost while there are messages for it.
func TestSmallWindowsDoNotStall(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			t.Parallel()
			tr := inProcess(t, nil)
			group := transport.GroupConfig{Name: "g"}
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
			const n = 5000
			var stored, received atomic.Int64
			inbox := ""
			listen(t, tr, "$JS.API.CONSUMER.MSG.NEXT.l.g", func(pull *nats.Msg) {
				if inbox = cmp.Or(inbox, pull.Reply); pull.Reply != inbox { // a new round
					t.Errorf("a pull counted as lost: %s is followed by %s", inbox, pull.Reply)
				}
			})
			listen(t, tr, "_INBOX.>", func(m *nats.Msg) {
				waiting := stored.Load() - received.Load() - int64(window)
				if m.Header.Get("Status") == "408" && waiting > 0 {
					t.Errorf("a pull has expired while %d messages wait: %v", waiting, m.Header)
				}
			})
			deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: window})
			go func() {
				for range n {
					_, _ = l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
					stored.Add(1)
				}
			}()
			for range n {
				ack(t, receive(t, deliveries))
				if received.Add(1); t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}

// listen subscribes with a plain client until the end of the test.
func listen(t *testing.T, tr *natsx.Transport, subject string, handle func(*nats.Msg)) {
	t.Helper()
	sub, err := tr.Conn().Subscribe(subject, handle)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(ended) })
	t.Cleanup(func() {
		_ = sub.Unsubscribe()
		receive(t, ended)
	})
}

// A member with one slow delivery leaves the others to other members.
func TestSlowMemberHoldsNothingBack(t *testing.T) {
	t.Parallel()
	group := transport.GroupConfig{Name: "g"}
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	slow, _ := consume(t, l, transport.ConsumeConfig{Group: group})
	for range 20 {
		appendTo(t, l, "l", "", transport.AppendOptions{})
	}
	receive(t, slow)
	other, _ := consume(t, l, transport.ConsumeConfig{Group: group})
	for range 19 {
		ack(t, receive(t, other))
	}
}

// A log leaves no goroutines, however its members and readers end.
func TestNoGoroutineOutlivesALog(t *testing.T) {
	s := startServer(t, nil)
	before := clientGoroutines()
	tr := connect(t, s.ClientURL())
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 4, Storage: transport.MemoryStorage})
	for i := range 50 {
		appendTo(t, l, fmt.Sprint("l.", i), "", transport.AppendOptions{})
	}
	for i := range 6 {
		group := transport.GroupConfig{Name: fmt.Sprint("g", i), Ordered: i%2 == 0}
		r, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: group, MaxInFlight: 5}, transport.Serial(func(d *transport.Delivery) {
			if i < 4 {
				_ = d.Ack(context.Background())
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0, 1:
			if err := r.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		case 2, 3:
			r.Close()
		}
	}
	for range l.Read(t.Context(), transport.ReadConfig{Follow: true}) {
		break
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "goroutines of the client end", func() bool { return clientGoroutines() <= before })
}

// waitedFor is a context that notes that somebody waits for its end.
type waitedFor struct {
	context.Context
	begun chan struct{}
}

func (w waitedFor) Done() <-chan struct{} {
	select {
	case w.begun <- struct{}{}:
	default:
	}
	return w.Context.Done()
}

func TestDrainHandsBackAndWaits(t *testing.T) {
	t.Parallel()
	group := transport.GroupConfig{Name: "g"}
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	for i := range 10 {
		appendTo(t, l, "l", fmt.Sprint(i), transport.AppendOptions{})
	}
	deliveries, r := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 4})
	var held []*transport.Delivery
	for range 4 {
		held = append(held, receive(t, deliveries))
	}
	ctx, giveUp := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	waited := waitedFor{ctx, make(chan struct{}, 1)}
	go func() { drained <- r.Drain(waited) }()
	receive(t, waited.begun) // otherwise the acknowledgements make room for other deliveries
	ack(t, held[0])
	ack(t, held[1])
	giveUp()
	wantCode(t, receive(t, drained), transport.Canceled, "2 unsettled deliveries")
	wantCode(t, held[2].Ack(t.Context()), transport.FailedPrecondition)
	other, r2 := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 20})
	for range 8 {
		ack(t, receive(t, other))
	}
	if err := r2.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "all are settled", func() bool { // the server processes the settlements asynchronously
		groups, err := l.Groups(t.Context())
		return err == nil && groups[0].Settled == 10
	})
}
