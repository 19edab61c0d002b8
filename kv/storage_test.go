package kv

import "testing"

// A Storage ignores an empty key, as the middlewares expect.
func TestStorageIgnoresEmptyKey(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], _ *opened) {
		if value, err := NewStorage(bucket.Raw()).Get(""); value != nil || err != nil {
			t.Errorf("got %q, %v", value, err)
		}
	})
}
