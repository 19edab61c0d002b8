package natsx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/natsx"
)

// A server has at most 50 open batches of a stream. Callers do not notice.
func TestManyBatchesAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	ctx := realtime.Patient(t)
	const programs, batches = 2, 100
	var all sync.WaitGroup
	for program := range programs {
		b := openBucket(t, connect(t, s.ClientURL()), driver.Config{Memory: true})
		for i := range batches {
			all.Go(func() {
				if err := putTogether(ctx, b, fmt.Sprintf("%d.%d.", program, i)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	info, err := openBucket(t, connect(t, s.ClientURL()), driver.Config{Memory: true}).Info(ctx)
	if err != nil || info.Records != programs*batches*3 {
		t.Errorf("%d records, %v", info.Records, err)
	}
}

func putTogether(ctx context.Context, b driver.Bucket, prefix string) error {
	_, err := b.Put(ctx, driver.Write{Key: prefix + "a"}, driver.Write{Key: prefix + "b"}, driver.Write{Key: prefix + "c"})
	return err
}

// A batch that finds no room until its context ends is not done.
func TestBatchWithoutRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	tr := connect(t, s.ClientURL())
	b := openBucket(t, tr, driver.Config{Memory: true})
	nc, _ := natsx.Conn(tr)
	for i := range 50 { // other programs begin batches and do not end them
		msg := &nats.Msg{Subject: "$KV.b.open", Header: nats.Header{"Nats-Batch-Id": {fmt.Sprint(i)}, "Nats-Batch-Sequence": {"1"}}}
		if _, err := nc.RequestMsgWithContext(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := putTogether(ctx, b, "refused.")
	e, ok := errors.AsType[*transport.Error](err)
	if !ok || e.Outcome != transport.OutcomeNotDone || e.Code != transport.Unavailable && e.Code != transport.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	if got := put(t, b, "alone", ""); got != 1 {
		t.Errorf("a refused batch has stored %d records", got-1)
	}
}

// Batches are stored completely or not at all, while their bucket's leader changes again and
// again. After an error that reports no effect, nothing is stored.
func TestBatchesWhileTheLeaderChanges(t *testing.T) {
	t.Parallel()
	servers := clustertest.NewLagging(t, time.Millisecond)
	tr := connect(t, servers[0].ClientURL())
	b := openBucket(t, tr, driver.Config{})
	ctx := realtime.Patient(t)
	var changes atomic.Int64
	go changeLeaders(ctx, connect(t, servers[1].ClientURL()), &changes)
	possible := map[string]bool{"": true}
	for i := 0; i < 20 || changes.Load() < 20; i++ {
		value := fmt.Sprint(i)
		brief, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := putSame(brief, b, value)
		cancel()
		e, failed := errors.AsType[*transport.Error](err)
		switch {
		case !failed:
			possible = map[string]bool{value: true}
		case e.Outcome == transport.OutcomeUnknown:
			possible[value] = true
		}
		if is := sameValue(ctx, t, b); !possible[is] {
			t.Fatalf("after batch %d, the value is %q: %v", i, is, err)
		}
	}
}

const sameKeys = 10

// putSame sets all keys of a bucket to one value.
func putSame(ctx context.Context, b driver.Bucket, value string) error {
	var writes []driver.Write
	for i := range sameKeys {
		writes = append(writes, driver.Write{Key: fmt.Sprint(i), Value: []byte(value)})
	}
	_, err := b.Put(ctx, writes...)
	return err
}

// sameValue returns the value of all keys, according to the leader. It waits until there is one.
func sameValue(ctx context.Context, t *testing.T, b driver.Bucket) (value string) {
	t.Helper()
	for i := range sameKeys {
		var r *driver.Record
		realtime.Until(t, "a leader answers", func() (ok bool) {
			var err error
			r, err = b.Get(ctx, fmt.Sprint(i), 0, true)
			return err == nil || transport.CodeOf(err) == transport.NotFound
		})
		is := ""
		if r != nil {
			is = string(r.Value)
		}
		if i > 0 && is != value {
			t.Fatalf("key %d has %q, and the others have %q", i, is, value)
		}
		value = is
	}
	return value
}

// changeLeaders lets the leader of the bucket step down, again and again, and counts.
func changeLeaders(ctx context.Context, tr *natsx.Transport, changes *atomic.Int64) {
	nc, _ := natsx.Conn(tr)
	for ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		reply, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN.KV_b", nil)
		cancel()
		if err == nil && bytes.Contains(reply.Data, []byte(`"success":true`)) {
			changes.Add(1)
		}
		<-time.After(20 * time.Millisecond)
	}
}
