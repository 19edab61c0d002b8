package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
)

// A start that was given up keeps its store until its server has ended, so no second server
// opens the same store.
func TestGivenUpStartKeepsItsStore(t *testing.T) {
	t.Parallel()
	o := embedded.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), StartTimeout: 300 * time.Millisecond,
		Cluster: &embedded.Cluster{Name: "c", Listen: loopback.Free(t), Routes: []string{loopback.Free(t)}}}
	if _, err := embedded.Start(t.Context(), o); transport.CodeOf(err) != transport.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	o.StartTimeout, o.Cluster = 0, nil
	var s *embedded.Server
	waitFor(t, "the store is free", func() bool {
		var err error
		if s, err = embedded.Start(t.Context(), o); err != nil && !strings.Contains(err.Error(), "used by another server") {
			t.Fatal(err)
		}
		return err == nil
	})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A member that restarts alone finds no majority, and is not ready.
func TestMemberWithoutAMajorityIsNotReady(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	addresses := []string{loopback.Free(t), loopback.Free(t), loopback.Free(t)}
	start := func(i int, timeout time.Duration) (*embedded.Server, error) {
		return embedded.Start(context.Background(), embedded.Options{Dir: dirs[i], StartTimeout: timeout, SyncInterval: time.Minute,
			Logger: slog.New(slog.DiscardHandler), Cluster: &embedded.Cluster{Name: "c", Listen: addresses[i], Routes: addresses}})
	}
	nodes := make([]*embedded.Server, 3)
	done := make(chan error)
	for i := range nodes {
		go func() {
			var err error
			nodes[i], err = start(i, realtime.Patience)
			done <- err
		}()
	}
	var err error
	for range nodes {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		if err := node.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := start(0, time.Second); transport.CodeOf(err) != transport.DeadlineExceeded || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("alone: %v", err)
	}
}
