package inproc_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Each of many requests ends exactly at its deadline, in any order of their starts and of
// other replies.
func TestDeadlinesOfManyRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		defer tr.Close(t.Context())
		silent := func(*transport.Message) {}
		answering := func(m *transport.Message) { _ = tr.Publish(t.Context(), &transport.Message{Subject: m.Reply}) }
		for subject, h := range map[string]func(*transport.Message){"silent": silent, "answering": answering} {
			if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: subject}, transport.Serial(h)); err != nil {
				t.Fatal(err)
			}
		}
		limits := lazy.Rules{Clock: lazy.NewClock()}
		random := rand.New(rand.NewPCG(1, 2))
		var wait sync.WaitGroup
		for range 500 {
			pause, patience := time.Duration(random.Int64N(int64(time.Second))), time.Duration(1+random.Int64N(int64(time.Minute)))
			wait.Go(func() {
				<-time.After(pause)
				ctx := new(lazy.Context).Begin(&limits, t.Context(), limits.Clock.Now()+patience)
				deadline, _ := ctx.Deadline()
				if _, err := tr.Request(ctx, &transport.Message{Subject: "answering"}); err != nil {
					t.Errorf("a request with %v: %v", patience, err)
				}
				_, err := tr.Request(ctx, &transport.Message{Subject: "silent"})
				if over := time.Until(deadline); transport.CodeOf(err) != transport.DeadlineExceeded || over != 0 {
					t.Errorf("a request with %v got %v, %v before its deadline", patience, err, over)
				}
			})
		}
		wait.Wait()
	})
}
