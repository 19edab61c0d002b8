package mono_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// A partition whose messages all wait for one key is reported, and its module is unhealthy until
// the key makes progress.
func TestFullPartitionIsReported(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("partition.full", mono.Partitions(1)).KeyedBy(job.key)
	app := path{open: openNATS}.app(t)
	full, resumed := make(chan mono.PartitionFull, 10), make(chan mono.PartitionResumed, 10)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		switch o := o.(type) {
		case mono.PartitionFull:
			full <- o
		case mono.PartitionResumed:
			resumed <- o
		}
	}))
	release, others := make(chan struct{}), make(chan job, 10)
	app.Add(module("shop", func(s *mono.Scope) {
		st.Handle(s, func(_ context.Context, j job) error {
			if j.Key == "slow" {
				<-release
			} else {
				others <- j
			}
			return nil
		}, mono.Concurrency(4))
	}))
	begin(t, app)
	var all []job
	for n := range 2*transport.MinHeld + 1 {
		all = append(all, job{N: n, Key: "slow"})
	}
	if err := errors.Join(st.AppendAll(t.Context(), app, append(all, job{N: 1, Key: "other"})...)...); err != nil {
		t.Fatal(err)
	}
	if o := realtime.Receive(t, full, "PartitionFull"); o.Module != "shop" || o.Handle.Name() != "partition.full" || o.Group != "shop" || o.Partition != 0 || o.Key != "slow" {
		t.Errorf("got %+v", o)
	}
	if h := app.Health(t.Context()).Modules["shop"]; h.Healthy || !strings.Contains(h.Message, `partitions, whose keys wait for a handler: 0 (key "slow")`) {
		t.Errorf("health %+v", h)
	}
	none(t, others)
	close(release)
	realtime.Receive(t, resumed, "PartitionResumed")
	if o := realtime.Receive(t, others, "the message of the other key"); o.N != 1 {
		t.Errorf("got %+v", o)
	}
	if h := app.Health(t.Context()).Modules["shop"]; !h.Healthy {
		t.Errorf("health %+v", h)
	}
}
