package natsx

import (
	"strings"

	"gomono.dev/transport"
)

// denyReplies fails all requests that wait for replies, since none can arrive.
func (t *Transport) denyReplies(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeUnknown,
		"the server at %s denies subscribing to %q, which receives replies: allow %q in the user's permissions, or set InboxPrefix to what is allowed",
		t.address, subject, inboxes(subject))
	t.repliesDenied.Store(err)
	t.failAll(err)
	t.apiRequests.fail(err)
	t.denials.add(transport.Denial{Subject: subject, Subscription: true}, err)
}

// inboxes returns the pattern of all replies. The argument is the pattern of some,
// "<prefix>.<id>.*".
func inboxes(pattern string) string {
	tokens := strings.Split(pattern, ".")
	return strings.Join(tokens[:max(len(tokens)-2, 0)], ".") + ".>"
}

// checkReplies reports why no reply can arrive.
func (t *Transport) checkReplies() error {
	denied := t.repliesDenied.Load()
	if denied == nil {
		return nil
	}
	err := *denied
	err.Outcome = transport.OutcomeNotDone // no request is sent
	return &err
}
