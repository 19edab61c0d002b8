package inproctest_test

import (
	"context"
	"fmt"
	"runtime"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

// A Backend takes one step at a time, and a fault lets the first message arrive twice.
func ExampleNewBackend() {
	faults := 0
	b := inproctest.NewBackend(inproctest.Options{
		Seed:    1,
		Quiesce: runtime.Gosched, // synctest.Wait in a bubble
		Fault: func(p inproctest.Point) (a inproctest.FaultAction) {
			if p.Action == inproctest.Publish && p.Phase == inproctest.Before {
				faults++
				a.Duplicate = faults == 1
			}
			return a
		},
	})
	tr, ctx := b.Connect(), context.Background()
	defer tr.Close(ctx)

	arrived := make(chan string, 3)
	if _, err := tr.Subscribe(ctx, transport.Subscription{Subject: "events.placed"}, transport.Serial(func(m *transport.Message) {
		arrived <- string(m.Body)
	})); err != nil {
		panic(err)
	}
	for _, body := range []string{"book", "pen"} {
		if err := tr.Publish(ctx, &transport.Message{Subject: "events.placed", Body: []byte(body)}); err != nil {
			panic(err)
		}
	}
	fmt.Println(<-arrived, <-arrived, <-arrived)
	fmt.Println(b.Steps()[0])
	// Output:
	// book book pen
	// t1 publish events.placed
}
