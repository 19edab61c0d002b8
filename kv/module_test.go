package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

var (
	visits = kv.NewBucket[int]("visits", kv.TTL(time.Hour))
	visit  = mono.NewService[string, int]("site.visit")
)

// site counts visits in a bucket.
type site struct{ visits *kv.KeyValue[int] }

func (*site) Name() string { return "site" }

func (m *site) Bind(s *mono.Scope) error {
	m.visits = visits.Open(s)
	visit.Handle(s, func(ctx context.Context, page string) (int, error) {
		e, err := m.visits.Modify(ctx, page, func(n int) (int, error) { return n + 1, nil })
		return e.Value, err
	})
	return nil
}

func TestModuleUsesBucket(t *testing.T) {
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		h.AddFunc(func() mono.Module { return &site{} })
		h.MustStart()
		for want := 1; want <= 3; want++ {
			if n, err := visit.Call(t.Context(), h, "/"); err != nil || n != want {
				t.Fatalf("visit %d: got %d, %v", want, n, err)
			}
			if want == 2 && h.Virtual() {
				h.Crash()
			}
		}
		if !h.Virtual() {
			return
		}
		h.Advance(time.Hour)
		if n, err := visit.Call(t.Context(), h, "/"); err != nil || n != 1 {
			t.Fatalf("after the TTL: got %d, %v", n, err)
		}
	})
}

// A cache does not remember the answer of a replica that lags: it would never learn of the
// changes before it began to follow the bucket.
func TestCacheIsNotFilledFromLaggingReplica(t *testing.T) {
	numbers := kv.NewBucket[int]("numbers", kv.Cached())
	read := mono.NewService[string, int]("numbers.read")
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultBucket(h, numbers, testkit.Stale)
		h.Add(mono.NewModule("numbers", func(s *mono.Scope) error {
			bucket := numbers.Open(s)
			read.Handle(s, func(ctx context.Context, key string) (int, error) {
				e, err := bucket.Get(ctx, key)
				return e.Value, err
			})
			return nil
		}))
		h.MustStart()
		for n := range 2 {
			if _, err := testkit.Bucket(h, numbers).Put(t.Context(), "a", n+1); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if n, err := read.Call(t.Context(), h, "a"); err != nil || n != 2 {
				t.Errorf("got %d, %v, want 2", n, err)
			}
			h.Advance(time.Minute)
		}
	})
}

func TestBucketBeforeStart(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		var m site
		h.Add(&m)
		h.MustStart()
		h.Stop()
		_, err := m.visits.Get(t.Context(), "/")
		code(t, err, transport.FailedPrecondition)
	})
}

// user returns a module that opens a bucket, and does nothing with it.
func user[T any](name string, b kv.Bucket[T]) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		b.Open(s)
		return nil
	})
}

// An App describes its buckets, checks their health and reports their lives.
func TestAppKnowsBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
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
		legacy := kv.NewBucket[string]("legacy", kv.StoredAs("OLD"), kv.Cached(kv.Prefix("user")))
		app.Add(user("one", visits), user("two", visits), user("three", legacy))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, want := app.Describe().Components, []mono.ComponentInfo{
			{Kind: "bucket", Name: "legacy", StoredAs: "OLD", Type: "string", Settings: map[string]string{"StoredAs": "OLD", "Cached": `> "user"`, "MaxStale": "10s"}, UsedBy: []string{"three"}},
			{Kind: "bucket", Name: "visits", StoredAs: "shop_eu_visits", Type: "int", Settings: map[string]string{"TTL": "1h0m0s"}, UsedBy: []string{"one", "two"}},
		}
		for i := range got {
			if !strings.Contains(got[i].Declared, "module_test.go:") {
				t.Errorf("declared at %q", got[i].Declared)
			}
			got[i].Declared = ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		if h := app.Health(t.Context()); !h.Healthy || len(h.Components) != 2 || !h.Components["bucket visits"].Checked {
			t.Errorf("got %+v", h)
		}
		if err := kv.DeleteBucket(t.Context(), tr, "shop_eu_visits"); err != nil {
			t.Fatal(err)
		}
		if h := app.Health(t.Context()); h.Healthy || h.Message != "unhealthy: [bucket visits]" || !strings.Contains(h.Components["bucket visits"].Message, `not_found: bucket "shop_eu_visits"`) {
			t.Errorf("after the bucket was deleted: %+v", h)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if want := "one opens bucket visits, two opens bucket visits, three opens bucket legacy, three closes bucket legacy: <nil>, two closes bucket visits: <nil>, one closes bucket visits: <nil>"; strings.Join(observed, ", ") != want {
			t.Errorf("got %s", strings.Join(observed, ", "))
		}
	})
}

