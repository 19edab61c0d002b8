package kv_test

import (
	"testing"

	"gomono.dev/kv"
)

func TestStoredName(t *testing.T) {
	t.Parallel()
	carts := kv.NewBucket[string]("open-carts")
	for namespace, want := range map[string]string{"": "open-carts", "shop.eu": "shop_eu_open-carts"} {
		if got := carts.StoredName(namespace); got != want {
			t.Errorf("in namespace %q: got %q, want %q", namespace, got, want)
		}
	}
	if got := kv.NewBucket[string]("carts", kv.StoredAs("OLD")).StoredName("shop"); got != "OLD" {
		t.Errorf("with StoredAs: got %q", got)
	}
}
