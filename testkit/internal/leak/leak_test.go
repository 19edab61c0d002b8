package leak_test

import (
	"strings"
	"testing"
	"time"

	"gomono.dev/testkit/internal/leak"
)

// A goroutine belongs to the Watch whose function started it, and so do its children.
func TestLeft(t *testing.T) {
	t.Parallel()
	w, other := leak.New("x"), leak.New("x")
	end := make(chan struct{})
	w.Do(func() {
		go func() {
			go func() { <-end }()
		}()
	})
	if left := w.Left(20 * time.Millisecond); !strings.Contains(left, "leak_test.go") {
		t.Errorf("left: %q", left)
	}
	if left := other.Left(time.Minute); left != "" {
		t.Errorf("of another Watch: %q", left)
	}
	close(end)
	if left := w.Left(time.Minute); left != "" {
		t.Errorf("left: %q", left)
	}
}
