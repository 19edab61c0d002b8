package inproc

import (
	"slices"
	"strconv"
	"strings"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// republish publishes the records of a bucket on other subjects. nil publishes nothing.
type republish struct {
	source      string
	wildcards   []int    // the positions of * in the source
	fixed       int      // number of tokens of the source before >
	destination []string // the tokens
	headersOnly bool
}

func newRepublish(c *driver.Config) (*republish, error) {
	if c.Republish == nil {
		return nil, nil
	}
	r := &republish{
		source:      c.Republish.Source,
		destination: strings.Split(c.Republish.Destination, "."),
		headersOnly: c.Republish.HeadersOnly,
	}
	if r.source == "" {
		r.source = ">"
	}
	tokens := strings.Split(r.source, ".")
	r.fixed = len(slices.DeleteFunc(slices.Clone(tokens), func(token string) bool { return token == ">" }))
	for i, token := range tokens {
		if token == "*" {
			r.wildcards = append(r.wildcards, i)
		}
	}
	for _, token := range r.destination {
		if n, is := wildcard(token); is && (n < 1 || n > len(r.wildcards)) {
			return nil, transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone,
				"inproc does not support %q in the destination of Republish: use {{wildcard(n)}}, with n up to the number of * in the source", token)
		}
	}
	return r, nil
}

// wildcard reports whether a token of a destination is a function, and returns the number
// of the wildcard that it inserts. 0 means another function.
func wildcard(token string) (n int, is bool) {
	number, is := strings.CutPrefix(token, "$")
	if !is {
		if number, is = strings.CutPrefix(token, "{{"); !is {
			return 0, false
		}
		number = strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(number, "}}"), " ", ""))
		number = strings.TrimSuffix(strings.TrimPrefix(number, "wildcard("), ")")
	}
	n, _ = strconv.Atoi(number)
	return n, true
}

// publish publishes a record, if its subject on NATS matches the source. The lock of the
// bucket is held, so subscriptions get the records in order.
func (r *republish) publish(b *bucket, record *bucketRecord) {
	if r == nil {
		return
	}
	subject := "$KV." + b.name + "." + record.Key
	if !transport.Match(r.source, subject) {
		return
	}
	m := &transport.Message{Subject: r.subject(strings.Split(subject, ".")), Header: slices.Clone(record.Header)}
	switch record.Op {
	case driver.Delete:
		m.Header.Add("KV-Operation", "DEL")
	case driver.Purge:
		m.Header.Add("KV-Operation", "PURGE")
	}
	if !r.headersOnly {
		m.Body = record.Value
	}
	if transport.ValidateSubject(m.Subject) == nil {
		b.backend.deliver(m)
	}
}

// subject returns the subject on which a record is published.
func (r *republish) subject(source []string) string {
	var tokens []string
	for _, token := range r.destination {
		n, is := wildcard(token)
		switch {
		case is:
			tokens = append(tokens, source[r.wildcards[n-1]])
		case token == ">":
			tokens = append(tokens, source[r.fixed:]...)
		default:
			tokens = append(tokens, token)
		}
	}
	return strings.Join(tokens, ".")
}
