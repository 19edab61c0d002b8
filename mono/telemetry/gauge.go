package telemetry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"gomono.dev/mono"
)

// gauges are values that are read when metrics are collected.
type gauges struct {
	registration metric.Registration

	mu      sync.Mutex
	handles []mono.Handle // that the process receives from
	full    map[partition]bool

	reading sync.Mutex // guards what follows
	read    time.Time
	values  []stored
}

type partition struct {
	handle        mono.Handle
	module, group string
	number        int
}

// stored is the state of a handle.
type stored struct {
	handle mono.Handle
	stats  mono.Stats
}

// These bound the reading of the values.
const (
	readWithin     = 5 * time.Second
	readAgain      = time.Second
	readConcurrent = 8
)

// observe notes the handles that the process receives from, and the partitions that are full.
func (g *gauges) observe(o mono.Observation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch o := o.(type) {
	case mono.HandleBound:
		kind := o.Handle.Kind()
		messages := kind == mono.KindQueue || kind == mono.KindStream || kind == mono.KindEvent
		known := slices.ContainsFunc(g.handles, func(h mono.Handle) bool { return mono.Same(h, o.Handle) })
		if o.Usage == mono.UsageConsumes && messages && !known {
			g.handles = append(g.handles, o.Handle)
		}
	case mono.PartitionFull:
		if g.full == nil {
			g.full = make(map[partition]bool)
		}
		g.full[partition{o.Handle, o.Module, o.Group, o.Partition}] = true
	case mono.PartitionResumed:
		delete(g.full, partition{o.Handle, o.Module, o.Group, o.Partition})
	}
}

// offer registers the gauges with the meter.
func (r *run) offer() {
	if r.meter == nil {
		return
	}
	defer r.contain()
	offered := newObservables(r.meter, r.report)
	registration, err := r.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		defer r.contain()
		full := r.gauges.fullPartitions()
		values := r.gauges.get(ctx, r)
		for i := range values {
			offered.observe(o, &values[i], full)
		}
		return nil
	}, offered.all()...)
	if err != nil {
		r.report(fmt.Errorf("telemetry: no gauges: %w", err))
		return
	}
	r.gauges.registration = registration
}

// withdraw ends what offer has begun.
func (r *run) withdraw() {
	defer r.contain()
	if r.gauges.registration == nil {
		return
	}
	if err := r.gauges.registration.Unregister(); err != nil {
		r.report(err)
	}
	r.gauges.registration = nil
}

type groupOf struct {
	kind          mono.Kind
	handle, group string
}

// fullPartitions returns the number of full partitions of each group.
func (g *gauges) fullPartitions() map[groupOf]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := make(map[groupOf]int64)
	for p := range g.full {
		n[groupOf{p.handle.Kind(), p.handle.Name(), p.group}]++
	}
	return n
}

// get returns the state of each handle. A handle that cannot be read is missing.
func (g *gauges) get(ctx context.Context, r *run) []stored {
	g.reading.Lock()
	defer g.reading.Unlock()
	if time.Since(g.read) < readAgain {
		return g.values
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	g.mu.Lock()
	handles := slices.Clone(g.handles)
	g.mu.Unlock()
	values, read := make([]stored, len(handles)), make([]bool, len(handles))
	var all sync.WaitGroup
	free := make(chan struct{}, readConcurrent)
	for i, h := range handles {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			stats, err := mono.StatsOf(ctx, r.app, h)
			switch mono.CodeOf(err) {
			case "":
				values[i], read[i] = stored{h, stats}, true
			case mono.FailedPrecondition: // it is not stored
			default:
				r.report(fmt.Errorf("telemetry: no gauges of %s %s: %w", h.Kind(), h.Name(), err))
			}
		})
	}
	all.Wait()
	g.values = make([]stored, 0, len(values)) // another reader may have the last one
	for i := range values {
		if read[i] {
			g.values = append(g.values, values[i])
		}
	}
	g.read = time.Now()
	return g.values
}
