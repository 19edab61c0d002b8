package transport

import "context"

// Transport carries messages between the parts of a system.
type Transport interface {
	// Capabilities returns what this backend currently supports. The result may change
	// when the backend reconnects to a server with a different configuration.
	Capabilities() Capabilities

	// Ping reports whether the backend is reachable. It returns nil after a round trip,
	// and otherwise the error that Publish would return. When it returns nil, every
	// message that this Transport published before is queued at the Transport's
	// subscriptions, or was dropped there.
	Ping(ctx context.Context) error

	// Publish hands m to every subscription without a group whose pattern matches, and to
	// one member of each group. It returns as soon as the backend has accepted the
	// message, which implies nothing about its delivery: without subscribers, it returns
	// nil.
	//
	// A reply is a Publish to the Reply subject of the request.
	//
	// Errors: InvalidArgument for a message that [Message.Validate] rejects and for one
	// over the payload limit, naming both sizes; Unavailable while disconnected and after
	// Close; PermissionDenied if the backend reports a denial at once. ctx limits the
	// hand-over, if the backend's client supports that, and not the delivery.
	Publish(ctx context.Context, m *Message) error

	// Request publishes m and waits for the first reply. m.Reply must be empty. Later
	// replies are dropped.
	//
	// A reply that carries an error in its header (see [ErrorFromHeader]) is a reply: it
	// is returned with a nil error.
	//
	// Errors: the errors of Publish; Unavailable with OutcomeNotDone, at once, if there
	// is no subscriber; DeadlineExceeded or Canceled with OutcomeUnknown if ctx ends
	// first, and with OutcomeNotDone if it had ended before the message was sent;
	// Unavailable with OutcomeUnknown if the backend lost its connection, or the
	// Transport was closed, while it waited.
	Request(ctx context.Context, m *Message) (*Message, error)

	// Subscribe calls h for the messages that match s until the Receiver is drained or
	// closed. When it returns, the subscription is in force: messages published
	// afterwards, on this or any other connection to the same server, reach it. Other
	// servers of a cluster learn of it shortly after.
	//
	// h is called for one message after another, in order, never concurrently. A slow h
	// delays only its own subscription: up to s.PendingLimit messages are queued, then
	// the newest are dropped and counted.
	//
	// Errors: InvalidArgument for a nil handler, and a bad subject, group or endpoint;
	// Unavailable; PermissionDenied. ctx applies only to the call.
	Subscribe(ctx context.Context, s Subscription, h Handler) (Receiver, error)

	// Log opens the log that c describes, and creates it if it does not exist. [Log]
	// specifies its guarantees, and [LogConfig] specifies when an existing log is
	// changed. A backend without Capabilities.Logs returns Unimplemented. Other servers
	// of a cluster learn of a new log shortly after: until then an Append there is
	// Unavailable, with OutcomeNotDone.
	Log(ctx context.Context, c LogConfig) (Log, error)

	// Watch calls f for each [Denial] that no call returns: of a message after Publish
	// returned nil, of a subscription after Subscribe or Consume did. f is called again
	// when the denial is over, and at once for each present denial. It is called on a
	// goroutine of the transport, for one Denial after another, and must return soon.
	// stop ends the calls without waiting for a running one. A backend without
	// permissions never calls f.
	Watch(f func(Denial)) (stop func())

	// Close closes every subscription as [Receiver.Close] does and releases the resources
	// of the Transport. If the Transport owns the backend, Close ends that too. It first
	// waits, as long as ctx allows, until all published messages have been sent. Callers
	// drain their receivers before. Every later call returns nil, once the first has
	// finished.
	Close(ctx context.Context) error
}

// Handler handles one message and returns the remaining work on it, or nil. It runs on a
// goroutine of the subscription. The work runs concurrently with the calls for later
// messages, on the goroutine of its own call if possible, so that concurrent handling
// needs no change of goroutines. Drain and Close do not wait for the work: the subscriber
// knows when it is done. Code that takes long, or waits for another message of the same
// subscription, belongs in the work. A Handler must not panic. See [Serial].
type Handler func(m *Message) Work

// Work is the remaining work on a message.
type Work interface {
	// Run does the work. It must not panic.
	Run()
}

// WorkFunc is a function that does work.
type WorkFunc func()

// Run implements [Work].
func (f WorkFunc) Run() { f() }

// Serial returns a handler that calls f and leaves no work. M is Message for a [Handler],
// and Delivery for a [DeliveryHandler].
func Serial[M any](f func(*M)) func(*M) Work {
	return func(m *M) Work {
		f(m)
		return nil
	}
}

// Subscription specifies the messages to receive.
type Subscription struct {
	// Subject is a subject or a pattern.
	Subject string

	// Group, unless empty, shares the messages among all subscriptions with the same
	// group name: each message goes to one member whose pattern matches it, even if the
	// patterns differ. Members are picked at random. A group name is one token.
	Group string

	// PendingLimit is the number of messages that may be queued for the handler, in
	// addition to the message that it is handling. 0 means [DefaultPendingLimit].
	PendingLimit int

	// OnDrop, if not nil, is called when messages are dropped because PendingLimit was
	// reached: once per episode, when its first message is dropped, with the number
	// dropped since the subscription began. An episode ends when the handler has caught
	// up with the queued messages. OnDrop is called on a goroutine of the transport and
	// must return soon.
	OnDrop func(total uint64)

	// Endpoint, if not nil, announces the subscription as a service in the backend's
	// service discovery. A backend without discovery ignores it.
	Endpoint *Endpoint
}

// Validate returns an InvalidArgument for a subject that is neither a subject nor a
// pattern, a group that is not a token, a negative PendingLimit, and an Endpoint that
// cannot be announced. Package driver checks it in Subscribe, for backends without
// service discovery too.
func (s *Subscription) Validate() error {
	if err := ValidatePattern(s.Subject); err != nil {
		return err
	}
	if s.Group != "" {
		if err := ValidateToken(s.Group); err != nil {
			return invalid("its group: %w", err)
		}
	}
	if s.PendingLimit < 0 {
		return invalid("PendingLimit is %d: want a positive number, or 0 for %d", s.PendingLimit, DefaultPendingLimit)
	}
	if s.Endpoint != nil {
		return s.Endpoint.Validate()
	}
	return nil
}

// DefaultPendingLimit is the default of Subscription.PendingLimit. Queued messages are
// limited only by their number, so a subscription can hold at most DefaultPendingLimit
// times the payload limit.
const DefaultPendingLimit = 65536

// Receiver is an active subscription.
type Receiver interface {
	// Drain stops new messages from arriving, lets the handler process the messages that
	// had arrived, and returns when its last call has returned. A request sent after
	// Drain began finds no subscriber, at once. If ctx ends first, Drain does what Close
	// does and returns DeadlineExceeded or Canceled; the text contains the number of lost
	// messages. A handler must not drain its own subscription: it would wait for itself.
	Drain(ctx context.Context) error

	// Close ends the subscription and drops the queued messages. It does not wait for a
	// running handler. Closing again, or after a Drain, does nothing.
	Close()
}
