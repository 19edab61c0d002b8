package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// openCluster opens three members with logs.
func openCluster(t *testing.T) (nodes [3]*embedded.Transport) {
	t.Helper()
	addresses := []string{loopback.Free(t), loopback.Free(t), loopback.Free(t)}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() {
			tr, err := embedded.Open(t.Context(), embedded.Options{
				Dir: dirs[i], StartTimeout: realtime.Patience, SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler),
				Cluster: &embedded.Cluster{Name: "c", Listen: address, Routes: addresses},
				Client: natsx.Options{Stream: func(log string, c *jetstream.StreamConfig) {
					if log == "placed" {
						c.Replicas, c.Placement = 1, &jetstream.Placement{Cluster: "c"}
					}
				}},
			})
			if err != nil {
				t.Error(err)
			}
			nodes[i] = tr
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, n := range nodes {
			if n != nil {
				_ = n.Close(context.Background())
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return nodes
}

// A log in a cluster is stored by three members, opened by all of them at once, and keeps its
// guarantees.
func TestLogInACluster(t *testing.T) {
	t.Parallel()
	nodes := openCluster(t)
	ctx := realtime.Patient(t)
	group := transport.GroupConfig{Name: "g", Ordered: true}
	config := transport.LogConfig{Name: "l", Subjects: []string{"l.*", "m.*"}, Partitions: 4, Delays: true, Update: true, Groups: []transport.GroupConfig{group}}
	var logs [3]transport.Log
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			var err error
			if logs[i], err = node.Log(ctx, config); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	js, err := jetstream.New(nodes[0].Conn())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := js.Stream(ctx, "l"); err != nil || s.CachedInfo().Config.Replicas != 3 {
		t.Errorf("%+v, %v", s.CachedInfo().Config, err)
	}

	if _, err := nodes[1].Log(ctx, transport.LogConfig{Name: "placed", Subjects: []string{"placed"}}); err != nil {
		t.Error(err)
	}
	if s, err := js.Stream(ctx, "placed"); err != nil || s.CachedInfo().Config.Replicas != 1 || s.CachedInfo().Config.Placement.Cluster != "c" {
		t.Errorf("%+v, %v", s.CachedInfo().Config, err)
	}

	expect := &transport.Expectation{Subject: "l.cas"}
	for i := range 2 {
		a, err := logs[i].Append(ctx, &transport.Message{Subject: "l.cas"}, transport.AppendOptions{ID: "cas", Expect: expect})
		if err != nil || a.Duplicate != (i == 1) {
			t.Errorf("append %d: %+v, %v", i, a, err)
		}
	}
	if _, err := logs[2].Append(ctx, &transport.Message{Subject: "l.cas"}, transport.AppendOptions{ID: "other", Expect: expect}); transport.CodeOf(err) != transport.Aborted {
		t.Errorf("another one: %v", err)
	}

	const n = 60
	var late atomic.Int64
	got := make(chan string, 2*n)
	for _, l := range logs[:2] {
		r, err := l.Consume(ctx, transport.ConsumeConfig{Group: group, MaxInFlight: 4}, transport.Serial(func(d *transport.Delivery) {
			if due, err := time.Parse(time.RFC3339Nano, d.Header.Get("Due")); err == nil && d.Stored.Before(due) {
				late.Add(1)
			}
			_ = d.Ack(ctx)
			got <- d.Subject + string(d.Body)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	for i := range n {
		m := &transport.Message{Subject: fmt.Sprint([]string{"l.", "m."}[i%2], i%7), Body: fmt.Append(nil, i)}
		o := transport.AppendOptions{ID: fmt.Sprint(i)}
		if i%3 == 0 {
			o.NotBefore = time.Now().Add(time.Second)
			m.Header.Add("Due", o.NotBefore.Format(time.RFC3339Nano))
		}
		if _, err := logs[2].Append(ctx, m, o); err != nil {
			t.Errorf("append %d: %v", i, err)
		}
	}
	all := make(map[string]bool)
	for len(all) < n+1 {
		select {
		case m := <-got:
			all[m] = true
		case <-ctx.Done():
			t.Fatalf("%d of %d arrived", len(all), n+1)
		}
	}
	if late.Load() > 0 {
		t.Errorf("%d arrived early", late.Load())
	}
	read := 0
	for _, err := range logs[1].Read(ctx, transport.ReadConfig{}) {
		if err != nil {
			t.Error(err)
		}
		read++
	}
	if read != n+1 {
		t.Errorf("read %d of %d", read, n+1)
	}
}
