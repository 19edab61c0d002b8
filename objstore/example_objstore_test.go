package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Uploads is a store, declared once and used by any number of modules.
var Uploads = objstore.NewStore("uploads", objstore.MaxBytes(1<<30))

// exampleStore opens Uploads on a transport in memory.
func exampleStore() (store *objstore.Objects, done func()) {
	tr := inproc.New(inproc.Options{})
	store, err := objstore.Connect(context.Background(), tr, Uploads)
	if err != nil {
		log.Fatal(err)
	}
	return store, func() { _ = tr.Close(context.Background()) }
}

// A module opens the stores that it uses in Bind.
func ExampleStore_Open() {
	var uploads *objstore.Objects
	save := mono.NewService[string, int64]("notes.save")
	notes := mono.NewModule("notes", func(s *mono.Scope) error {
		uploads = Uploads.Open(s)
		save.Handle(s, func(ctx context.Context, text string) (int64, error) {
			is, err := uploads.PutBytes(ctx, "note", []byte(text), objstore.IfAbsent())
			return is.Size, err
		})
		return nil
	})

	ctx := context.Background()
	app := mono.New(inproc.New(inproc.Options{})).Add(notes)
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer app.Stop(ctx)
	fmt.Println(save.Call(ctx, app, "Buy milk."))
	_, err := save.Call(ctx, app, "Sell milk.")
	fmt.Println(errors.Is(err, mono.ErrAlreadyExists))
	// Output:
	// 9 <nil>
	// true
}

// Put stores an object as a whole, from a reader of any size.
func ExampleObjects_Put() {
	store, done := exampleStore()
	defer done()
	ctx := context.Background()

	is, err := store.Put(ctx, "2026/report.txt", strings.NewReader("All is well."),
		objstore.ContentType("text/plain"), objstore.Metadata("author", "ada"), objstore.TTL(24*time.Hour))
	fmt.Println(is.Name, is.Size, is.ContentType, is.Metadata["author"], err)

	broken := io.MultiReader(strings.NewReader("All is"), errReader{})
	_, err = store.Put(ctx, "2026/report.txt", broken)
	fmt.Println(transport.CodeOf(err))
	content, _, err := store.ReadAll(ctx, "2026/report.txt")
	fmt.Println(string(content), err)
	// Output:
	// 2026/report.txt 12 text/plain ada <nil>
	// unknown
	// All is well. <nil>
}

// errReader fails.
type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }

// An open object reads and seeks, without fetching what is before.
func ExampleObjects_Open() {
	store, done := exampleStore()
	defer done()
	ctx := context.Background()
	if _, err := store.PutBytes(ctx, "report.txt", []byte("All is well.")); err != nil {
		log.Fatal(err)
	}

	f, err := store.Open(ctx, "report.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(-5, io.SeekEnd); err != nil {
		log.Fatal(err)
	}
	rest, err := io.ReadAll(f)
	fmt.Println(string(rest), err)
	// Output:
	// well. <nil>
}

// A condition lets a write replace only what was read.
func ExampleIfRevision() {
	store, done := exampleStore()
	defer done()
	ctx := context.Background()

	is, _ := store.PutBytes(ctx, "a", []byte("1"))
	_, err := store.PutBytes(ctx, "a", []byte("2"), objstore.IfRevision(is.Revision))
	fmt.Println(err)
	_, err = store.PutBytes(ctx, "a", []byte("3"), objstore.IfRevision(is.Revision))
	fmt.Println(transport.CodeOf(err))
	fmt.Println(transport.CodeOf(store.Delete(ctx, "a", objstore.IfDigest(is.Digest))))
	// Output:
	// <nil>
	// aborted
	// aborted
}

// List returns the objects below a directory. With an Index that costs in proportion to the
// result, and the names are in order.
func ExampleObjects_List() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)
	store, err := objstore.Connect(ctx, tr, objstore.NewStore("files", objstore.Index()))
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"2026/may.pdf", "2026/drafts/june.pdf", "2025/may.pdf"} {
		if _, err := store.PutBytes(ctx, name, []byte(name)); err != nil {
			log.Fatal(err)
		}
	}

	for is, err := range store.List(ctx, objstore.Prefix("2026/"), objstore.Delimiter("/")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(is.Name, is.IsPrefix)
	}
	// Unordered output:
	// 2026/drafts/ true
	// 2026/may.pdf false
}

// Watch returns the present objects, and then the changes.
func ExampleObjects_Watch() {
	store, done := exampleStore()
	defer done()
	ctx := context.Background()
	if _, err := store.PutBytes(ctx, "a", []byte("1")); err != nil {
		log.Fatal(err)
	}

	for e, err := range store.Watch(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch e.Kind {
		case objstore.EventPut:
			fmt.Println("there is", e.Name)
		case objstore.EventCurrent:
			fmt.Println("that was all")
			if err := store.Delete(ctx, "a"); err != nil {
				log.Fatal(err)
			}
		case objstore.EventDelete:
			fmt.Println("deleted:", e.Name)
			return
		}
	}
	// Output:
	// there is a
	// that was all
	// deleted: a
}

// Rename gives an object another name at once. Update changes its description.
func ExampleObjects_Rename() {
	store, done := exampleStore()
	defer done()
	ctx := context.Background()
	if _, err := store.PutBytes(ctx, "draft", []byte("All is well.")); err != nil {
		log.Fatal(err)
	}

	is, err := store.Rename(ctx, "draft", "report")
	fmt.Println(is.Name, err)
	is, err = store.Update(ctx, "report", func(is *objstore.Info) error {
		is.Description = "final"
		return nil
	})
	fmt.Println(is.Description, err)
	_, err = store.Stat(ctx, "draft")
	fmt.Println(transport.CodeOf(err))
	// Output:
	// report <nil>
	// final <nil>
	// not_found
}

// A Storage has the methods that web frameworks expect of a store.
func ExampleNewStorage() {
	store, done := exampleStore()
	defer done()
	pages := objstore.NewStorage(store)

	_ = pages.Set("/start", []byte("<h1>Welcome</h1>"), time.Minute)
	page, err := pages.Get("/start")
	fmt.Println(string(page), err)
	page, err = pages.Get("/missing")
	fmt.Println(page == nil, err)
	// Output:
	// <h1>Welcome</h1> <nil>
	// true <nil>
}
