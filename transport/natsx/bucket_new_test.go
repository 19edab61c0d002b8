package natsx_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// newBucket returns a replicated bucket, and the connection of its fake servers. They report
// the state of its stream. Once the bucket is open, they do so if asked returns true.
func newBucket(t *testing.T, asked func(*nats.Conn) bool) (driver.Bucket, *nats.Conn) {
	t.Helper()
	s := startServer(t, nil)
	nc, _ := natsx.Conn(connect(t, s.ClientURL()))
	fakeAPI(t, nc, fakePrefix+"INFO", func(int) map[string]any { return map[string]any{"api": map[string]any{"level": 4}} })
	var opened atomic.Bool
	fakeAPI(t, nc, fakePrefix+"STREAM.INFO.KV_b", func(int) map[string]any {
		if opened.Load() && !asked(nc) {
			return nil
		}
		return map[string]any{
			"config":  map[string]any{"name": "KV_b", "subjects": []string{"$KV.b.>"}, "num_replicas": 3, "allow_direct": true},
			"created": time.Now(), "state": map[string]any{"messages": 1, "last_seq": 7},
		}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Domain: "fake", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	b := openBucket(t, tr, driver.Config{Existing: true})
	opened.Store(true)
	return b, nc
}

const fakePrefix = "$JS.fake.API."

// The servers of a cluster learn one after the other that a new bucket has a leader. Until then,
// a server may accept no requests. They are sent again, also if it takes longer than acceptTime
// to learn that the bucket exists: without an answer, its state is asked for again after a second.
func TestNewBucketWithoutALeader(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(driver.Bucket) error{
		"write": func(b driver.Bucket) error {
			_, err := b.Put(realtime.Patient(t), driver.Write{Key: "a"})
			return err
		},
		"read": func(b driver.Bucket) error {
			_, _, err := b.Read(realtime.Patient(t), []string{"a"})
			return err
		},
	} {
		for unanswered := range 2 {
			questions := 0
			b, _ := newBucket(t, func(nc *nats.Conn) bool {
				if questions++; questions == 1 {
					accept(t, nc)
				}
				return questions > unanswered
			})
			if err := check(b); transport.CodeOf(err) != transport.ResourceExhausted {
				t.Errorf("%s, %d questions unanswered: got %v, want the answer of the leader", name, unanswered, err)
			}
		}
	}
}

// accept answers writes and reads with errors that no other server returns.
func accept(t *testing.T, nc *nats.Conn) {
	fakeAPI(t, nc, fakePrefix+"$KV.b.a", func(int) map[string]any {
		return map[string]any{"error": map[string]any{"code": 503, "err_code": 10077}}
	})
	_, err := nc.Subscribe(fakePrefix+"DIRECT.GET.KV_b", func(msg *nats.Msg) {
		_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"413"}}})
	})
	if err != nil {
		t.Error(err)
	}
}

// The leader of a cluster may learn of a new bucket late, and reports it as missing until then.
// It is asked again.
func TestNewBucketThatIsUnknown(t *testing.T) {
	t.Parallel()
	b, nc := newBucket(t, func(*nats.Conn) bool { return true })
	asked := false
	fakeAPI(t, nc, fakePrefix+"STREAM.MSG.GET.KV_b", func(int) map[string]any {
		if !asked {
			asked = true
			return map[string]any{"error": map[string]any{"code": 404, "err_code": 10059}}
		}
		return map[string]any{"message": map[string]any{"subject": "$KV.b.a", "seq": 7, "data": []byte("1"), "time": time.Now()}}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), "a", 0, true)
	if err != nil || describe(r) != "7:a=1" {
		t.Errorf("got %+v, %v", r, err)
	}
}
