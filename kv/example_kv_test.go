package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Session is the value of the examples.
type Session struct {
	User  string
	Pages int
}

// Sessions is a bucket, declared once and used by any number of modules.
var Sessions = kv.NewBucket[Session]("sessions", kv.TTL(time.Hour))

// exampleBucket opens Sessions on a transport in memory.
func exampleBucket() (bucket *kv.KeyValue[Session], done func()) {
	tr := inproc.New(inproc.Options{})
	bucket, err := kv.Connect(context.Background(), tr, Sessions)
	if err != nil {
		log.Fatal(err)
	}
	return bucket, func() { _ = tr.Close(context.Background()) }
}

// A module opens the buckets that it uses in Bind.
func ExampleBucket_Open() {
	var sessions *kv.KeyValue[Session]
	login := mono.NewService[string, uint64]("auth.login")
	auth := mono.NewModule("auth", func(s *mono.Scope) error {
		sessions = Sessions.Open(s)
		login.Handle(s, func(ctx context.Context, user string) (uint64, error) {
			e, err := sessions.Create(ctx, user, Session{User: user})
			return e.Revision, err
		})
		return nil
	})

	ctx := context.Background()
	app := mono.New(inproc.New(inproc.Options{})).Add(auth)
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer app.Stop(ctx)
	fmt.Println(login.Call(ctx, app, "ada"))
	_, err := login.Call(ctx, app, "ada")
	fmt.Println(errors.Is(err, mono.ErrAlreadyExists))
	// Output:
	// 1 <nil>
	// true
}

// Update writes only if the value has not changed since it was read.
func ExampleKeyValue_Update() {
	sessions, done := exampleBucket()
	defer done()
	ctx := context.Background()

	e, _ := sessions.Put(ctx, "ada", Session{User: "ada"})
	_, err := sessions.Update(ctx, "ada", e.Revision, Session{User: "ada", Pages: 1})
	fmt.Println(err)
	_, err = sessions.Update(ctx, "ada", e.Revision, Session{User: "ada", Pages: 2})
	fmt.Println(transport.CodeOf(err))
	// Output:
	// <nil>
	// aborted
}

// Modify applies a function to the newest value, whoever else writes.
func ExampleKeyValue_Modify() {
	sessions, done := exampleBucket()
	defer done()
	ctx := context.Background()

	visit := func(s Session) (Session, error) { s.Pages++; return s, nil }
	for range 3 {
		if _, err := sessions.Modify(ctx, "ada", visit); err != nil {
			log.Fatal(err)
		}
	}
	e, err := sessions.Get(ctx, "ada")
	fmt.Println(e.Value.Pages, err)
	// Output: 3 <nil>
}

// A Watch gives the present values, a mark, and then the changes.
func ExampleKeyValue_Watch() {
	sessions, done := exampleBucket()
	defer done()
	ctx := context.Background()

	_, _ = sessions.Put(ctx, "user.ada", Session{User: "ada"})
	for e, err := range sessions.Watch(ctx, kv.Prefix("user.")) {
		switch {
		case err != nil:
			log.Fatal(err)
		case e.Kind == kv.EventCurrent:
			fmt.Println("current")
			_ = sessions.Delete(ctx, "user.ada")
		case e.Op == kv.OpPut:
			fmt.Println("set", e.Key, e.Value.User)
		default:
			fmt.Println("gone", e.Key)
			return
		}
	}
	// Output:
	// set user.ada ada
	// current
	// gone user.ada
}

// A Batch stores several keys, or none.
func ExampleKeyValue_Batch() {
	sessions, done := exampleBucket()
	defer done()
	ctx := context.Background()

	rename := func(from, to string) error {
		e, err := sessions.Get(ctx, from)
		if err != nil {
			return err
		}
		_, err = sessions.Batch(ctx, func(tx *kv.Tx[Session]) error {
			tx.Create(to, e.Value)
			tx.Delete(from, kv.IfRevision(e.Revision))
			return nil
		})
		return err
	}
	_, _ = sessions.Put(ctx, "ada", Session{User: "ada"})
	fmt.Println(rename("ada", "lovelace"))
	fmt.Println(transport.CodeOf(rename("ada", "king")))
	for key, err := range sessions.Keys(ctx) {
		fmt.Println(key, err)
	}
	// Output:
	// <nil>
	// not_found
	// lovelace <nil>
}

// A Cached bucket answers Get from memory.
func ExampleCached() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)
	flags, err := kv.Connect(ctx, tr, kv.NewBucket[bool]("flags", kv.Cached(kv.Prefix("beta."))))
	if err != nil {
		log.Fatal(err)
	}
	_, _ = flags.Put(ctx, "beta.search", true)
	for flags.CacheStats().Hits == 0 {
		if e, err := flags.Get(ctx, "beta.search"); err != nil || !e.Value {
			log.Fatal(e, err)
		}
	}
	fmt.Println("hit")
	// Output: hit
}

// A Storage is a store for the session or cache middleware of a web framework.
func ExampleNewStorage() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)
	pages, err := kv.Connect(ctx, tr, kv.NewBucket[[]byte]("pages", kv.Codec(codec.Raw)))
	if err != nil {
		log.Fatal(err)
	}
	var storage interface {
		Get(key string) ([]byte, error)
		Set(key string, value []byte, expires time.Duration) error
		Delete(key string) error
		Reset() error
		Close() error
	} = kv.NewStorage(pages)

	fmt.Println(storage.Set("/", []byte("<h1>Hello</h1>"), time.Minute))
	page, err := storage.Get("/")
	fmt.Println(string(page), err)
	page, err = storage.Get("/missing")
	fmt.Println(page == nil, err)
	// Output:
	// <nil>
	// <h1>Hello</h1> <nil>
	// true <nil>
}
