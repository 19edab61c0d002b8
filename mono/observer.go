package mono

import (
	"context"
	"iter"
	"runtime/debug"
	"time"
)

// Observer receives what happens to an App. Add one with App.Observe, or implement it
// in a Middleware.
type Observer interface {
	// Observe is called for each observation, in order, on the goroutine that caused
	// it. It must return soon, and may be called concurrently.
	Observe(o Observation)
}

// ObserverFunc is a function that implements Observer.
type ObserverFunc func(Observation)

// Observe calls f.
func (f ObserverFunc) Observe(o Observation) { f(o) }

// Observation is one of StateChanged, Configured, HandleBound, ModuleStarted,
// ModuleStopped, ComponentOpened, ComponentClosed, MessagesDropped, MessageDeduplicated,
// MessageRetried, MessageDeadLettered, DeadLetterChanged, HandlerStuck, PartitionFull, PartitionResumed,
// GroupLost, GroupRestored, GroupUnused, GroupDeleted, LogUnused, ContractDiffers, SendDenied,
// ReceiveDenied, ReferenceChanged and Panicked. Later versions may add others, so a type switch needs a
// default.
type Observation interface{ observation() }

type (
	// StateChanged reports that the App has entered a state.
	StateChanged struct{ From, To State }

	// Configured reports a setting, at every start: first those of the App, then those
	// of each handle that differ from the default, then those of each receiver that
	// differ from its handle's, then the options of each component.
	Configured struct {
		Handle    Handle // nil: a setting of the App or of a component
		Module    string // "": not a setting of a receiver
		Component string // as in "bucket sessions"; "": not a setting of a component
		Name      string
		Value     string
	}

	// HandleBound reports that a module uses a handle, once for each usage at every
	// start.
	HandleBound struct {
		Module string
		Handle Handle
		Usage  Usage
	}

	// ModuleStarted reports that a module (or plugin, or middleware) serves.
	ModuleStarted struct {
		Module   string
		Duration time.Duration
	}

	// ModuleStopped reports that a module has stopped. Err is the error of the stop.
	ModuleStopped struct {
		Module   string
		Duration time.Duration
		Err      error
	}

	// ComponentOpened reports that a component, such as a bucket, is open for a module.
	ComponentOpened struct {
		Module   string // "" if it was attached to the App
		Kind     string // such as "bucket"
		Name     string
		Duration time.Duration
	}

	// ComponentClosed reports that a component was closed for a module. Err is the error
	// of its Close.
	ComponentClosed struct {
		Module   string // "" if it was attached to the App
		Kind     string
		Name     string
		Duration time.Duration
		Err      error
	}

	// MessagesDropped reports that a receiver was too slow, once per episode. Total
	// counts the dropped messages since the start.
	MessagesDropped struct {
		Module string
		Handle Handle
		Total  uint64
	}

	// MessageDeduplicated reports a message that was not stored, because its log
	// remembers its DedupID. Sequence is the position of the message that was stored
	// with that id, 0 for a delayed job.
	MessageDeduplicated struct {
		Module   string // the sender's, "" outside any module
		Handle   Handle
		ID       string
		Sequence uint64
	}

	// MessageRetried reports that an attempt at a stored message failed. Another one
	// follows after Wait.
	MessageRetried struct {
		Module  string
		Handle  Handle
		Group   string
		ID      string
		Attempt int
		Wait    time.Duration
		Err     error
	}

	// MessageDeadLettered reports that a stored message was given up and is now a dead
	// letter.
	MessageDeadLettered struct {
		Module   string
		Handle   Handle
		Group    string
		ID       string
		Attempts int
		Reason   Reason
		Err      error
	}

	// DeadLetterChanged reports that this App has replayed, edited or discarded a dead
	// letter. Context is that of the call, and Module its module, "" outside any.
	DeadLetterChanged struct {
		Context context.Context
		Module  string
		Handle  Handle
		Group   string
		ID      string // of the message
		Change  DeadLetterChange
	}

	// HandlerStuck reports that the handler of a stored message has not returned within
	// StuckAfter. It is reported once per attempt, and once for a batch, with the ID
	// and the Attempt of the batch's first message.
	HandlerStuck struct {
		Module  string
		Handle  Handle
		Group   string
		ID      string
		Attempt int
		Since   time.Time // when the handler began
	}

	// PartitionFull reports that a partition of an ordered group is full: messages behind
	// keys that make no progress are as many as the receiver may hold, so it gets no more of
	// the partition, also of other keys. The module is unhealthy until PartitionResumed. Key
	// is the key with the most of these messages. See docs/ordering.md.
	PartitionFull struct {
		Module    string
		Handle    Handle
		Group     string
		Partition int
		Key       string
	}

	// PartitionResumed reports that a partition is not full any more.
	PartitionResumed struct {
		Module    string
		Handle    Handle
		Group     string
		Partition int
	}

	// GroupLost reports that the group of a receiver was deleted in the backend. The
	// group of a queue or a durable event is recreated, and GroupRestored follows. The
	// receiver of a stream gets no more messages.
	GroupLost struct {
		Module string
		Handle Handle
		Group  string
		Err    error
	}

	// GroupRestored reports that a lost group was recreated. Its receiver gets the
	// messages stored from now on.
	GroupRestored struct {
		Module string
		Handle Handle
		Group  string
	}

	// GroupUnused reports, at the start, a durable group that the App does not declare,
	// and of which no member waits for messages. It keeps its messages: DeleteGroup
	// removes it. If it belongs to another program, App.RemoteGroups declares it.
	GroupUnused struct {
		Handle Handle
		Group  string
	}

	// GroupDeleted reports that this App has deleted a group, by DeleteGroup. Context is
	// that of the call, and Module its module, "" outside any.
	GroupDeleted struct {
		Context context.Context
		Module  string
		Handle  Handle
		Group   string
	}

	// LogUnused reports, at the start, the log of an event that is not Durable any more, which
	// goes on storing the events for the groups that it has. It also reports a log of a handle
	// that App.Removed declares, and the log of its dead letters. It stays until it is deleted.
	LogUnused struct {
		Handle   Handle
		Log      string
		Messages uint64
	}

	// ContractDiffers reports that another running process declares something differently, at
	// its start or at that of this process. Each difference is reported once, however many
	// replicas the other process has.
	ContractDiffers struct {
		Handle     Handle // nil if the difference concerns all handles
		Difference Difference
	}

	// SendDenied reports that the server denies messages of a handle: the account may
	// not publish them, and they are lost. It is reported once, and again if the server
	// denies a message after it has accepted one, or on another connection. A send that
	// returned before the denial has returned nil. Later ones return Err, which names
	// the subject.
	SendDenied struct {
		Handle Handle
		Err    error
	}

	// ReceiveDenied reports, after the start, that the server denies a receiver its
	// subscription, or denies its group deliveries or their settlement. It is reported
	// as often as SendDenied.
	ReceiveDenied struct {
		Module string
		Handle Handle
		Group  string // "" if every instance receives
		Err    error
	}

	// ReferenceChanged reports that a value was changed after a call had passed it
	// without a copy, through a ByReference service. It is reported in tests only.
	ReferenceChanged struct {
		Handle   Handle
		Changed  string // "request" or "reply"
		Caller   string // module, "" outside any module
		Provider string // module
	}

	// Panicked reports that a handler, hook, middleware or health check panicked. The
	// panic was recovered.
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
func (ComponentOpened) observation()     {}
func (ComponentClosed) observation()     {}
func (MessagesDropped) observation()     {}
func (MessageDeduplicated) observation() {}
func (MessageRetried) observation()      {}
func (MessageDeadLettered) observation() {}
func (DeadLetterChanged) observation()   {}
func (HandlerStuck) observation()        {}
func (PartitionFull) observation()       {}
func (PartitionResumed) observation()    {}
func (GroupLost) observation()           {}
func (GroupRestored) observation()       {}
func (GroupUnused) observation()         {}
func (GroupDeleted) observation()        {}
func (LogUnused) observation()           {}
func (ContractDiffers) observation()     {}
func (SendDenied) observation()          {}
func (ReceiveDenied) observation()       {}
func (ReferenceChanged) observation()    {}
func (Panicked) observation()            {}

// Usage is the way in which a module uses a handle.
type Usage string

// The usages.
const (
	UsageProvides Usage = "provides" // a service or a resource
	UsageNeeds    Usage = "needs"    // a service or a resource
	UsageProduces Usage = "produces" // an event, a stream, a queue, a channel
	UsageConsumes Usage = "consumes" // an event, a stream, a queue, a channel
	UsageReads    Usage = "reads"    // a stream
)

// DeadLetterChange is what was done to a dead letter.
type DeadLetterChange string

// The changes.
const (
	DeadLetterReplayed  DeadLetterChange = "replayed"
	DeadLetterEdited    DeadLetterChange = "edited"
	DeadLetterDiscarded DeadLetterChange = "discarded"
)

// observe notifies all observers. A panic of one is logged, and the others are notified
// nevertheless.
func (a *App) observe(o Observation) {
	for observer := range a.allObservers() {
		a.notify(observer, o)
	}
}

// allObservers returns the middleware that observes, then the observers, in the order
// in which they were added.
func (a *App) allObservers() iter.Seq[Observer] {
	return func(yield func(Observer) bool) {
		for _, m := range a.middleware {
			if observer, ok := m.(Observer); ok && !yield(observer) {
				return
			}
		}
		for _, observer := range a.observers {
			if !isNil(observer) && !yield(observer) { // a nil observer is in the start report
				return
			}
		}
	}
}

func (a *App) notify(observer Observer, o Observation) {
	defer func() {
		if v := recover(); v != nil {
			a.log.Error("mono: an observer panicked", "observation", o, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	observer.Observe(o)
}

// panicked logs and reports a recovered panic. It is called on the goroutine and in the
// frame of the recovery.
func (a *App) panicked(where string, value any) {
	stack := debug.Stack()
	a.log.Error("mono: panic", "where", where, "panic", value, "stack", string(stack))
	a.observe(Panicked{Where: where, Value: value, Stack: stack})
}
