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
func standStill(t testing.TB) {
	t.Helper()
	pid := os.Getpid()
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("kill -STOP %d; sleep 0.5; kill -CONT %d", pid, pid)).CombinedOutput(); err != nil {
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
