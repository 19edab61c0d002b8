//go:build unix

package realtime_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
)

// standStill stops this process for half a second.
func standStill(t testing.TB) { standStillFor(t, 500*time.Millisecond) }

func standStillFor(t testing.TB, d time.Duration) {
	t.Helper()
	pid := os.Getpid()
	script := fmt.Sprintf("kill -STOP %d; sleep %v; kill -CONT %d", pid, d.Seconds(), pid)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestHeartbeatMeasuresAStall(t *testing.T) {
	h := realtime.StartHeartbeat()
	standStill(t)
	if stall := h.Stop(); stall < 400*time.Millisecond {
		t.Errorf("a stall of %v was measured, want about 500ms", stall)
	}
}

func TestStallUsesUpNoPatience(t *testing.T) {
	came := make(chan string, 1)
	go func() {
		standStillFor(t, 2*time.Second)
		came <- "afterwards"
	}()
	if v, ok := realtime.ReceiveWithin(1900*time.Millisecond, came); !ok {
		t.Errorf("got %q, %v", v, ok)
	}
}

// In a bubble nothing stands still.
func TestHeartbeatMeasuresNoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := realtime.StartHeartbeat()
		<-time.After(time.Minute)
		if stall := h.Stop(); stall != 0 {
			t.Errorf("a stall of %v was measured", stall)
		}
	})
}