// Observers learn the options of a bucket, in the words of its declaration.
func TestBucketSettingsAreObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
		var observed []string
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if o, ok := o.(mono.Configured); ok && o.Component != "" {
				observed = append(observed, fmt.Sprintf("%s: %s=%s", o.Component, o.Name, o.Value))
			}
		}))
		app.Add(user("one", kv.NewBucket[int]("carts", kv.TTL(time.Hour), kv.History(5), kv.Cached(kv.Prefix("user"), kv.Match("a.*")),
			kv.PlacedIn("east", "ssd"), kv.RepublishTo("a.>", "again.>"))))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		settings := app.Describe().Components[0].Settings
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		want := []string{
			`bucket carts: Cached=> "user" a.*`, "bucket carts: History=5", "bucket carts: MaxStale=10s",
			`bucket carts: PlacedIn=cluster "east", tags ["ssd"]`, "bucket carts: RepublishTo=a.> to again.>", "bucket carts: TTL=1h0m0s",
		}
		if !slices.Equal(observed, want) || len(settings) != len(want) {
			t.Errorf("got\n%s", strings.Join(observed, "\n"))
		}
	})
}

// Start reports every mistake about buckets with all others, before anything is opened.
func TestStartReportsBuckets(t *testing.T) {
	tr := inproc.New(inproc.Options{})
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Add(
		user("a", kv.NewBucket[int]("carts", kv.TTL(time.Hour))),
		user("b", kv.NewBucket[string]("carts", kv.TTL(time.Hour))),
		user("c", kv.NewBucket[int]("carts", kv.TTL(time.Minute))),
		user("d", kv.NewBucket[int]("carts", kv.TTL(time.Hour), kv.StoredAs("other"))),
		user("e", kv.NewBucket[int]("wagons", kv.StoredAs("carts"))),
		user("e2", kv.NewBucket[int]("trucks", kv.TTL(time.Hour), kv.StoredAs("carts"))),
		user("f", kv.NewBucket[int]("carts", kv.TTL(time.Hour))),
		user("g", kv.NewBucket[chan int]("channels")),
		mono.NewModule("h", func(s *mono.Scope) error { visit.Client(s); return nil }),
	)
	defer app.Stop(context.Background())
	err := app.Start(t.Context())
	report, ok := errors.AsType[*mono.StartError](err)
	if !ok || len(report.Problems) != 6 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{
		`^module h: service site.visit: no module provides it`,
		`^module b: bucket carts: it is declared twice with values of type int and of type string, at \S+module_test.go:\d+ and at \S+module_test.go:\d+: declare it once and import it$`,
		`^module c: bucket carts: it is declared twice with different options: TTL "1h0m0s" and "1m0s", at \S+:\d+ and at \S+:\d+: `,
		`^module d: bucket carts: it is declared twice with different options: StoredAs "" and "other", at `,
		`^module e: bucket wagons: it is declared twice with different options: TTL "1h0m0s" and "", at `,
		`^module g: bucket channels: .*chan int has no encoding.*\(declared at \S+:\d+\)$`,
	} {
		if got := report.Problems[i].String(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("problem %d: got %q, want %s", i, got, want)
		}
	}
	for b, err := range kv.Buckets(t.Context(), tr) {
		t.Errorf("bucket %v exists, %v", b.Name, err)
	}
}
