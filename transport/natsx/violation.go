package natsx

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// violation names the subject that the server denies.
type violation struct {
	subscription   bool
	subject, queue string
}

// parseViolation reads an error such as
//
//	nats: permissions violation: Permissions Violation for Subscription to "a.>" using queue "q"
func parseViolation(err error) (v violation, ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return v, false
	}
	_, rest, published := strings.Cut(err.Error(), " for Publish to ")
	if !published {
		_, rest, v.subscription = strings.Cut(err.Error(), " for Subscription to ")
	}
	if v.subject, rest, ok = unquote(rest); !ok {
		return v, false
	}
	if _, queue, using := strings.Cut(rest, " using queue "); using {
		v.queue, _, ok = unquote(queue)
	}
	return v, ok
}

// unquote returns the quoted string at the beginning of a text, and the rest.
func unquote(text string) (value, rest string, ok bool) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err == nil
}

// handleError handles an error that the server reports on the connection.
func (t *Transport) handleError(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	defer t.denials.record(err)
	v, ok := parseViolation(err)
	switch {
	case !ok:
	case v.subscription:
		t.denySubscription(v)
	default:
		t.denyMessage(v.subject)
	}
}

// denyMessage ends the wait of requests that the server has denied. If there are none, the
// denial concerns a Publish, or a pull or settlement of a member.
func (t *Transport) denyMessage(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies publishing to %q: allow %s in the user's permissions, or connect as another user", t.address, subject, strconv.Quote(toAllow(subject)))
	if t.failOn(subject, err) {
		return
	}
	key, members := t.membersAbout(subject)
	if t.denyMembers(members, err) {
		t.denials.add(key, err)
	}
}

// toAllow returns the pattern that a user needs for a subject.
func toAllow(subject string) string {
	if strings.HasPrefix(subject, "$JS.") {
		for _, part := range []string{".API.", ".ACK."} {
			if at := strings.Index(subject, part); at >= 0 {
				return subject[:at+len(part)] + ">"
			}
		}
	}
	if of := family(subject); of != subject {
		return of + ".*"
	}
	return subject
}

// failOn ends all waits for an answer to a message on a subject, and reports whether there
// were any.
func (t *Transport) failOn(subject string, err *transport.Error) (any bool) {
	for _, r := range []*requests{&t.requests, &t.acks, &t.apiRequests} {
		any = r.failOn(subject, err) || any
	}
	return any
}

// membersAbout returns the denial of a subject, and the members of this Transport that pull
// or settle on it.
func (t *Transport) membersAbout(subject string) (key transport.Denial, members []*member) {
	before, stream, consumer, ok := t.parsePull(subject)
	if !ok {
		before, stream, consumer, ok = parseSettlement(subject)
	}
	key.Subject = subject
	if !ok {
		return key, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for m := range t.members {
		if m.l.config.Name == stream && m.source.byName[consumer] != nil {
			key = m.denial(before + "." + stream + ".>")
			members = append(members, m)
		}
	}
	return key, members
}

// denyMembers records the error in members. It reports whether watchers are to be notified,
// because Consume has returned or there are no members.
func (t *Transport) denyMembers(members []*member, err *transport.Error) (notify bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range members {
		m.denied = err
		notify = notify || m.inForce
	}
	return notify || len(members) == 0
}

// parsePull parses the subject of a pull.
func (t *Transport) parsePull(subject string) (before, stream, consumer string, ok bool) {
	before = t.apiPrefix() + nextSubject
	rest, ok := strings.CutPrefix(subject, before+".")
	if ok {
		stream, consumer, ok = strings.Cut(rest, ".")
	}
	return before, stream, consumer, ok
}

// parseSettlement parses the subject of a settlement: "$JS.ACK.<stream>.<consumer>.…". With a
// domain and an account before the stream, the subject has at least eleven tokens.
func parseSettlement(subject string) (before, stream, consumer string, ok bool) {
	tokens := strings.Split(subject, ".")
	at := 2
	if len(tokens) >= 11 {
		at = 4
	}
	if len(tokens) < 9 || tokens[0] != "$JS" || tokens[1] != "ACK" {
		return "", "", "", false
	}
	return strings.Join(tokens[:at], "."), tokens[at], tokens[at+1], true
}

// denySubscription handles the denial of a subscription: of a new one, of one that nats.go
// restored on another connection, or of one whose permission was withdrawn.
func (t *Transport) denySubscription(v violation) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies subscribing to %q: allow it in the user's permissions, or connect as another user", t.address, v.subject)
	if t.requests.listensOn(v.subject) || t.acks.listensOn(v.subject) {
		t.denyReplies(v.subject)
		return
	}
	for _, key := range t.markDenied(v, err) {
		t.denials.add(key, err)
	}
}

// markDenied marks the receivers and members of a denied subscription. It returns the denials
// of those in force. For the others, Subscribe or Consume returns the error.
func (t *Transport) markDenied(v violation, err *transport.Error) (inForce []transport.Denial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.receivers {
		if r.sub.Subject == v.subject && r.sub.Queue == v.queue {
			if r.denied = err; r.inForce {
				inForce = append(inForce, r.denial())
			}
		}
	}
	for m := range t.members {
		if m.source.sub.Subject == v.subject {
			if m.denied = err; m.inForce {
				inForce = append(inForce, m.denial(v.subject))
			}
		}
	}
	return inForce
}
