package natsx_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gomono.dev/transport"
)

// A member that asks for few at a time does not stand still.
func TestSmallWindowsDoNotStall(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			t.Parallel()
			group := transport.GroupConfig{Name: "g"}
			l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
			deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: window})
			const n = 5000
			go func() {
				for range n {
					_, _ = l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
				}
			}()
			// A machine that has no time is known by how long nothing at all happens.
			var slowest, busiest time.Duration
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			ticked := time.Now()
			for range n {
				before := time.Now()
				for d := (*transport.Delivery)(nil); d == nil; {
					select {
					case d = <-deliveries:
						ack(t, d)
					case <-tick.C:
						busiest, ticked = max(busiest, time.Since(ticked)), time.Now()
						if time.Since(before) > 20*time.Second {
							t.Fatal("nothing came")
						}
					}
				}
				slowest = max(slowest, time.Since(before))
			}
			if slowest > time.Second+4*busiest {
				t.Errorf("it stood still for %v", slowest)
			}
		})
	}
}

// A member with one slow delivery in hand leaves the others to other members.
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

// What a log used is given back, however it was left.
func TestNoGoroutineOfALogStays(t *testing.T) {
	s := startServer(t, nil)
	before := clientGoroutines()
	tr := connect(t, s.ClientURL())
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Lanes: 4, Storage: transport.MemoryStorage})
	for i := range 50 {
		appendTo(t, l, fmt.Sprint("l.", i), "", transport.AppendOptions{})
	}
	for i := range 6 {
		group := transport.GroupConfig{Name: fmt.Sprint("g", i), Ordered: i%2 == 0}
		r, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: group, MaxInFlight: 5}, func(d *transport.Delivery) {
			if i < 4 {
				_ = d.Ack(context.Background())
			}
		})
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
	go func() { drained <- r.Drain(ctx) }()
	ack(t, held[0])
	ack(t, held[1])
	giveUp()
	wantCode(t, receive(t, drained), transport.Canceled, "2 deliveries")
	wantCode(t, held[2].Ack(t.Context()), transport.FailedPrecondition)
	other, r2 := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 20})
	for range 8 {
		ack(t, receive(t, other))
	}
	if err := r2.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "all are settled", func() bool { // the server has heard of it, and takes its time
		groups, err := l.Groups(t.Context())
		return err == nil && groups[0].Settled == 10
	})
}
