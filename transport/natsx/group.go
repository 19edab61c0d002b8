package natsx

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// A group is a durable consumer. An ordered group of a log with lanes has one consumer for
// each lane. The metadata names the group of a consumer. A consumer of another client is a
// group with the consumer's name.

// consumers lists the names of a group's consumers and their filters.
func (l *log) consumers(g *transport.GroupConfig) (names []string, filters [][]string, err error) {
	if !g.Ordered || l.lanes.n == 0 {
		return []string{g.Name}, [][]string{l.lanes.filter(g.Filter, anyLane)}, l.checkFilter(g, anyLane)
	}
	for lane := range l.lanes.n {
		names = append(names, laneName(g.Name, lane))
		filters = append(filters, l.lanes.filter(g.Filter, lane))
	}
	return names, filters, l.checkFilter(g, 0)
}

func laneName(group string, lane int) string { return group + "_lane_" + strconv.Itoa(lane) }

// checkFilter reports a filter that would become empty, and then match everything.
func (l *log) checkFilter(g *transport.GroupConfig, lane int) error {
	if len(g.Filter) > 0 && len(l.lanes.filter(g.Filter, lane)) == 0 {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"its filter %s matches none of the log's subjects %s: correct the filter", strings.Join(g.Filter, ", "), strings.Join(l.lanes.subjects, ", "))
	}
	return nil
}

// errOrdered is the cause of errors for an existing group of the other kind.
var errOrdered = errors.New("the order of a group cannot be changed")

func cannotReorder(g *transport.GroupConfig) error {
	err := driver.CannotChange("Ordered", !g.Ordered, g.Ordered)
	err.Err = errOrdered
	return err
}

// A server of a cluster reports its consumers as missing between its start and the start of
// their replicas. Only the leader of the cluster knows which consumers exist.

// startingTime bounds the wait for a consumer that exists, but that no server has started.
const startingTime = 5 * time.Second

// awaitConsumer is consumer, except that it waits for a consumer that is being started.
func (l *log) awaitConsumer(ctx context.Context, name string) (*jetstream.ConsumerInfo, error) {
	for begun := time.Now(); ; {
		is, err := l.consumer(ctx, name)
		if !l.maybeStarting(err) || time.Since(begun) > startingTime {
			return is, err
		}
		if exists, listErr := l.listsConsumer(ctx, l.config.Name, name); !exists || listErr != nil || !pause(ctx, apiPause) {
			return nil, err
		}
	}
}

// maybeStarting reports whether err is that of a consumer that may exist nevertheless.
func (l *log) maybeStarting(err error) bool {
	return codeOfAPI(err) == jetstream.JSErrCodeConsumerNotFound && (l.replicated || l.t.clustered())
}

// listsConsumer reports whether the leader of the cluster lists a consumer.
func (l *log) listsConsumer(ctx context.Context, stream, name string) (bool, error) {
	return callAPI(ctx, l.t, func(ctx context.Context) (bool, error) {
		var page struct {
			Total     int      `json:"total"`
			Consumers []string `json:"consumers"`
		}
		for offset := 0; ; offset += len(page.Consumers) {
			page.Consumers = nil
			err := l.t.api(ctx, "CONSUMER.NAMES."+stream, map[string]any{"offset": offset}, &page)
			exists := slices.Contains(page.Consumers, name)
			if exists || err != nil || len(page.Consumers) == 0 || offset+len(page.Consumers) >= page.Total {
				return exists, err
			}
		}
	})
}

// consumer asks for the state of a consumer. See awaitConsumer.
func (l *log) consumer(ctx context.Context, name string) (*jetstream.ConsumerInfo, error) {
	return l.callConsumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return l.t.js(ctx).Consumer(ctx, l.config.Name, name)
	})
}

func (l *log) callConsumer(ctx context.Context, do func(context.Context) (jetstream.Consumer, error)) (*jetstream.ConsumerInfo, error) {
	c, err := callAPI(ctx, l.t, do)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

func (l *log) makeConsumer(ctx context.Context, g *transport.GroupConfig, name string, filter []string) (*jetstream.ConsumerInfo, error) {
	base := jetstream.ConsumerConfig{Durable: name, Name: name}
	setStart(&base, g.Start)
	want, err := l.hookConsumer(g.Name, l.consumerConfig(base, g, filter))
	if err == nil && l.replicated && want.DeliverPolicy == base.DeliverPolicy {
		err = l.pin(ctx, &want, g.Start)
	}
	if err != nil {
		return nil, err
	}
	return l.callConsumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return l.t.js(ctx).CreateConsumer(ctx, l.config.Name, want)
	})
}

// changeConsumer updates an existing consumer. It checks Ordered even if the caller may not
// change anything: every member of a group must know whether it is ordered.
func (l *log) changeConsumer(ctx context.Context, g *transport.GroupConfig, is *jetstream.ConsumerInfo, filter []string) (*jetstream.ConsumerInfo, error) {
	switch {
	case groupOf(is) != g.Name:
		return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"its consumer %s belongs to the group %q: choose another name", is.Name, groupOf(is))
	case isOrdered(&is.Config) != g.Ordered:
		return nil, cannotReorder(g)
	case !g.Update || parseNumber(is.Config.Metadata[metaGeneration]) > g.Generation:
		return is, nil
	}
	want, err := l.hookConsumer(g.Name, l.consumerConfig(is.Config, g, filter))
	if err != nil || same(want, is.Config) {
		return is, err
	}
	if err := checkFixed(&is.Config, &want); err != nil {
		return nil, err
	}
	return l.callConsumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return l.t.js(ctx).UpdateConsumer(ctx, l.config.Name, want)
	})
}

