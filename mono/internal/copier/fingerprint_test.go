package copier_test

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"gomono.dev/mono/internal/copier"
	"pgregory.net/rapid"
)

// secret has unexported fields, which only reflection can read.
type secret struct {
	lock    sync.Mutex
	counts  map[string]*int
	history []any
	next    *secret
	at      time.Time
	read    func() int
	raw     []byte
	pair    [2]*int
}

// The fingerprint of an unchanged value stays the same, regardless of map order.
func TestFingerprintStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := reflect.New(drawType(t, 4))
		drawValue(t, v.Elem())
		first := copier.Fingerprint(v.Interface())
		for range 5 {
			if again := copier.Fingerprint(v.Interface()); again != first {
				t.Fatalf("%x became %x: %#v", first, again, v.Elem())
			}
		}
	})
}

// A fingerprint changes with any part of a value, also behind pointers, maps and unexported
// fields. A lock does not count.
func TestFingerprintChanges(t *testing.T) {
	t.Parallel()
	one, two := 1, 17
	s := &secret{raw: []byte("raw"), pair: [2]*int{&one, &two}, counts: map[string]*int{"one": &one}, history: []any{"a", &one, []byte("bytes")}, at: time.Now()}
	s.next = s
	order := anOrder()
	changes := []struct {
		name   string
		value  any
		change func()
	}{
		{"behind a map", s, func() { one++ }},
		{"entry added", s, func() { s.counts["two"] = &one }},
		{"entry replaced by its equal", s, func() { same := one; s.counts["two"] = &same }},
		{"entry deleted", s, func() { delete(s.counts, "two") }},
		{"unexported byte", s, func() { s.raw[0]++ }},
		{"two that swap", s, func() { one, two = two, one }},
		{"element", s, func() { s.history[0] = "b" }},
		{"type of an element", s, func() { s.history[0] = Name("b") }},
		{"byte", s, func() { s.history[2].([]byte)[0]++ }},
		{"unexported field", s, func() { s.at = s.at.Add(1) }},
		{"cycle cut", s, func() { s.next = nil }},
		{"function", s, func() { s.read = func() int { return one } }},
		{"field of an element", order, func() { order.Lines[1].Quantity++ }},
		{"behind a pointer", order, func() { *order.Note += "!" }},
		{"length", order, func() { order.Lines = order.Lines[:2] }},
		{"string", order, func() { order.Customer.City = "Paris" }},
	}
	for _, c := range changes {
		before := copier.Fingerprint(c.value)
		if again := copier.Fingerprint(c.value); again != before {
			t.Fatalf("%s: the fingerprint of the unchanged value differs", c.name)
		}
		c.change()
		if copier.Fingerprint(c.value) == before {
			t.Errorf("%s: the change was not detected", c.name)
		}
	}
	before := copier.Fingerprint(s)
	s.lock.Lock()
	defer s.lock.Unlock()
	if copier.Fingerprint(s) != before {
		t.Error("a lock that is taken counts as a change")
	}
}

// The fingerprint covers a list that is too long for recursion.
func TestFingerprintOfLongList(t *testing.T) {
	t.Parallel()
	first := &List{}
	last := first
	for i := range 100_000 {
		last.Next = &List{Value: i}
		last = last.Next
	}
	before := copier.Fingerprint(first)
	last.Value--
	if copier.Fingerprint(first) == before {
		t.Error("the change was not detected")
	}
}

func BenchmarkFingerprint(b *testing.B) {
	order := anOrder()
	b.ReportAllocs()
	for b.Loop() {
		copier.Fingerprint(order)
	}
}
