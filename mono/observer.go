package mono

import (
	"iter"
	"runtime/debug"
	"time"
)

// Observer sees what happens to an App. A type that implements it is given to
// App.Observe, or is a Middleware.
type Observer interface {
	// Observe is called in the order of what happens, on the goroutine on which it
	// happens: it must return soon, and may be called concurrently.
	Observe(o Observation)
}

// ObserverFunc is an Observer that is only a function.
type ObserverFunc func(Observation)

// Observe calls f.
func (f ObserverFunc) Observe(o Observation) { f(o) }

// Observation is one of StateChanged, Configured, HandleBound, ModuleStarted,
// ModuleStopped, MessagesDropped, MessageDeduplicated, MessageRetried, MessageDeadLettered,
// HandlerStuck, GroupLost, GroupRestored, GroupUnused, SendDenied, ReceiveDenied,
// ReferenceChanged and Panicked. Later versions may add others, so a type switch has a
// default.
type Observation interface{ observation() }

type (
	// StateChanged: the App has entered a state.
	StateChanged struct{ From, To State }

	// Configured: a setting is in force, told at every start: those of the App, then
	// those of each handle that are not the default, then those of each receiver
	// that are not its handle's.
	Configured struct {
		Handle Handle // nil: the App
		Module string // "": not a receiver's own
		Name   string
		Value  string
	}

	// HandleBound: a module uses a handle, told once for each role at every start.
	HandleBound struct {
		Module string
		Handle Handle
		Usage  Usage
	}

	// ModuleStarted: a module (or plugin, or middleware) serves.
	ModuleStarted struct {
		Module   string
		Duration time.Duration
	}

	// ModuleStopped: it has stopped; Err says what went wrong.
	ModuleStopped struct {
		Module   string
		Duration time.Duration
		Err      error
	}

	// MessagesDropped: a receiver was too slow, told once per episode. Total is
	// counted since the start.
	MessagesDropped struct {
		Module string
		Handle Handle
		Total  uint64
	}

	// MessageDeduplicated: a message was sent with a DedupID that its log remembers, so
	// nothing was stored. Sequence is the position of the message that was stored with
	// it, 0 for a delayed job.
	MessageDeduplicated struct {
		Module   string // the sender's, "" outside any
		Handle   Handle
		ID       string
		Sequence uint64
	}

	// MessageRetried: an attempt at a stored message failed, and another follows
	// after Wait.
	MessageRetried struct {
		Module  string
		Handle  Handle
		Group   string
		ID      string
		Attempt int
		Wait    time.Duration
		Err     error
	}

	// MessageDeadLettered: a stored message was given up and is a dead letter now.
	MessageDeadLettered struct {
		Module   string
		Handle   Handle
		Group    string
		ID       string
		Attempts int
		Reason   Reason
		Err      error
	}

	// HandlerStuck: the handler of a stored message has not returned within StuckAfter.
	// It is reported once per attempt, and once for a batch, with the ID and the
	// Attempt of the batch's first message.
	HandlerStuck struct {
		Module  string
		Handle  Handle
		Group   string
		ID      string
		Attempt int
		Since   time.Time // when the handler began
	}

	// GroupLost: the group of a receiver was deleted in the backend. For a queue or a
	// durable event it is recreated, and GroupRestored follows. The receiver of a
	// stream gets no more messages.
	GroupLost struct {
		Module string
		Handle Handle
		Group  string
		Err    error
	}

	// GroupRestored: a lost group was recreated, and its receiver gets the messages
	// stored from now on.
	GroupRestored struct {
		Module string
		Handle Handle
		Group  string
	}

	// GroupUnused: a durable group is there that nobody declares any more, told
	// at the start. Retire removes it.
	GroupUnused struct {
		Handle Handle
		Group  string
	}

	// SendDenied: the server denies messages of a handle, which are lost: the account
	// may not publish them. It is observed once, and again if the server denies a
	// message after it has taken one, or on another connection. A send that returned
	// before the server had denied it has returned nil. Later ones return Err, which
	// names the subject.
	SendDenied struct {
		Handle Handle
		Err    error
	}

	// ReceiveDenied: after the start, the server denies a receiver its subscription, or
	// denies its group deliveries or their settlement. It is observed as often as
	// SendDenied.
	ReceiveDenied struct {
		Module string
		Handle Handle
		Group  string // "": every instance receives
		Err    error
	}

	// ReferenceChanged: a value that a call passed as it is, through a service that is
	// Shared, was changed after it was sent. It is looked for in tests only.
	ReferenceChanged struct {
		Handle   Handle
		Changed  string // "request" or "reply"
		Caller   string // module, "" outside any
		Provider string // module
	}

	// Panicked: a handler, hook, middleware or check panicked and was contained.
	Panicked struct {
		Where string
		Value any
		Stack []byte
	}
)

func (StateChanged) observation()        {}
func (Configured) observation()          {}
func (HandleBound) observation()         {}
func (ModuleStarted) observation()       {}
func (ModuleStopped) observation()       {}
func (MessagesDropped) observation()     {}
func (MessageDeduplicated) observation() {}
func (MessageRetried) observation()      {}
func (MessageDeadLettered) observation() {}
func (HandlerStuck) observation()        {}
func (GroupLost) observation()           {}
func (GroupRestored) observation()       {}
func (GroupUnused) observation()         {}
func (SendDenied) observation()          {}
func (ReceiveDenied) observation()       {}
func (ReferenceChanged) observation()    {}
func (Panicked) observation()            {}

// Role is what a module does with a handle.
type Usage string

// The roles.
const (
	UsageProvides Usage = "provides" // a service or a resource
	UsageNeeds    Usage = "needs"    // a service or a resource
	UsageProduces Usage = "produces" // an event, a stream, a queue, a channel
	UsageConsumes Usage = "consumes" // an event, a stream, a queue, a channel
	UsageReads    Usage = "reads"    // a stream
)

// observe tells all observers. One that panics is logged and the others are
// told all the same.
func (a *App) observe(o Observation) {
	for observer := range a.allObservers() {
		a.tell(observer, o)
	}
}

// allObservers are middleware that observes, then the observers, in the order in
// which they were added.
func (a *App) allObservers() iter.Seq[Observer] {
	return func(yield func(Observer) bool) {
		for _, m := range a.middleware {
			if observer, ok := m.(Observer); ok && !yield(observer) {
				return
			}
		}
		for _, observer := range a.observers {
			if !isNil(observer) && !yield(observer) { // the start report says so
				return
			}
		}
	}
}

func (a *App) tell(observer Observer, o Observation) {
	defer func() {
		if v := recover(); v != nil {
			a.log.Error("mono: an observer panicked", "observation", o, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	observer.Observe(o)
}

// panicked is told of every panic that was contained, on the goroutine and in
// the frame where it was recovered.
func (a *App) panicked(where string, value any) {
	stack := debug.Stack()
	a.log.Error("mono: panic", "where", where, "panic", value, "stack", string(stack))
	a.observe(Panicked{Where: where, Value: value, Stack: stack})
}
