package telemetry

import (
	"errors"
	"strings"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// maxHeader bounds a header in bytes, in both directions. W3C has the same limit for baggage.
const maxHeader = 8 << 10

// carrier is the header of a message, for a propagator.
type carrier struct{ *mono.Call }

// Get returns a header, "" if it is too long.
func (c carrier) Get(key string) string {
	if value := c.Header(key); len(value) <= maxHeader {
		return value
	}
	return ""
}

// Set sets a header, unless the message could not be sent with it.
func (c carrier) Set(key, value string) {
	own := strings.HasPrefix(key, "Mono-") || key == transport.HeaderContentType
	if value != "" && len(value) <= maxHeader && !own && (transport.Header{{Name: key, Value: value}}).Validate() == nil {
		c.SetHeader(key, value)
	}
}

// Keys implements [go.opentelemetry.io/otel/propagation.TextMapCarrier].
func (carrier) Keys() []string { return nil }

// tooLarge reports whether a message was not sent because of its size.
func tooLarge(err error) bool {
	return errors.Is(err, transport.ErrTooLarge) && mono.OutcomeOf(err) == mono.OutcomeNotDone
}

// withoutHeaders removes the headers of the propagator from a message.
func (r *run) withoutHeaders(c *mono.Call) {
	defer r.contain()
	for _, key := range r.options.propagator.Fields() {
		c.DelHeader(key)
	}
}
