package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

// Clients make random calls: Create, Update, Modify, and Delete of a revision.
type Clients struct {
	Bucket  string
	Keys    []string
	Number  int
	Seed    uint64
	Reads   bool                       // they call Get, too
	More    func(calls int) bool       // reports whether a client that has made some calls continues
	Timeout time.Duration              // of a call; 0 means none
	Connect func() transport.Transport // is called for each client
}

// Run runs the clients, and records their calls.
func (r *Recording) Run(t testing.TB, all Clients) {
	t.Helper()
	r.Start(t, all).Wait()
}

// Start starts the clients. The caller waits for their end.
func (r *Recording) Start(t testing.TB, all Clients) *sync.WaitGroup {
	t.Helper()
	running := new(sync.WaitGroup)
	for id := range all.Number {
		tr := all.Connect()
		bucket, err := kv.Connect(t.Context(), tr, kv.NewBucket[string](all.Bucket, kv.History(2)))
		if err != nil {
			t.Fatal(err)
		}
		c := &client{r, &all, id, bucket, rand.New(rand.NewPCG(all.Seed, uint64(id))), make(map[string]uint64)}
		running.Go(func() {
			defer func() { _ = tr.Close(context.Background()) }()
			c.run(t.Context())
		})
	}
	return running
}

// client makes random calls.
type client struct {
	*Recording
	all    *Clients
	id     int
	bucket *kv.KeyValue[string]
	random *rand.Rand
	known  map[string]uint64 // the last revision of each key that it has seen
}

func (c *client) run(ctx context.Context) {
	methods := []string{"create", "update", "update", "modify", "delete", "get"}
	if !c.all.Reads {
		methods = methods[:5]
	}
	for i := 0; c.all.More(i); i++ {
		in := call{method: c.pick(methods), key: c.pick(c.all.Keys), value: fmt.Sprintf("%d.%d ", c.id, i)}
		in.expect = max(1, c.known[in.key])
		if out := c.record(c.id, in, func(in *call) error { return c.do(ctx, in) }); out.revision > 0 {
			c.known[in.key] = out.revision
		}
	}
}

func (c *client) pick(from []string) string { return from[c.random.IntN(len(from))] }

func (c *client) do(ctx context.Context, in *call) (err error) {
	if c.all.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.all.Timeout)
		defer cancel()
	}
	var e kv.Entry[string]
	switch in.method {
	case "get":
		e, err = c.bucket.Get(ctx, in.key)
	case "create":
		e, err = c.bucket.Create(ctx, in.key, in.value)
	case "update":
		e, err = c.bucket.Update(ctx, in.key, in.expect, in.value)
	case "modify":
		e, err = c.bucket.Modify(ctx, in.key, func(was string) (string, error) { return was + in.value, nil })
	case "delete":
		err = c.bucket.Delete(ctx, in.key, kv.IfRevision(in.expect))
	}
	in.revision, in.result = e.Revision, e.Value
	return err
}
