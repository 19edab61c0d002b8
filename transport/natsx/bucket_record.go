package natsx

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Headers of a record. The clients of NATS share them.
const (
	headerOperation = "KV-Operation"
	headerReason    = "Nats-Marker-Reason" // the server removed the value, and wrote this record
	headerSize      = "Nats-Msg-Size"      // of the value that is left out

	operationDelete = "DEL"
	operationPurge  = "PURGE"
	reasonMaxAge    = "MaxAge"
)

// fillRecord sets what the header and the body of a message determine.
func fillRecord(r *driver.Record, h nats.Header, value []byte) {
	r.Value, r.Size = value, len(value)
	if len(h) == 0 {
		return
	}
	r.Op, r.TTL = operationOf(h), ttlOf(h)
	others := 0
	for name := range h {
		if isOthers(name) {
			others++
		}
	}
	if others == 0 {
		return
	}
	r.Header = make(transport.Header, 0, others)
	for name, values := range h {
		if !isOthers(name) {
			continue
		}
		for _, value := range values {
			r.Header = append(r.Header, transport.Field{Name: name, Value: value})
		}
	}
}

// isOthers reports whether the backend does not own a header.
func isOthers(name string) bool { return name != headerOperation && !transport.Reserved(name) }

func operationOf(h nats.Header) driver.Op {
	switch firstOf(h, headerOperation) {
	case operationDelete:
		return driver.Delete
	case operationPurge:
		return driver.Purge
	}
	switch firstOf(h, headerReason) {
	case "":
		return driver.Put
	case reasonMaxAge:
		return driver.Expire
	}
	return driver.Purge
}

// ttlOf returns the TTL in a header: seconds, or a duration. It is negative for "never", and 0
// for any other text.
func ttlOf(h nats.Header) time.Duration {
	text := firstOf(h, jetstream.MsgTTLHeader)
	switch {
	case text == "":
		return 0
	case strings.EqualFold(text, "never"):
		return -1
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(time.Duration(seconds)*time.Second, 0)
	}
	ttl, _ := time.ParseDuration(text)
	return max(ttl, 0)
}

// record returns the record in a message of a consumer.
func (is *shape) record(msg *nats.Msg, about *nats.MsgMetadata, headersOnly bool) *driver.Record {
	r := &driver.Record{Key: strings.TrimPrefix(msg.Subject, is.prefix), Revision: about.Sequence.Stream, Created: about.Timestamp}
	fillRecord(r, msg.Header, msg.Data)
	if headersOnly {
		r.Value = nil
		r.Size = numberIn(msg, headerSize)
	}
	return r
}
