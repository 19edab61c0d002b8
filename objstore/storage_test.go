package objstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

func TestStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		s := objstore.NewStorage(o)
		want := func(key, want string) {
			t.Helper()
			if got, err := s.Get(key); string(got) != want || err != nil || (want == "") != (got == nil) {
				t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
			}
		}
		must(t, s.Set("a", []byte("1"), 0))
		must(t, s.Set("a", []byte("2"), 0))
		must(t, s.Set("b", []byte("3"), 1500*time.Millisecond))
		must(t, s.Set("c", []byte("4"), 0))
		must(t, s.Set("", []byte("5"), 0))
		must(t, s.Set("e", nil, 0))
		want("a", "2")
		want("", "")
		want("e", "")
		<-time.After(1900 * time.Millisecond)
		want("b", "3")
		<-time.After(100 * time.Millisecond)
		want("b", "")
		must(t, s.Delete("c"))
		must(t, s.Delete("c"))
		must(t, s.Delete(""))
		want("c", "")
		wantCode(t, s.Set("a", []byte("1"), -time.Second), transport.InvalidArgument)
		_, err := s.Get("\xff")
		wantCode(t, err, transport.InvalidArgument)
		must(t, s.Reset())
		want("a", "")
		must(t, s.Close())
		put(t, o, "still-open")
	})
}

// Several writers of a key do not disturb each other.
func TestStorageIsConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := objstore.NewStorage(open(t))
		done := make(chan error)
		for range 20 {
			go func() {
				err := s.Set("a", []byte("1"), 0)
				if err == nil {
					err = s.Delete("a")
				}
				done <- err
			}()
		}
		for range 20 {
			must(t, <-done)
		}
	})
}
