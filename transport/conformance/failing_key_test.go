//go:build conformance

package conformance_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// A key that fails for a minute delays no other key.
func TestFailingKeyDelaysNoOther(t *testing.T) {
	t.Run("inproc", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { failForAMinute(t, inproc.New(inproc.Options{})) })
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		failForAMinute(t, tr)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		failForAMinute(t, connect(t, natsx.Options{URLs: []string{newProcess(t).url()}}))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		failForAMinute(t, connect(t, natsx.Options{URLs: []string{natstest.Cluster(t, 3)[0].ClientURL()}, Replicas: 3}))
	})
}

// failForAMinute lets one key fail every two seconds, and appends messages of others. When the key
// fails again, those that were appended before it failed last must have been handled.
func failForAMinute(t *testing.T, tr transport.Transport) {
	const pause, keys = 2 * time.Second, 100
	defer func() { _ = tr.Close(context.Background()) }()
	l, err := tr.Log(realtime.Patient(t), transport.LogConfig{
		Name: "failing", Subjects: []string{"failing.*"}, Partitions: 4, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var appended, handled atomic.Int64
	fails := make(chan int, 1000)
	begun := time.Now()
	r, err := l.Consume(realtime.Patient(t), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", Ordered: true}, MaxInFlight: 8}, transport.Serial(func(d *transport.Delivery) {
		if d.Subject == "failing.bad" && time.Since(begun) < time.Duration(repeats(10, 60))*time.Second {
			_ = d.Nak(context.Background(), pause) // it comes again in any case
			fails <- d.Attempt
			return
		}
		handled.Add(1)
		_ = d.Ack(context.Background())
	}))
	if err != nil {
		t.Fatal(err)
	}
	appendOne := func(subject string) {
		if _, err := l.Append(realtime.Patient(t), &transport.Message{Subject: subject}, transport.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		appendOne("failing.bad")
	}
	before := int64(0)
	failures := 0
	for n := 0; time.Since(begun) < time.Duration(repeats(10, 60))*time.Second; n++ {
		select {
		case attempt := <-fails:
			if failures++; attempt != failures {
				t.Errorf("failure %d is attempt %d: another message of the key came", failures, attempt)
			}
			if got := handled.Load(); got < before {
				t.Errorf("at failure %d, %d of the %d messages of other keys were handled that were appended before the one before", failures, got, before)
			}
			before = appended.Load()
		case <-time.After(10 * time.Millisecond):
			appendOne(fmt.Sprint("failing.", n%keys))
			appended.Add(1)
		}
	}
	realtime.Until(t, "all messages to be handled", func() bool { return handled.Load() == appended.Load()+5 })
	if failures < repeats(4, 20) {
		t.Errorf("the key failed %d times", failures)
	}
	if err := r.Drain(realtime.Patient(t)); err != nil {
		t.Error(err)
	}
}
