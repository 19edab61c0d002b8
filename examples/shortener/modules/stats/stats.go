// Package stats counts visits in a bucket.
package stats

import (
	"context"
	"errors"
	"slices"

	"gomono.dev/examples/shortener/links"
	"gomono.dev/examples/shortener/stats"
	"gomono.dev/kv"
	"gomono.dev/mono"
)

// Bucket has the counters by the ID of a link. A counter lives longer than its link, even if the
// link is never visited again.
var Bucket = kv.NewBucket[Counter]("visits", kv.Description("visits of links"), kv.TTL(2*links.MaxLife))

// Counter is a stored counter.
type Counter struct {
	stats.Counts
	Recent []string `json:"recent"` // ids of the last events, at most maxRecent
}

// maxRecent is the number of events after which a repeated one is not recognized.
const maxRecent = 64

// Module counts visits. Its zero value is ready.
type Module struct{ counters *kv.KeyValue[Counter] }

// Name names the module, and the group that handles the visits.
func (m *Module) Name() string { return "stats" }

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "counts visits" }

// Bind opens the bucket, handles visits and provides Get.
func (m *Module) Bind(s *mono.Scope) error {
	m.counters = Bucket.Open(s)
	links.Visited.Handle(s, m.visited)
	stats.Get.Handle(s, m.get)
	return nil
}

var errCounted = errors.New("the visit is counted")

// visited counts a visit. An event comes again if its process crashes before the store knows
// that it was handled, so the counter has the ids of the last ones.
func (m *Module) visited(ctx context.Context, v links.Visit) error {
	id := mono.CallFrom(ctx).ID()
	_, err := m.counters.Modify(ctx, v.Link, func(c Counter) (Counter, error) {
		if slices.Contains(c.Recent, id) {
			return c, errCounted
		}
		c.Visits++
		if v.At.After(c.Last) {
			c.Last = v.At
		}
		c.Recent = append(c.Recent, id)
		c.Recent = c.Recent[max(0, len(c.Recent)-maxRecent):]
		return c, nil
	})
	if errors.Is(err, errCounted) {
		return nil
	}
	return err
}

func (m *Module) get(ctx context.Context, r stats.Request) (stats.Reply, error) {
	if len(r.Links) > links.MaxList {
		return stats.Reply{}, mono.Errorf(mono.InvalidArgument, "%d links at once: want at most %d", len(r.Links), links.MaxList)
	}
	entries, _, err := m.counters.GetAll(ctx, r.Links...)
	if err != nil {
		return stats.Reply{}, err
	}
	reply := stats.Reply{Counts: make([]stats.Counts, len(r.Links))}
	for _, e := range entries {
		for i, link := range r.Links {
			if link == e.Key {
				reply.Counts[i] = e.Value.Counts
			}
		}
	}
	return reply, nil
}
