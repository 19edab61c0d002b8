package kv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Three releases of a shop, each with another shape of its carts.
type (
	cart1 struct{ Item string }
	cart2 struct{ Items []string }
	cart3 struct {
		Items  []string
		Coupon string
	}
)

func toList(c cart1) (cart2, error) {
	if c.Item == "" {
		return cart2{}, errors.New("a secret")
	}
	return cart2{[]string{c.Item}}, nil
}

func withCoupon(c cart2) (cart3, error) { return cart3{c.Items, "none"}, nil }

var (
	carts1 = kv.NewBucket[cart1]("carts", kv.History(5))
	carts2 = kv.NewBucket[cart2]("carts", kv.History(5), kv.Upcasts(codec.Upcast("1", toList)))
	carts3 = kv.NewBucket[cart3]("carts", kv.History(5), kv.Upcasts(codec.Upcast("1", toList), codec.Upcast("2", withCoupon)))
)

// contentType returns the content type of a key in the bucket carts.
func contentType(t *testing.T, tr transport.Transport, key string) string {
	t.Helper()
	b, err := tr.(interface{ Buckets() driver.Store }).Buckets().Open(t.Context(), &driver.Config{Name: "carts", Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), key, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Get(transport.HeaderContentType)
}

// onServers runs a test with a transport of inproc and one of NATS.
func onServers(t *testing.T, test func(t *testing.T, tr transport.Transport)) {
	t.Run("inproc", func(t *testing.T) { inBubble(t, func(t *testing.T, tr *inproc.Transport) { test(t, tr) }) })
	t.Run("nats", func(t *testing.T) {
		tr, err := natstest.NATS(t).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close(context.Background())
		test(t, tr)
	})
}

func text(e any, err error) string { return fmt.Sprint(e, " ", err) }

// A newer release reads what older ones wrote, and writes its own version.
func TestUpcastsOfValues(t *testing.T) {
	onServers(t, func(t *testing.T, tr transport.Transport) {
		ctx := t.Context()
		one, two, three := connect(t, tr, carts1), connect(t, tr, carts2), connect(t, tr, carts3)
		_, err := one.Put(ctx, "a", cart1{"book"})
		code(t, err, "")
		_, err = two.Put(ctx, "b", cart2{[]string{"pen"}})
		code(t, err, "")
		_, err = three.Put(ctx, "c", cart3{[]string{"cup"}, "x"})
		code(t, err, "")
		for key, want := range map[string]string{"a": "", "b": "application/json; version=2", "c": "application/json; version=3"} {
			if got := contentType(t, tr, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		want := map[string]string{"a": "{[book] none}", "b": "{[pen] none}", "c": "{[cup] x}"}
		seen := 0
		for e, err := range three.List(ctx) {
			seen++
			if fmt.Sprint(e.Value) != want[e.Key] || err != nil {
				t.Errorf("%s is %v, %v, want %s", e.Key, e.Value, err, want[e.Key])
			}
		}
		if seen != 3 {
			t.Errorf("%d values", seen)
		}
		if e, err := two.Get(ctx, "a"); text(e.Value, err) != "{[book]} <nil>" {
			t.Errorf("got %v, %v", e.Value, err)
		}

		// Touch keeps the version, Modify raises it.
		_, err = three.Touch(ctx, "b")
		code(t, err, "")
		if got := contentType(t, tr, "b"); got != "application/json; version=2" {
			t.Errorf("after Touch: %q", got)
		}
		e, err := three.Modify(ctx, "a", func(c cart3) (cart3, error) { c.Coupon = "5%"; return c, nil })
		if text(e.Value, err) != "{[book] 5%} <nil>" || contentType(t, tr, "a") != "application/json; version=3" {
			t.Errorf("after Modify: %v, %v, %q", e.Value, err, contentType(t, tr, "a"))
		}
		history, err := three.History(ctx, "a")
		if err != nil || len(history) != 2 || text(history[0].Value, nil) != "{[book] none} <nil>" || text(history[1].Value, nil) != "{[book] 5%} <nil>" {
			t.Errorf("history: %v, %v", history, err)
		}

		// Raw writes in the codec of the bucket, so in its newest version.
		_, err = three.Raw().Put(ctx, "d", []byte(`{"Items":["mug"],"Coupon":"y"}`))
		code(t, err, "")
		if e, err := three.Get(ctx, "d"); text(e.Value, err) != "{[mug] y} <nil>" {
			t.Errorf("got %v, %v", e.Value, err)
		}
	})
}

// An older release gets an error for a newer value. It changes the value only if it is told to.
func TestOlderReleaseMeetsNewerValue(t *testing.T) {
	onServers(t, func(t *testing.T, tr transport.Transport) {
		ctx := t.Context()
		three := connect(t, tr, carts3)
		_, err := three.Put(ctx, "a", cart3{[]string{"cup"}, "x"})
		code(t, err, "")
		for newest, older := range map[string]func() error{
			"1": func() error {
				b := connect(t, tr, carts1)
				_, err := b.Get(ctx, "a")
				_, modified := b.Modify(ctx, "a", func(c cart1) (cart1, error) { t.Error("called"); return c, nil })
				code(t, modified, transport.DataLoss)
				return err
			},
			"2": func() error {
				b := connect(t, tr, carts2)
				_, err := b.Get(ctx, "a")
				_, modified := b.Modify(ctx, "a", func(c cart2) (cart2, error) { t.Error("called"); return c, nil })
				code(t, modified, transport.DataLoss)
				return err
			},
		} {
			err := older()
			failed, ok := errors.AsType[*kv.DecodeError](err)
			if !ok || failed.Key != "a" || failed.Revision != 1 || failed.ContentType != "application/json; version=3" ||
				transport.CodeOf(err) != transport.DataLoss || !strings.Contains(err.Error(), "version 3 is newer than "+newest+", the newest that this program reads: use the release that wrote it") {
				t.Errorf("got %v", err)
			}
		}
		one := connect(t, tr, carts1)
		if e, err := one.Raw().Get(ctx, "a"); err != nil || string(e.Value) != `{"Items":["cup"],"Coupon":"x"}` {
			t.Errorf("raw: %s, %v", e.Value, err)
		}
		_, err = one.Update(ctx, "a", 1, cart1{"book"})
		code(t, err, "")
		if e, err := three.Get(ctx, "a"); text(e.Value, err) != "{[book] none} <nil>" {
			t.Errorf("got %v, %v", e.Value, err)
		}
	})
}

// A watcher and the cache convert old values, too. A step that fails is data_loss, without the
// content, and the others go on.
func TestUpcastsOfWatchersAndCache(t *testing.T) {
	inBubble(t, func(t *testing.T, tr *inproc.Transport) {
		one := connect(t, tr, carts1)
		cached := connect(t, tr, kv.NewBucket[cart2]("carts", kv.Cached(), kv.Upcasts(codec.Upcast("1", toList))))
		for key, item := range map[string]string{"a": "book", "b": ""} {
			_, err := one.Put(t.Context(), key, cart1{item})
			code(t, err, "")
		}
		for range 2 {
			if e, err := cached.Get(t.Context(), "a"); text(e.Value, err) != "{[book]} <nil>" {
				t.Errorf("got %v, %v", e.Value, err)
			}
			_, err := cached.Get(t.Context(), "b")
			code(t, err, transport.DataLoss)
			if !strings.Contains(err.Error(), "the upcast from version 1 failed (*errors.errorString)") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		}
		got := make(map[string]string)
		for e, err := range cached.Watch(t.Context()) {
			if e.Kind == kv.EventCurrent {
				break
			}
			got[e.Key] = fmt.Sprintf("%v %s", e.Value.Items, transport.CodeOf(err))
		}
		if len(got) != 2 || got["a"] != "[book] " || got["b"] != "[] data_loss" {
			t.Errorf("got %q", got)
		}
	})
}

// The version of another format has no meaning in a bucket of bytes.
func TestBytesHaveNoVersion(t *testing.T) {
	inBubble(t, func(t *testing.T, tr *inproc.Transport) {
		pages := connect(t, tr, kv.NewBucket[[]byte]("pages", kv.Codec(codec.Raw)))
		b, err := tr.Buckets().Open(t.Context(), &driver.Config{Name: "pages"})
		code(t, err, "")
		header := transport.Header{{Name: transport.HeaderContentType, Value: "text/plain; version=0.0.4"}}
		_, err = b.Put(t.Context(), driver.Write{Key: "metrics", Value: []byte("up 1"), Header: header})
		code(t, err, "")
		if e, err := pages.Get(t.Context(), "metrics"); err != nil || string(e.Value) != "up 1" {
			t.Errorf("got %q, %v", e.Value, err)
		}
	})
}

func TestWrongUpcastsOfBucketsPanic(t *testing.T) {
	for want, declare := range map[string]func(){
		"makes a kv_test.cart2: want a kv_test.cart3": func() { kv.NewBucket[cart3]("carts", kv.Upcasts(codec.Upcast("1", toList))) },
		"without a gap": func() {
			kv.NewBucket[cart3]("carts", kv.Upcasts(codec.Upcast("1", toList), codec.Upcast("3", withCoupon)))
		},
		"want each version once": func() {
			kv.NewBucket[cart3]("carts", kv.Upcasts(codec.Upcast("1", toList), codec.Upcast("1", withCoupon)))
		},
		"has no function": func() { kv.NewBucket[cart2]("carts", kv.Upcasts(codec.Upcast[cart1, cart2]("1", nil))) },
		"without a step":  func() { kv.NewBucket[cart2]("carts", kv.Upcasts()) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) || !strings.Contains(got, `kv.NewBucket("carts")`) {
					t.Errorf("got %q, want %q", got, want)
				}
			}()
			declare()
		}()
	}
}