// groupOf returns the name of a consumer's group.
func groupOf(is *jetstream.ConsumerInfo) string {
	if group := is.Config.Metadata[metaGroup]; group != "" {
		return group
	}
	return is.Name
}

func isOrdered(c *jetstream.ConsumerConfig) bool { return c.MaxAckPending == 1 }

// consumerConfig returns the configuration for a consumer of the group. base is the existing
// configuration, or only the name and start of a new consumer.
func (l *log) consumerConfig(base jetstream.ConsumerConfig, g *transport.GroupConfig, filter []string) jetstream.ConsumerConfig {
	c := base
	c.AckPolicy = jetstream.AckExplicitPolicy
	c.AckWait = g.AckWait
	c.MaxDeliver = -1
	c.BackOff = nil
	c.MaxAckPending = -1
	if g.Ordered {
		c.MaxAckPending = 1
	}
	setFilter(&c, filter)
	c.Metadata = metadata(base.Metadata, usersMetadata(base.Metadata), l.groupMetadata(g))
	copyStart(&c, &base)
	return c
}

func (l *log) groupMetadata(g *transport.GroupConfig) map[string]string {
	m := map[string]string{metaGroup: g.Name, metaGeneration: formatNumber(g.Generation)}
	if g.Ordered {
		m[metaOrdered] = "true"
	}
	if l.lanes.n > 0 {
		m[metaFilter] = strings.Join(g.Filter, " ")
	}
	return m
}

// setFilter sets the filter, unless it is the same already.
func setFilter(c *jetstream.ConsumerConfig, filter []string) {
	if len(filter) == 0 && c.DeliverPolicy == jetstream.DeliverLastPerSubjectPolicy {
		filter = []string{">"} // the server requires it explicitly
	}
	if sorted(filterOf(c)) == sorted(filter) {
		return
	}
	c.FilterSubject, c.FilterSubjects = "", filter
	if len(filter) == 1 {
		c.FilterSubject, c.FilterSubjects = filter[0], nil
	}
}

func sorted(filter []string) string {
	return strings.Join(slices.Sorted(slices.Values(filter)), " ")
}

func filterOf(c *jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// groupConfig returns the configuration of the group that a consumer describes.
func groupConfig(is *jetstream.ConsumerInfo) transport.GroupConfig {
	c := &is.Config
	g := transport.GroupConfig{
		Name: groupOf(is), Filter: filterOf(c), Start: startOf(c), AckWait: c.AckWait, Ordered: isOrdered(c),
		Generation: parseNumber(c.Metadata[metaGeneration]),
	}
	if g.Start.LastPerSubject && slices.Equal(g.Filter, []string{">"}) {
		g.Filter = nil
	}
	if original, ok := c.Metadata[metaFilter]; ok {
		g.Filter = strings.Fields(original)
	} else if slices.ContainsFunc(g.Filter, func(f string) bool { return trimLane(f) != f }) {
		g.Filter = nil // a group of the whole log, which has lanes
	}
	return g
}

// checkFixed reports a setting that the server cannot change. Only a hook can request such a
// change.
func checkFixed(is, want *jetstream.ConsumerConfig) error {
	for _, s := range []struct {
		name     string
		is, want any
	}{
		{"DeliverPolicy", is.DeliverPolicy, want.DeliverPolicy},
		{"OptStartSeq", is.OptStartSeq, want.OptStartSeq},
		{"AckPolicy", is.AckPolicy, want.AckPolicy},
		{"ReplayPolicy", is.ReplayPolicy, want.ReplayPolicy},
		{"MaxWaiting", is.MaxWaiting, want.MaxWaiting},
	} {
		if s.is != s.want {
			return driver.CannotChange(s.name, s.is, s.want)
		}
	}
	return nil
}

// guardedConsumer are the fields of a consumer that its hook must not change.
var guardedConsumer = []string{
	"Name", "Durable", "AckWait", "MaxDeliver", "BackOff",
	"FilterSubject", "FilterSubjects", "MaxAckPending", "HeadersOnly", "InactiveThreshold", "MemoryStorage",
	"PriorityPolicy", "PriorityGroups", "DeliverSubject", "DeliverGroup", "FlowControl", "IdleHeartbeat",
}

// hookConsumer applies the user's hook to a configuration.
func (l *log) hookConsumer(group string, c jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	if l.t.options.consumer == nil {
		return c, nil
	}
	changed := c
	changed.Metadata, changed.FilterSubjects = maps.Clone(c.Metadata), slices.Clone(c.FilterSubjects)
	l.t.options.consumer(l.config.Name, group, &changed)
	if err := checkGuarded(c, changed, guardedConsumer); err != nil {
		return c, err
	}
	if err := checkMetadata(c.Metadata, changed.Metadata); err != nil {
		return c, err
	}
	if changed.AckPolicy != jetstream.AckExplicitPolicy && isOrdered(&c) {
		return c, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"the hook in natsx.Options sets AckPolicy to %v, and an ordered group waits for each acknowledgement: leave it unchanged, or make the group Unordered", changed.AckPolicy)
	}
	if changed.RateLimit > 0 {
		changed.Metadata[metaRate], changed.RateLimit = formatNumber(changed.RateLimit), 0
	}
	return changed, nil
}
