package mono_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// A consumer handles the messages of a stream in order.
func ExampleStream() {
	readings := mono.NewStream[int]("example.readings")
	received := make(chan int)
	app, stop := startExample(mono.NewModule("chart", func(s *mono.Scope) error {
		readings.Handle(s, func(_ context.Context, degrees int) error {
			received <- degrees
			return nil
		})
		return nil
	}))
	defer stop()

	for _, degrees := range []int{19, 21, 20} {
		if err := readings.Append(context.Background(), app, degrees); err != nil {
			panic(err)
		}
	}
	fmt.Println(<-received, <-received, <-received)
	// Output: 19 21 20
}

// Read returns stored messages, as often as it is called, and changes nothing.
func ExampleStream_Read() {
	readings := mono.NewStream[int]("example.readings")
	app, stop := startExample()
	defer stop()
	ctx := context.Background()

	for _, degrees := range []int{19, 21, 20} {
		if err := readings.Append(ctx, app, degrees); err != nil {
			panic(err)
		}
	}
	for m, err := range readings.Read(ctx, app, mono.From(mono.AtSequence(2))) {
		fmt.Println(m.Sequence, m.Value, err)
	}
	// Output:
	// 2 21 <nil>
	// 3 20 <nil>
}

// With Follow a reader waits for later messages. It ends with its context, or when the
// loop ends.
func ExampleFollow() {
	readings := mono.NewStream[int]("example.readings")
	app, stop := startExample()
	defer stop()
	ctx := context.Background()

	if err := readings.Append(ctx, app, 19); err != nil {
		panic(err)
	}
	for m, err := range readings.Read(ctx, app, mono.Follow()) {
		fmt.Println(m.Value, err)
		if m.Value == 21 {
			break
		}
		if err := readings.Append(ctx, app, m.Value+1); err != nil {
			panic(err)
		}
	}
	// Output:
	// 19 <nil>
	// 20 <nil>
	// 21 <nil>
}

// A new group replays the history from the position that From specifies. The group is
// durable: its next start continues where this one stopped.
func ExampleFrom() {
	readings := mono.NewStream[int]("example.readings")
	backend := inproc.NewBackend(inproc.Options{})
	ctx := context.Background()

	app, stop := startExampleOn(backend.Connect())
	for _, degrees := range []int{19, 21, 20} {
		if err := readings.Append(ctx, app, degrees); err != nil {
			panic(err)
		}
	}
	stop()

	received := make(chan int)
	_, stop = startExampleOn(backend.Connect(), mono.NewModule("chart", func(s *mono.Scope) error {
		readings.Handle(s, func(_ context.Context, degrees int) error {
			received <- degrees
			return nil
		}, mono.From(mono.AtSequence(2)))
		return nil
	}))
	defer stop()
	fmt.Println(<-received, <-received)
	// Output: 21 20
}

// The messages of one key keep their order although several handlers run at once.
func ExampleStream_KeyedBy() {
	type entry struct {
		Account string
		Cents   int
	}
	ledger := mono.NewStream[entry]("example.ledger").KeyedBy(func(e entry) string { return e.Account })

	var mu sync.Mutex
	booked := make(map[string][]int)
	var pending sync.WaitGroup
	app, stop := startExample(mono.NewModule("book", func(s *mono.Scope) error {
		ledger.Handle(s, func(_ context.Context, e entry) error {
			defer pending.Done()
			mu.Lock()
			defer mu.Unlock()
			booked[e.Account] = append(booked[e.Account], e.Cents)
			return nil
		}, mono.Concurrency(8))
		return nil
	}))
	defer stop()

	entries := []entry{{"ada", 1}, {"bob", 10}, {"ada", 2}, {"bob", 20}, {"ada", 3}}
	pending.Add(len(entries))
	for _, e := range entries {
		if err := ledger.Append(context.Background(), app, e); err != nil {
			panic(err)
		}
	}
	pending.Wait()
	fmt.Println(booked)
	// Output: map[ada:[1 2 3] bob:[10 20]]
}

// Partitions sets into how many parts the members of a group divide the keys. Handlers of
// different keys run beside each other, as many as Concurrency allows.
func ExamplePartitions() {
	type deposit struct {
		Account string
		Amount  int
	}
	deposits := mono.NewStream[deposit]("example.deposits", mono.Partitions(32)).KeyedBy(func(d deposit) string { return d.Account })
	var mu sync.Mutex
	balances := make(map[string]int)
	handled := make(chan bool, 3)
	app, stop := startExample(mono.NewModule("accounts", func(s *mono.Scope) error {
		deposits.Handle(s, func(_ context.Context, d deposit) error {
			mu.Lock()
			defer mu.Unlock()
			balances[d.Account] += d.Amount
			handled <- true
			return nil
		}, mono.Concurrency(100))
		return nil
	}))
	defer stop()

	for _, d := range []deposit{{"ann", 5}, {"bob", 7}, {"ann", -2}} {
		if err := deposits.Append(context.Background(), app, d); err != nil {
			panic(err)
		}
	}
	<-handled
	<-handled
	<-handled
	fmt.Println(balances)
	// Output: map[ann:3 bob:7]
}

