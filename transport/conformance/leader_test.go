//go:build conformance

package conformance_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/linear"
	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// Create, Update, Modify and conditional deletions in a bucket with three replicas are
// linearizable, although the leader of the bucket is killed again and again.
func TestBucketsAreLinearizable(t *testing.T) {
	servers := newProcesses(t)
	o := natsx.Options{URLs: servers.urls(), Replicas: 3, ReconnectWait: 10 * time.Millisecond}
	tr := connect(t, o)
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	for round := range repeats(5, 20) {
		var r linear.Recording
		var over atomic.Bool
		name := fmt.Sprint("linear-", round)
		awaitBucket(t, tr, name)
		clients := r.Start(t, linear.Clients{
			Bucket: name, Keys: []string{"a", "b", "c"}, Number: 5, Seed: *seed + uint64(round), Timeout: 2 * time.Second,
			More:    func(int) bool { return !over.Load() },
			Connect: func() transport.Transport { return connect(t, o) },
		})
		await(t, &r, 50)
		leader := servers[leaderOf(t, tr, name)]
		leader.kill()
		await(t, &r, r.Done()+50)
		over.Store(true)
		leader.start(t)
		clients.Wait()
		t.Logf("round %d: %d calls succeeded", round, r.Done())
		r.Check(t)
	}
}

// await waits until n calls have succeeded.
func await(t *testing.T, r *linear.Recording, n int) {
	t.Helper()
	realtime.Until(t, fmt.Sprint(n, " calls"), func() bool { return r.Done() >= n })
}

// awaitBucket creates a bucket as soon as three servers can store it.
func awaitBucket(t *testing.T, tr *natsx.Transport, name string) {
	t.Helper()
	ctx := realtime.Patient(t)
	realtime.Until(t, "the bucket "+name, func() bool {
		_, err := tr.Buckets().Open(ctx, &driver.Config{Name: name, History: 2})
		return err == nil
	})
}

// leaderOf returns the name of the server that leads a bucket, or "" if there is none.
func leaderOf(t *testing.T, tr *natsx.Transport, bucket string) (name string) {
	t.Helper()
	nc, _ := natsx.Conn(tr)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	realtime.Within(realtime.Patience, func() bool {
		s, err := js.Stream(t.Context(), "KV_"+bucket)
		if err == nil && s.CachedInfo().Cluster != nil {
			name = s.CachedInfo().Cluster.Leader
		}
		return name != ""
	})
	return name
}
