package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// observables are the gauges of a meter.
type observables struct {
	lag, inFlight, members, full metric.Int64Observable // of groups
	age                          metric.Float64Observable
	messages, delayed, dead      metric.Int64Observable // of handles
}

// newObservables makes the gauges. Errors are reported.
func newObservables(meter metric.Meter, report func(error)) *observables {
	gauge := func(name, unit, description string) metric.Int64Observable {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			report(err)
		}
		return g
	}
	age, err := meter.Float64ObservableGauge("mono.group.oldest.age", metric.WithUnit("s"), metric.WithDescription("Time since the oldest message of the group that is not settled was stored."))
	if err != nil {
		report(err)
	}
	return &observables{
		lag:      gauge("mono.group.lag", "{message}", "Messages of the group that are not settled."),
		inFlight: gauge("mono.group.in_flight", "{message}", "Messages of the group that are handled, or wait for their next attempt."),
		members:  gauge("mono.group.members", "{receiver}", "Receivers of the group, over all processes."),
		full:     gauge("mono.group.partitions.full", "{partition}", "Partitions of the group that are full in this process, because keys make no progress."),
		age:      age,
		messages: gauge("mono.handle.messages", "{message}", "Messages that are stored."),
		delayed:  gauge("mono.handle.delayed", "{message}", "Jobs that wait for their time."),
		dead:     gauge("mono.handle.dead_letters", "{message}", "Dead letters of all groups."),
	}
}

func (s *observables) all() []metric.Observable {
	return []metric.Observable{s.lag, s.inFlight, s.members, s.full, s.messages, s.delayed, s.dead, s.age}
}

// observe passes on the state of a handle. full has the number of full partitions of each group.
func (s *observables) observe(o metric.Observer, v *stored, full map[groupOf]int64) {
	of := attribute.NewSet(kindKey.String(string(v.handle.Kind())), semconv.MessagingDestinationName(v.handle.Name()))
	handle := metric.WithAttributeSet(of)
	o.ObserveInt64(s.messages, int64(v.stats.Messages), handle)
	o.ObserveInt64(s.delayed, int64(v.stats.Delayed), handle)
	o.ObserveInt64(s.dead, int64(v.stats.DeadLetters), handle)
	for i := range v.stats.Groups {
		g := &v.stats.Groups[i]
		if !g.Declared {
			continue // its name may be anybody's
		}
		group := metric.WithAttributeSet(attribute.NewSet(append(of.ToSlice(), semconv.MessagingConsumerGroupName(g.Name))...))
		o.ObserveInt64(s.lag, int64(g.Waiting+g.InFlight), group)
		o.ObserveInt64(s.inFlight, int64(g.InFlight), group)
		o.ObserveInt64(s.members, int64(g.Members), group)
		o.ObserveInt64(s.full, full[groupOf{v.handle.Kind(), v.handle.Name(), g.Name}], group)
		if !g.Oldest.IsZero() {
			o.ObserveFloat64(s.age, max(0, time.Since(g.Oldest).Seconds()), group)
		}
	}
}