// A store that refuses a lower fencing token than the last one of a key is safe from a
// process that stood still and goes on: another one has handled later messages meanwhile.
func ExampleCall_FencingToken() {
	type price struct {
		Article string
		Cents   int
	}
	prices := mono.NewStream[price]("example.prices").KeyedBy(func(p price) string { return p.Article })
	type row struct {
		cents int
		token uint64
	}
	rows := make(map[string]row) // the table of another system
	update := func(article string, cents int, token uint64) error {
		if token < rows[article].token {
			return mono.Permanent(fmt.Errorf("%s was changed by a later delivery", article))
		}
		rows[article] = row{cents, token}
		return nil
	}
	done := make(chan error)
	app, stop := startExample(mono.NewModule("shop", func(s *mono.Scope) error {
		prices.Handle(s, func(ctx context.Context, p price) error {
			err := update(p.Article, p.Cents, mono.CallFrom(ctx).FencingToken())
			done <- err
			return err
		})
		return nil
	}))
	defer stop()

	for _, cents := range []int{1990, 1790} {
		if err := prices.Append(context.Background(), app, price{"lamp", cents}); err != nil {
			panic(err)
		}
		fmt.Println(<-done)
	}
	fmt.Println(rows["lamp"].cents, update("lamp", 1990, 1) != nil)
	// Output:
	// <nil>
	// <nil>
	// 1790 true
}

// LastPerKey reads the current state out of a stream of changes.
func ExampleLastPerKey() {
	type price struct {
		Product string
		Cents   int
	}
	prices := mono.NewStream[price]("example.prices").KeyedBy(func(p price) string { return p.Product })
	app, stop := startExample()
	defer stop()
	ctx := context.Background()

	for _, p := range []price{{"book", 1990}, {"pen", 250}, {"book", 1790}} {
		if err := prices.Append(ctx, app, p); err != nil {
			panic(err)
		}
	}
	for m, err := range prices.Read(ctx, app, mono.From(mono.LastPerKey())) {
		fmt.Println(m.Value.Product, m.Value.Cents, err)
	}
	// Output:
	// pen 250 <nil>
	// book 1790 <nil>
}

// AppendAfter stores a message only if nobody else has appended one in the meantime.
func ExampleStream_AppendAfter() {
	seats := mono.NewStream[string]("example.seats")
	app, stop := startExample()
	defer stop()
	ctx := context.Background()

	sequence, err := seats.AppendAfter(ctx, app, 0, "ada takes 12A")
	fmt.Println(sequence, err)
	_, err = seats.AppendAfter(ctx, app, 0, "bob takes 12A")
	fmt.Println(errors.Is(err, mono.ErrAborted))
	// Output:
	// 1 <nil>
	// true
}

// A batch is handled when it is full, or when its first message has waited for BatchWait.
func ExampleStream_HandleBatch() {
	clicks := mono.NewStream[string]("example.clicks")
	batches := make(chan []string)
	app, stop := startExample(mono.NewModule("warehouse", func(s *mono.Scope) error {
		clicks.HandleBatch(s, func(_ context.Context, batch []mono.Message[string]) error {
			var pages []string
			for _, m := range batch {
				pages = append(pages, m.Value)
			}
			batches <- pages
			return nil
		}, mono.BatchSize(3), mono.BatchWait(time.Minute))
		return nil
	}))
	defer stop()

	for _, page := range []string{"home", "books", "cart"} {
		if err := clicks.Append(context.Background(), app, page); err != nil {
			panic(err)
		}
	}
	fmt.Println(<-batches)
	// Output: [home books cart]
}

// PerMessage lets a handler fail single messages of a batch. Only these are tried again.
func ExamplePerMessage() {
	clicks := mono.NewStream[string]("example.clicks", mono.Backoff(mono.Constant(time.Millisecond)))
	done := make(chan bool)
	app, stop := startExample(mono.NewModule("warehouse", func(s *mono.Scope) error {
		clicks.HandleBatch(s, func(_ context.Context, batch []mono.Message[string]) error {
			errs := make([]error, len(batch))
			for i, m := range batch {
				fmt.Println(m.Value, "attempt", m.Attempt)
				switch {
				case m.Value == "books" && m.Attempt == 1:
					errs[i] = errors.New("the row is locked")
				case m.Value == "books":
					close(done)
				}
			}
			return mono.PerMessage(errs...)
		}, mono.BatchSize(2), mono.BatchWait(10*time.Millisecond))
		return nil
	}))
	defer stop()

	for _, page := range []string{"home", "books"} {
		if err := clicks.Append(context.Background(), app, page); err != nil {
			panic(err)
		}
	}
	<-done
	// Output:
	// home attempt 1
	// books attempt 1
	// books attempt 2
}
