package kv

import (
	"context"
	"fmt"
	"testing"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// late is a bucket that stores the first write only when it gets the second one.
type late struct {
	driver.Bucket
	first []driver.Write
}

func (b *late) Put(ctx context.Context, writes ...driver.Write) (uint64, error) {
	if b.first == nil {
		b.first = writes
		return 0, transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "no answer")
	}
	if _, err := b.Bucket.Put(ctx, b.first...); err != nil {
		return 0, err
	}
	return b.Bucket.Put(ctx, writes...)
}

// Modify returns the stored value, also if that comes from a write that was believed to be
// lost, and if f never returns the same.
func TestModifyReturnsStoredValue(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		beneath := o.Bucket
		o.Bucket = &late{Bucket: beneath}
		calls := 0
		e, err := bucket.Modify(t.Context(), "a", func(int) (int, error) {
			calls++
			return calls, nil
		})
		r, _ := beneath.Get(t.Context(), "a", 0, true)
		if err != nil || r.Revision != e.Revision || string(r.Value) != fmt.Sprint(e.Value) {
			t.Errorf("got %+v, %v, and %s is stored", e, err, r.Value)
		}
	})
}
