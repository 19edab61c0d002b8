package redact_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"gomono.dev/mono/redact"
)

// discard is a handler that reads the attributes and prints nothing.
type discard struct{}

func (discard) Enabled(context.Context, slog.Level) bool { return true }
func (d discard) WithAttrs([]slog.Attr) slog.Handler     { return d }
func (d discard) WithGroup(string) slog.Handler          { return d }
func (discard) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(slog.Attr) bool { return true })
	return nil
}

type sizes struct {
	Count int
	Used  []int64
	At    time.Time
}

// A record without secrets allocates nothing.
func TestNoAllocations(t *testing.T) {
	h, rec := redact.Handler(discard{}), plainRecord()
	ctx := context.Background()
	if n := testing.AllocsPerRun(500, func() {
		if err := h.Handle(ctx, rec); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	r, v := redact.New(), any(&sizes{Used: make([]int64, 1000)})
	if n := testing.AllocsPerRun(500, func() {
		if r.Value(v) != v {
			t.Fatal("a value without secrets was copied")
		}
	}); n > 0 {
		t.Errorf("%v allocations for a value", n)
	}
}

// plainRecord is like a line of mono.
func plainRecord() slog.Record {
	rec := slog.NewRecord(time.Now(), slog.LevelInfo, "message stored as a dead letter", 0)
	rec.AddAttrs(slog.String("handle", "orders.receipts"), slog.String("module", "notifications"), slog.Int("attempt", 3),
		slog.Duration("after", time.Second), slog.Any("error", errors.New("mailbox is full: ada@example.com")), slog.Bool("last", true),
		slog.Any("sizes", &sizes{Used: make([]int64, 1000)}))
	return rec
}

func BenchmarkHandle(b *testing.B) {
	secret := plainRecord()
	secret.AddAttrs(slog.String("password", "hunter2"), slog.Any("login", &login{"bob", "hunter2", 1}))
	for _, bench := range []struct {
		name string
		h    slog.Handler
		rec  slog.Record
	}{
		{"bare", discard{}, plainRecord()},
		{"plain", redact.Handler(discard{}), plainRecord()},
		{"secret", redact.Handler(discard{}), secret},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				if err := bench.h.Handle(ctx, bench.rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
