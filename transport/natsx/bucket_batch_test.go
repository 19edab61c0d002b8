package natsx_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
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
