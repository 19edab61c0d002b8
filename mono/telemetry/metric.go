package telemetry

import (
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"gomono.dev/mono"
)

// instruments measure messages.
type instruments struct {
	client, server metric.Float64Histogram // of calls
	send, process  metric.Float64Histogram // of other messages
	sent, consumed metric.Int64Counter
}

// buckets has the boundaries that the conventions recommend, in seconds.
var buckets = metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10)

// newInstruments reports the errors of a meter. An instrument that could not be made does nothing.
func (t *Telemetry) newInstruments(m metric.Meter) instruments {
	client, err1 := rpcconv.NewClientCallDuration(m)
	server, err2 := rpcconv.NewServerCallDuration(m)
	send, err3 := messagingconv.NewClientOperationDuration(m, buckets)
	process, err4 := messagingconv.NewProcessDuration(m, buckets)
	sent, err5 := messagingconv.NewClientSentMessages(m)
	consumed, err6 := messagingconv.NewClientConsumedMessages(m)
	for _, err := range []error{err1, err2, err3, err4, err5, err6} {
		if err != nil {
			t.report(err)
		}
	}
	return instruments{client.Inst(), server.Inst(), send.Inst(), process.Inst(), sent.Inst(), consumed.Inst()}
}

// measure records an operation.
func (o *operation) measure(c *mono.Call, took time.Duration, code string, failed bool) {
	defer o.run.contain()
	var duration metric.Float64Histogram
	var count metric.Int64Counter
	sender := ""
	switch in := &o.run.instruments; {
	case o.site.service && o.site.sending:
		duration = in.client
	case o.site.service:
		duration, sender = in.server, c.Sender()
	case o.site.sending:
		duration, count = in.send, in.sent
	default:
		duration, count, sender = in.process, in.consumed, c.Sender()
	}
	m := o.site.of(sender, code, failed)
	duration.Record(o.ctx, took.Seconds(), m.record...)
	if count != nil {
		count.Add(o.ctx, int64(c.Count()), m.add...)
	}
}

// measurements are the sets of attributes of a site.
type measurements struct {
	attributes []attribute.KeyValue   // of each
	modules    func() map[string]bool // of the App
	last       atomic.Pointer[measurement]

	mu      sync.Mutex
	all     map[measurementKey]*measurement
	senders map[string]bool
}

// maxSenders bounds the distinct senders of a site that are not modules of the App.
const maxSenders = 32

type measurementKey struct{ sender, code string }

// measurement is a set of attributes.
type measurement struct {
	measurementKey
	record []metric.RecordOption
	add    []metric.AddOption
}

// of returns the attributes of a sender and a code.
func (m *measurements) of(sender, code string, failed bool) *measurement {
	key := measurementKey{sender, code}
	if last := m.last.Load(); last != nil && last.measurementKey == key {
		return last
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if sender != "" {
		key.sender = m.bounded(sender)
	}
	found := m.all[key]
	if found == nil {
		found = m.add(key, failed)
	}
	if key.sender == sender {
		m.last.Store(found)
	}
	return found
}

// bounded returns a sender, or "_OTHER". The mutex is held.
func (m *measurements) bounded(sender string) string {
	switch {
	case m.senders[sender] || m.modules()[sender]:
		return sender
	case len(m.senders) >= maxSenders || !plain(sender):
		return other
	}
	if m.senders == nil {
		m.senders = make(map[string]bool)
	}
	m.senders[sender] = true
	return sender
}

// plain reports whether a text may be the name of a module. It may come from a stranger.
func plain(name string) bool {
	for _, b := range []byte(name) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.', b == '/':
		default:
			return false
		}
	}
	return len(name) <= 64
}

// add adds a set of attributes. The mutex is held.
func (m *measurements) add(key measurementKey, failed bool) *measurement {
	attrs := m.attributes[:len(m.attributes):len(m.attributes)]
	if m.attributes[0].Key == semconv.RPCSystemNameKey {
		attrs = append(attrs, semconv.RPCResponseStatusCode(key.code))
	}
	if failed {
		attrs = append(attrs, semconv.ErrorTypeKey.String(key.code))
	}
	if key.sender != "" {
		attrs = append(attrs, senderKey.String(key.sender))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made := &measurement{key, []metric.RecordOption{set}, []metric.AddOption{set}}
	if m.all == nil {
		m.all = make(map[measurementKey]*measurement)
	}
	m.all[key] = made
	return made
}
