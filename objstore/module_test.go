package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

var uploads = objstore.NewStore("uploads", objstore.TTL(time.Hour), objstore.Index())

// user returns a module that opens a store, and keeps what it opened.
func user(name string, s objstore.Store, opened ...**objstore.Objects) mono.Module {
	return mono.NewModule(name, func(scope *mono.Scope) error {
		o := s.Open(scope)
		for _, to := range opened {
			*to = o
		}
		return nil
	})
}

// An App describes its stores, checks their health and reports their lives. Its modules share
// an open store with its index.
func TestAppKnowsStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &counted{Transport: inproc.New(inproc.Options{})}
		app := mono.New(tr, mono.Namespace("shop.eu"), mono.Logger(slog.New(slog.DiscardHandler)))
		var observed []string
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			switch o := o.(type) {
			case mono.ComponentOpened:
				observed = append(observed, fmt.Sprintf("%s opens %s %s", o.Module, o.Kind, o.Name))
			case mono.ComponentClosed:
				observed = append(observed, fmt.Sprintf("%s closes %s %s: %v", o.Module, o.Kind, o.Name, o.Err))
			}
		}))
		var one, two *objstore.Objects
		legacy := objstore.NewStore("legacy", objstore.StoredAs("OLD"), objstore.ChunkSize(1000))
		app.Add(user("one", uploads, &one), user("two", uploads, &two), user("three", legacy))
		must(t, app.Start(t.Context()))
		want := []mono.ComponentInfo{
			{Kind: "store", Name: "legacy", StoredAs: "OLD", Settings: map[string]string{"StoredAs": "OLD", "ChunkSize": "1000"}, UsedBy: []string{"three"}},
			{Kind: "store", Name: "uploads", StoredAs: "shop_eu_uploads", Settings: map[string]string{"TTL": "1h0m0s", "Index": "true", "MaxStale": "10s"}, UsedBy: []string{"one", "two"}},
		}
		got := app.Describe().Components
		for i := range got {
			if !strings.Contains(got[i].Declared, "module_test.go:") {
				t.Errorf("declared at %q", got[i].Declared)
			}
			got[i].Declared = ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		list(t, one.List(t.Context()))
		synctest.Wait()
		put(t, one, "a")
		if got := list(t, two.List(t.Context())); got != "a" || tr.scans.Load() != 1 { // the first List
			t.Errorf("got %q after %d scans", got, tr.scans.Load())
		}
		wantCode(t, one.Close(t.Context()), transport.FailedPrecondition)
		if h := app.Health(t.Context()); !h.Healthy || len(h.Components) != 2 || !h.Components["store uploads"].Checked {
			t.Errorf("got %+v", h)
		}
		must(t, objstore.DeleteStore(t.Context(), tr, uploads.StoredName("shop.eu")))
		if h := app.Health(t.Context()); h.Healthy || h.Message != "unhealthy: [store uploads]" || !strings.Contains(h.Components["store uploads"].Message, `not_found: store "shop_eu_uploads"`) {
			t.Errorf("after the store was deleted: %+v", h)
		}
		must(t, app.Stop(context.Background()))
		_, err := one.Stat(t.Context(), "a")
		wantCode(t, err, transport.FailedPrecondition)
		if want := "one opens store uploads, two opens store uploads, three opens store legacy, three closes store legacy: <nil>, two closes store uploads: <nil>, one closes store uploads: <nil>"; strings.Join(observed, ", ") != want {
			t.Errorf("got %s", strings.Join(observed, ", "))
		}
	})
}

// bare is a transport without stores.
type bare struct{ transport.Transport }

// Start reports every mistake about stores at once, before anything is opened.
func TestStartReportsStores(t *testing.T) {
	problems := func(tr, stored transport.Transport, modules ...mono.Module) []mono.Problem {
		app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler))).Add(modules...)
		defer app.Stop(context.Background())
		err := app.Start(t.Context())
		report, ok := errors.AsType[*mono.StartError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		for is, err := range objstore.Stores(t.Context(), stored) {
			t.Errorf("store %v exists, %v", is.Name, err)
		}
		return report.Problems
	}
	tr := inproc.New(inproc.Options{})
	got := problems(tr, tr,
		user("a", objstore.NewStore("carts", objstore.TTL(time.Hour))),
		user("b", objstore.NewStore("carts", objstore.TTL(time.Hour), objstore.Index())),
		user("c", objstore.NewStore("carts", objstore.TTL(time.Minute))),
		user("d", objstore.NewStore("carts", objstore.TTL(time.Hour), objstore.StoredAs("other"))),
		user("e", objstore.NewStore("wagons", objstore.StoredAs("carts"))),
		user("f", objstore.NewStore("trucks", objstore.TTL(time.Hour), objstore.StoredAs("carts"))),
		user("g", objstore.NewStore("carts", objstore.TTL(time.Hour))),
	)
	other := inproc.New(inproc.Options{})
	got = append(got, problems(bare{other}, other, user("h", uploads))...)
	want := []string{
		`^module b: store carts: it is declared twice with different options: Index "" and "true", at \S+module_test.go:\d+ and at \S+module_test.go:\d+: declare it once and import it$`,
		`^module c: store carts: it is declared twice with different options: TTL "1h0m0s" and "1m0s", at `,
		`^module d: store carts: it is declared twice with different options: StoredAs "" and "other", at `,
		`^module e: store wagons: it is declared twice with different options: TTL "1h0m0s" and "", at `,
		`^module h: store uploads: the transport objstore_test.bare has no stores of objects: use one with a method Objects, such as `,
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i, want := range want {
		if got := got[i].String(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("problem %d: got %q, want %s", i, got, want)
		}
	}
}
