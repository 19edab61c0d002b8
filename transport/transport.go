package transport

import "context"

// Transport carries messages between the parts of a system.
type Transport interface {
	// Capabilities says what this backend can do, now. The result may change
	// when the backend reconnects to a differently configured server.
	Capabilities() Capabilities

	// Ping reports whether the backend can be reached: nil after a round trip,
	// otherwise the error that a Publish would get. When it returns nil, what this
	// Transport published before waits at its own subscriptions, or was dropped
	// there.
	Ping(ctx context.Context) error

	// Publish hands m to every subscription without a group whose pattern
	// matches, and to one member of each group. It returns as soon as the backend
	// has taken the message, which says nothing about its delivery: with nobody
	// subscribed, it returns nil.
	//
	// A reply is a Publish to the Reply of the message that is answered.
	//
	// Errors: InvalidArgument for a message that [Message.Validate] rejects and
	// for one over the payload limit, naming both sizes; Unavailable while
	// disconnected and after Close; PermissionDenied where the backend says so at
	// once. ctx bounds the hand-over as far as the backend's client heeds it, not
	// the delivery.
	Publish(ctx context.Context, m *Message) error

	// Request publishes m and waits for the first reply. m.Reply must be empty.
	// Later replies are dropped.
	//
	// A reply that carries an error in its header (see [ErrorFromHeader]) is a
	// reply: it is returned with a nil error.
	//
	// Errors: those of Publish; Unavailable with OutcomeNotDone, at once, when
	// nobody is subscribed; DeadlineExceeded or Canceled with OutcomeUnknown when
	// ctx ends first, and with OutcomeNotDone when it had ended before the
	// message was sent; Unavailable with OutcomeUnknown when the backend lost its
	// connection, or the Transport was closed, while it waited.
	Request(ctx context.Context, m *Message) (*Message, error)

	// Subscribe calls h for the messages that match s until the Receiver is
	// drained or closed. When it returns, the subscription is in force: what is
	// published afterwards, on this or any other connection to the same server,
	// reaches it. Other servers of a cluster learn of it shortly after.
	//
	// h is called for one message after another, in order, never concurrently. A
	// slow h holds up its own subscription only: up to s.Pending messages wait,
	// then the newest are dropped and counted.
	//
	// Errors: InvalidArgument for a bad subject, group or endpoint; Unavailable;
	// PermissionDenied. ctx bounds the call alone.
	Subscribe(ctx context.Context, s Subscription, h Handler) (Receiver, error)

	// Log opens the log that c describes, and creates it if it is not there. See
	// [Log] for what it promises and [LogConfig] for when an existing one is
	// changed. A backend without Capabilities.Logs answers Unimplemented. Other
	// servers of a cluster learn of a new log shortly after: until then an Append
	// there is Unavailable, with OutcomeNotDone.
	Log(ctx context.Context, c LogConfig) (Log, error)

	// Watch calls f for each [Denial] that no call returns: of a message after
	// Publish returned nil, of a subscription after Subscribe or Consume did. f is
	// called again when the denial is over, and at once for each present denial. It
	// runs on a goroutine of the transport, for one Denial after another, and must
	// return soon. stop ends the calls, and does not wait for a running one. A
	// backend without permissions never calls f.
	Watch(f func(Denial)) (stop func())

	// Close ends every subscription as [Receiver.Close] does, releases what the
	// Transport holds, and, where the Transport owns the backend, ends that too.
	// It first waits, as long as ctx allows, until what was published has left.
	// Callers drain their receivers before. Every call after the first returns
	// nil, once the first has finished.
	Close(ctx context.Context) error
}

// Handler takes one message. It runs on a goroutine of the subscription's own;
// what takes long, or waits for another message of the same subscription, moves
// to a goroutine of the handler's. It must not panic.
type Handler func(m *Message)

// Work is what is left to do of a message.
type Work interface {
	// Run does it. It must not panic.
	Run()
}

// Subscription says what to receive.
type Subscription struct {
	// Subject is a subject or a pattern.
	Subject string

	// Group, unless empty, shares the messages among all subscriptions with the
	// same group name: each goes to one of those whose pattern matches it,
	// whichever their patterns are. Members are picked at random. A group name is
	// one token.
	Group string

	// Pending is how many messages may wait for the handler, besides the one that
	// it has in hand. 0 is [DefaultPending].
	Pending int

	// OnDrop, if not nil, is told that messages were dropped because Pending was
	// reached: once per episode, when its first message is dropped, with the number
	// dropped since the subscription began. An episode ends when the handler has caught up with what waited. It
	// runs on a goroutine of the transport and must return soon.
	OnDrop func(total uint64)

	// Begin, if not nil, is called in the place of h, in the same way, and returns
	// what is left to do of the message, or nil. That is done beside the calls for later
	// messages, on the goroutine of its own call where possible: a message that is
	// to be handled beside others need not change goroutines for it. Drain and Close
	// do not wait for work: whoever gave it knows when it is done.
	Begin func(m *Message) Work

	// Endpoint, if not nil, announces the subscription as a service to whatever
	// the backend has for discovery. A backend without discovery ignores it.
	Endpoint *Endpoint
}

// Validate reports, as an InvalidArgument, a subject that is neither a subject
// nor a pattern, a group that is no token, a negative Pending, and an Endpoint
// that cannot be announced. Every backend calls it first in Subscribe, also one
// that announces nothing.
func (s *Subscription) Validate() error {
	if err := ValidatePattern(s.Subject); err != nil {
		return err
	}
	if s.Group != "" {
		if err := ValidateToken(s.Group); err != nil {
			return Errorf(InvalidArgument, OutcomeNotDone, "group of the subscription to %q: %w", s.Subject, err)
		}
	}
	if s.Pending < 0 {
		return Errorf(InvalidArgument, OutcomeNotDone,
			"subscription to %q has %d for Pending: want a positive number, or 0 for %d", s.Subject, s.Pending, DefaultPending)
	}
	if s.Endpoint != nil {
		return s.Endpoint.Validate()
	}
	return nil
}

// Beginner returns Begin, or h in its place. It is for backends.
func (s *Subscription) Beginner(h Handler) func(m *Message) Work {
	if s.Begin != nil {
		return s.Begin
	}
	return func(m *Message) Work {
		h(m)
		return nil
	}
}

// DefaultPending is how many messages wait for a handler unless the
// subscription says otherwise. They are bounded by their number alone, so a
// subscription can hold at most DefaultPending times the payload limit.
const DefaultPending = 65536

// Receiver is a subscription in force.
type Receiver interface {
	// Drain stops new messages from arriving, lets the handler see those that
	// had arrived, and returns when its last call has returned. A request that is
	// sent after Drain began finds nobody, at once. If ctx ends first, Drain does
	// what Close does and returns DeadlineExceeded or Canceled with the number of
	// messages that were lost in its text. A handler must not drain its own
	// subscription: it would wait for itself.
	Drain(ctx context.Context) error

	// Close ends the subscription and drops what waited. It does not wait for a
	// running handler. Closing twice, or after a Drain, does nothing.
	Close()
}
