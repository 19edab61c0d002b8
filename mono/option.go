package mono

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// Options change the defaults of a declaration or of a receiver. The comment of each
// type lists the options of that type; another use does not compile. A value out of
// range panics at a declaration. For the option of a handler, Start reports it.
type (
	// ServiceOption fits NewService.
	//
	// The options are [Annotate], [ByReference], [Codec], [Concurrency], [Doc], [Formerly],
	// [LoadBalanced], [Timeout] and [Version].
	ServiceOption interface {
		apply(*config) error
		forService()
	}
	// QueueOption fits NewQueue.
	//
	// The options are [AckWait], [Annotate], [AssumeAccepted], [Backoff], [Codec], [Concurrency],
	// [DedupWindow], [Doc], [Formerly], [Groups], [MaxAttempts], [MaxDelayed], [MaxPending],
	// [NonPersistent], [StuckAfter], [Timeout], [Upcasts] and [Version].
	QueueOption interface {
		apply(*config) error
		forQueue()
	}
	// EventOption fits NewEvent.
	//
	// The options are [AckWait], [Annotate], [Backoff], [Broadcast], [Codec], [Concurrency],
	// [DedupWindow], [Doc], [Durable], [Formerly], [MaxAttempts], [StuckAfter], [Timeout],
	// [Upcasts] and [Version].
	EventOption interface {
		apply(*config) error
		forEvent()
	}
	// StreamOption fits NewStream.
	//
	// The options are [AckWait], [Annotate], [Backoff], [Codec], [Concurrency], [DedupWindow],
	// [Doc], [Formerly], [MaxAge], [MaxAttempts], [MaxBytes], [MaxMessages], [MaxPerKey],
	// [Partitions], [StuckAfter], [Timeout], [Unordered], [Upcasts] and [Version].
	StreamOption interface {
		apply(*config) error
		forStream()
	}
	// ChannelOption fits NewChannel.
	//
	// The options are [Annotate], [Capacity] and [FanOut].
	ChannelOption interface {
		apply(*config) error
		forChannel()
	}
	// ServiceHandlerOption fits Service.Handle.
	//
	// The options are [Concurrency] and [MaxBuffered].
	ServiceHandlerOption interface {
		apply(*config) error
		forServiceHandler()
	}
	// QueueHandlerOption fits Queue.Handle.
	//
	// The options are [Concurrency], [Group], [Keys], [StuckAfter] and [Timeout].
	QueueHandlerOption interface {
		apply(*config) error
		forQueueHandler()
	}
	// EventHandlerOption fits Event.Handle.
	//
	// The options are [Broadcast], [Concurrency], [Group], [Keys], [MaxBuffered],
	// [StuckAfter] and [Timeout].
	EventHandlerOption interface {
		apply(*config) error
		forEventHandler()
	}
	// StreamHandlerOption fits Stream.Handle.
	//
	// The options are [Concurrency], [From], [Group], [Keys], [StuckAfter], [Timeout] and
	// [Unordered].
	StreamHandlerOption interface {
		apply(*config) error
		forStreamHandler()
	}
	// BatchHandlerOption fits Stream.HandleBatch.
	//
	// The options are [BatchSize], [BatchWait], [Concurrency], [From], [Group], [Keys],
	// [StuckAfter] and [Timeout].
	BatchHandlerOption interface {
		apply(*config) error
		forBatchHandler()
	}

	// MessageOption fits the declaration of every handle that carries messages:
	// NewService, NewQueue, NewEvent and NewStream.
	//
	// The options are [Annotate], [Codec], [Concurrency], [Doc], [Formerly], [Timeout] and
	// [Version].
	MessageOption interface {
		ServiceOption
		QueueOption
		EventOption
		StreamOption
	}
	// StoredOption fits the declaration of every handle that can store its messages:
	// NewQueue, NewEvent and NewStream.
	//
	// The options are [AckWait], [Annotate], [Backoff], [Codec], [Concurrency], [DedupWindow],
	// [Doc], [Formerly], [MaxAttempts], [StuckAfter], [Timeout], [Upcasts] and [Version].
	StoredOption interface {
		QueueOption
		EventOption
		StreamOption
	}
	// HandlerOption fits the Handle of services, queues, events and streams, and
	// HandleBatch.
	//
	// The option is [Concurrency].
	HandlerOption interface {
		ServiceHandlerOption
		QueueHandlerOption
		EventHandlerOption
		StreamHandlerOption
		BatchHandlerOption
	}
	// StoredHandlerOption fits the Handle of queues, events and streams, and HandleBatch.
	//
	// The options are [Concurrency], [Group], [Keys], [StuckAfter] and [Timeout].
	StoredHandlerOption interface {
		QueueHandlerOption
		EventHandlerOption
		StreamHandlerOption
		BatchHandlerOption
	}
)

// option implements every option. The interface that its constructor returns determines
// where it fits.
type option func(*config) error

func (o option) apply(c *config) error { return o(c) }
func (option) forService()             {}
func (option) forQueue()               {}
func (option) forEvent()               {}
func (option) forStream()              {}
func (option) forChannel()             {}
func (option) forServiceHandler()      {}
func (option) forQueueHandler()        {}
func (option) forEventHandler()        {}
func (option) forStreamHandler()       {}
func (option) forBatchHandler()        {}
func (option) forFailure()             {}

// set returns an option that applies assign if ok, and otherwise fails with the
// formatted error.
func set(ok bool, assign func(*config), format string, args ...any) option {
	return func(c *config) error {
		if !ok {
			return fmt.Errorf(format, args...)
		}
		assign(c)
		return nil
	}
}

// applyTo applies an option. A list that a program builds may contain nil.
func applyTo(c *config, o interface{ apply(*config) error }) error {
	if isNil(o) {
		return errors.New("an option is nil: leave it out")
	}
	return o.apply(c)
}

// Version sets the version of a handle's contract, by Semantic Versioning 2.0.0. It is
// a label that Describe and service discovery show.
func Version(version string) MessageOption {
	return set(transport.ValidateVersion(version) == nil, func(c *config) { c.Version = version },
		"Version(%q): want a semantic version such as 1.2.0", version)
}

// Doc describes a handle for people, in a sentence, at most 4 KiB of UTF-8. Describe
// reports it. It is the description of a stored handle's log, which `nats stream ls`
// shows, and of a service's endpoint, as its metadata "doc". It changes there with the
// other options, as Generation specifies.
func Doc(text string) MessageOption {
	ok := text != "" && len(text) <= transport.MaxDescription && utf8.ValidString(text)
	return set(ok, func(c *config) { c.Doc = text }, "Doc: want 1 to %d bytes of UTF-8, got %d bytes", transport.MaxDescription, len(text))
}

// Formerly keeps the address of a handle that has a new name: its subjects, and with them its
// log, its groups, its dead letters and its delayed jobs, have the earlier one. Releases with
// either name send to each other and receive from each other, and find what both have stored.
// Errors, logs, observers and Describe have the new name.
//
// The option stays as long as the handle does. A handle that gets a third name keeps the option
// as it is: the address is the first name. No other handle of its kind in the App may have that
// name. docs/evolution.md describes the move of a handle to another address.
func Formerly(name string) MessageOption {
	return option(func(c *config) error {
		if err := checkName(name); err != nil {
			return fmt.Errorf("Formerly(%q): %w", name, err)
		}
		if c.Formerly != "" {
			return fmt.Errorf("Formerly(%q) and Formerly(%q): a handle has one address, so give only its first name", c.Formerly, name)
		}
		c.Formerly = name
		return nil
	})
}

// Codec sets how a handle's payloads are encoded, instead of the App's default. Two declarations of a
// handle must have the same codec. A codec with a method String is compared by its text.
//
// A codec with options, such as codec.NewJSON(codec.Aliases[Address]("postcode", "zip")), renames
// fields: docs/evolution.md has the steps.
func Codec(k codec.Codec) MessageOption {
	return set(k != nil, func(c *config) { c.Codec = k }, "Codec: want a codec, got nil")
}

// Upcasts reads messages with an older shape of the payload: each step, made with
// codec.Upcast or codec.Transition, converts one version to the next, and the last one makes the
// handle's type. A message without a version has version 1. Senders write the newest version in
// the content type, as in "application/json; version=2".
//
// A message of a version that the program does not know is not handled, like one of an
// unsupported content type: a stored one becomes a dead letter, as [ReasonUndecodable]. While the
// old release may run, use codec.Transition as the last step: it writes the version before the
// newest. docs/evolution.md has the steps.
//
// A service has no Upcasts, because its caller could not read the newest shape of the reply.
// Declare another service for another shape.
func Upcasts(steps ...codec.Step) StoredOption {
	return option(func(c *config) (err error) {
		c.Upcasts, err = codec.NewUpcasts(steps...)
		return err
	})
}

// Timeout bounds a call, or one attempt at a stored message. It is at least 1 ms.
//
// For a service it bounds a call: the caller waits no longer, and the handler's context
// ends then. The deadline of the caller's context applies if it is earlier. A call
// without Timeout and without such a deadline is bounded by [DefaultTimeout].
//
// For a queue, a stream or a Durable event it bounds one attempt of a handler and its
// middleware, or the attempt at a whole batch. There is no limit by default. At the
// limit the context of the attempt ends, and the attempt has failed with
// DeadlineExceeded, whatever the handler returns later: it counts, and MaxAttempts and
// Backoff decide what follows. Only Permanent, RetryAfter and, while the App stops,
// HandBack still apply. A handler that ignores its context keeps its message until it
// returns: no other attempt begins before that. An attempt that a stop cuts off before
// the limit does not count.
func Timeout(d time.Duration) interface {
	MessageOption
	StoredHandlerOption
} {
	return set(d >= time.Millisecond, func(c *config) { c.Timeout = d },
		"Timeout(%v): want at least 1ms", d)
}

// LoadBalanced sends calls over the transport even if their provider is in the same
// App, so that they are balanced over all instances that provide the service.
func LoadBalanced() ServiceOption {
	return option(func(c *config) error { c.LoadBalanced = true; return nil })
}

// ByReference passes the values of local calls without a copy: the handler and its
// caller share the targets of pointers, slices and maps, and no value is checked or
// copied. Neither side may change a value that it has sent or received. A test of
// package testkit with LocalCalls fails on such a change. Calls over the transport are
// not affected.
func ByReference() ServiceOption {
	return option(func(c *config) error { c.ByReference = true; return nil })
}

// Concurrency sets the number of handlers of one receiver that run at once in this
// process. The default is [DefaultConcurrency] for services and 1 for all others: one
// message after another, in order.
func Concurrency(n int) interface {
	MessageOption
	HandlerOption
} {
	return set(n >= 1, func(c *config) { c.Concurrency = n }, "Concurrency(%d): want at least 1", n)
}

// MaxBuffered sets the number of messages that may wait in this process for a handler
// of a service or of an event that is not Durable, 65536 by default. Beyond it the newest are dropped: a
// service's caller runs into its deadline, and an event is lost. Both are logged and
// reported to observers, once per episode.
func MaxBuffered(n int) interface {
	ServiceHandlerOption
	EventHandlerOption
} {
	return set(n >= 1, func(c *config) { c.MaxBuffered = n }, "MaxBuffered(%d): want at least 1", n)
}

// Group sets the group of a receiver, instead of its module's name. Each message goes
// to one member of every group.
//
// The name of a group has 1 to 200 lower-case letters, digits and single hyphens,
// without dots. Groups of different handles may have the same name. A receiver of a
// queue names one of its [Groups]. It needs no Group if the queue declares none: then
// [DefaultGroup] is the only one. A durable group keeps its position under its name. A
// renamed group therefore begins as a new one, and the old one stays until
// [DeleteGroup]. A receiver whose module is renamed keeps its position with the former
// name as its Group; see [Module] for all receivers of a module.
func Group(name string) StoredHandlerOption {
	return set(isGroup(name), func(c *config) { c.Group = name },
		"Group(%q): want 1 to %d lower-case letters, digits and single hyphens", name, maxName)
}

// Broadcast delivers an event to every instance of a module, instead of one.
func Broadcast() interface {
	EventOption
	EventHandlerOption
} {
	return option(func(c *config) error { c.Broadcast = true; return nil })
}

// Durable stores an event and delivers it at least once to each subscriber, from the
// subscriber's first start.
func Durable() EventOption {
	return option(func(c *config) error { c.Durable = true; return nil })
}

// Keys limits a receiver of a keyed event, queue or stream, or a reader, to some keys. With
// several keys the order of a publisher holds for each key, but not across keys. If the
// Keys of a durable group of an event or a stream change, the group gets the messages with
// its new Keys that are stored from then on. It may get some of the earlier messages that its
// old Keys excluded. For queues, see [Queue.KeyedBy].
func Keys(keys ...string) interface {
	StoredHandlerOption
	ReadOption
} {
	return set(len(keys) > 0, func(c *config) { c.Keys = append(c.Keys, keys...) }, "Keys: want at least one key")
}

// Capacity sets the size of a channel's buffer. By default a channel is unbuffered.
func Capacity(n int) ChannelOption {
	return set(n >= 0, func(c *config) { c.Capacity = n }, "Capacity(%d): want 0 or more", n)
}

// FanOut delivers each value of a channel to every receiver. By default receivers
// compete for values. The slowest receiver sets the pace.
func FanOut() ChannelOption {
	return option(func(c *config) error { c.FanOut = true; return nil })
}

// MaxAttempts sets the number of attempts at a job or a message before it becomes a
// dead letter, 5 by default.
func MaxAttempts(n int) StoredOption {
	return set(n >= 1, func(c *config) { c.MaxAttempts = n }, "MaxAttempts(%d): want at least 1", n)
}

// Groups names the groups of a queue. Each group gets every job. Without Groups a queue
// has one group, [DefaultGroup], which all its workers share. [Group] describes the
// names.
func Groups(names ...string) QueueOption {
	ok := len(names) > 0
	for _, name := range names {
		ok = ok && isGroup(name)
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(names)))
	return set(ok && len(sorted) == len(names), func(c *config) { c.Groups = sorted },
		"Groups(%q): want different names of 1 to %d lower-case letters, digits and single hyphens", names, maxName)
}

// DefaultGroup is the only group of a queue that declares no Groups.
const DefaultGroup = "workers"

// groups returns the groups of a queue.
func (c *config) groups() []string {
	if len(c.Groups) == 0 {
		return []string{DefaultGroup}
	}
	return c.Groups
}

// MaxPending bounds the number of jobs that may wait in a queue. If the queue is full,
// a send fails with ResourceExhausted.
func MaxPending(n uint64) QueueOption {
	return set(n >= 1, func(c *config) { c.MaxPending = n }, "MaxPending(%d): want at least 1", n)
}

// MaxDelayed bounds the number of jobs that may wait for their Delay or At.
func MaxDelayed(n uint64) QueueOption {
	return set(n >= 1, func(c *config) { c.MaxDelayed = n }, "MaxDelayed(%d): want at least 1", n)
}

// DedupWindow sets how long ids are remembered, 2 minutes by default. Within it a
// message with the same id is stored once. When a separate NATS server outside a
// cluster restarts, it forgets the ids of jobs that are done and of messages that a
// limit has removed. An embedded server remembers the ids that its own process has
// sent.
func DedupWindow(d time.Duration) StoredOption {
	return set(d >= 100*time.Millisecond, func(c *config) { c.DedupWindow = d }, "DedupWindow(%v): want at least 100ms", d)
}

// AckWait sets how long the messages of a dead or disconnected process wait before
// others get them, 30 seconds by default, at least 1 second. A handler may take any
// time, or as long as its Timeout allows: its process extends the wait while it lives.
func AckWait(d time.Duration) StoredOption {
	return set(d >= transport.MinAckWait, func(c *config) { c.AckWait = d }, "AckWait(%v): want at least %v", d, transport.MinAckWait)
}

// NonPersistent makes a queue that stores nothing. A job is accepted once a member of
// each group has it; otherwise the send fails with Unavailable. If a worker dies, the
// jobs that it has accepted are lost.
//
// The App does not start as long as the queue has a log: a release that stores the queue
// has to finish its jobs first, and the log has to be deleted.
func NonPersistent() QueueOption {
	return option(func(c *config) error { c.NonPersistent = true; return nil })
}

// AssumeAccepted lets a NonPersistent queue skip the wait for acceptance for this long
// after a job was accepted. A job that no worker accepts in that time is lost without
// an error.
func AssumeAccepted(window time.Duration) QueueOption {
	return set(window >= 100*time.Millisecond, func(c *config) { c.AssumeAccepted = window },
		"AssumeAccepted(%v): want at least 100ms", window)
}

// MaxAge removes messages of a stream this long after they were appended.
func MaxAge(d time.Duration) StreamOption {
	return set(d >= 100*time.Millisecond, func(c *config) { c.MaxAge = d }, "MaxAge(%v): want at least 100ms", d)
}

// MaxMessages keeps at most the last n messages of a stream.
func MaxMessages(n uint64) StreamOption {
	return set(n >= 1, func(c *config) { c.MaxMessages = n }, "MaxMessages(%d): want at least 1", n)
}

// MaxBytes keeps at most the last n bytes of a stream.
func MaxBytes(n uint64) StreamOption {
	return set(n >= 1, func(c *config) { c.MaxBytes = n }, "MaxBytes(%d): want at least 1", n)
}

// MaxPerKey keeps at most the last n messages of each key of a keyed stream.
func MaxPerKey(n uint64) StreamOption {
	return set(n >= 1, func(c *config) { c.MaxPerKey = n }, "MaxPerKey(%d): want at least 1", n)
}

// Partitions sets the number of partitions in which the members of a group share the keys of a
// keyed stream. The default is 16, and the number is fixed when the stream is created. It bounds
// the members that have work, not the messages that are handled at once: those of different keys
// do not wait for each other. See docs/ordering.md.
func Partitions(n int) StreamOption {
	return set(n >= 1 && n <= 256, func(c *config) { c.Partitions = n }, "Partitions(%d): want 1 to 256", n)
}

// DefaultPartitions is the number of partitions of a keyed stream, unless mono.Partitions sets
// another.
const DefaultPartitions = 16

// partitions returns the number of partitions of a handle's log, or 0 if it keeps no order of keys.
func (d *declaration) partitions() int {
	if d.kind != KindStream || d.key == nil || d.config.Unordered {
		return 0
	}
	return cmp.Or(d.config.Partitions, DefaultPartitions)
}

// Unordered gives up the order within a key: any free worker gets the next message.
func Unordered() interface {
	StreamOption
	StreamHandlerOption
} {
	return option(func(c *config) error { c.Unordered = true; return nil })
}

// config holds the values of options. A receiver's config is its handle's, with the
// receiver's options applied on top.
type config struct {
	Version  string
	Doc      string
	Formerly string
	Codec    codec.Codec
	Upcasts  *codec.Upcasts

	Timeout      time.Duration
	Concurrency  int
	MaxBuffered  int
	LoadBalanced bool
	ByReference  bool

	Group     string
	Broadcast bool
	Durable   bool
	Keys      []string

	Capacity int
	FanOut   bool

	MaxAttempts    int
	Backoff        BackoffPolicy
	Groups         []string
	MaxPending     uint64
	MaxDelayed     uint64
	DedupWindow    time.Duration
	NonPersistent  bool
	AssumeAccepted time.Duration
	AckWait        time.Duration
	StuckAfter     time.Duration

	MaxAge      time.Duration
	MaxMessages uint64
	MaxBytes    uint64
	MaxPerKey   uint64
	Partitions  int
	Unordered   bool
	From        Position
	Follow      bool
	Last        uint64
	Before      uint64
	BatchSize   int
	BatchWait   time.Duration

	Code       Code
	HTTPStatus int
	Keyed      bool

	Annotations map[string]any
}

// check reports options that contradict each other.
func (c *config) check(kind Kind) error {
	var errs []error
	reject := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	reject(c.Durable && c.Broadcast, "Durable and Broadcast exclude each other: a durable group shares its messages among instances")
	reject(c.Broadcast && c.Group != "", "Broadcast and Group exclude each other: every instance receives a broadcast")
	reject(c.AssumeAccepted > 0 && !c.NonPersistent,
		"AssumeAccepted needs NonPersistent: a queue that stores its jobs always waits for the acknowledgement of its store")
	reject(c.Unordered && c.Partitions > 0, "Unordered and Partitions exclude each other: partitions keep order")
	if stored := strings.Join(c.storedOptions(), ", "); stored != "" {
		reject(kind == KindEvent && !c.Durable, "want Durable with "+stored+": an event that is not stored is delivered once")
		reject(c.NonPersistent, "NonPersistent excludes "+stored+": its jobs are not stored, so they cannot be tried again")
	}
	if c.MaxAge > 0 && c.DedupWindow > c.MaxAge {
		errs = append(errs, fmt.Errorf("DedupWindow(%v) is longer than MaxAge(%v): ids cannot be remembered for longer than messages", c.DedupWindow, c.MaxAge))
	}
	if list, ok := c.Backoff.(backoffList); ok && len(list) > c.maxAttempts()-1 {
		errs = append(errs, fmt.Errorf("Backoff lists %d waits, and %d attempts have %d between them: list fewer, or raise MaxAttempts", len(list), c.maxAttempts(), c.maxAttempts()-1))
	}
	return errors.Join(errs...)
}

// storedOptions returns the names of the options that are set and need stored messages.
// (Timeout has another meaning for a service.)
func (c *config) storedOptions() []string {
	var names []string
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"MaxAttempts", c.MaxAttempts > 0},
		{"Backoff", c.Backoff != nil},
		{"Timeout", c.Timeout > 0},
		{"MaxPending", c.MaxPending > 0},
		{"MaxDelayed", c.MaxDelayed > 0},
		{"DedupWindow", c.DedupWindow > 0},
		{"AckWait", c.AckWait > 0},
		{"StuckAfter", c.StuckAfter > 0},
	} {
		if o.set {
			names = append(names, o.name)
		}
	}
	return names
}

// differs describes the first option with different values in two configs, for each of
// them. Both texts are "" if there is none.
func (c *config) differs(other *config) (here, there string) {
	a, b := reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem()
	for i := range a.NumField() {
		if !equal(a.Field(i).Interface(), b.Field(i).Interface()) {
			name := a.Type().Field(i).Name
			return written(name, a.Field(i)), written(name, b.Field(i))
		}
	}
	return "", ""
}

// written describes an option as a declaration has it, such as "with MaxAttempts(2)" or
// "without MaxAttempts".
func written(name string, v reflect.Value) string {
	switch {
	case v.IsZero():
		return "without " + name
	case v.Kind() == reflect.Bool:
		return "with " + name + "()"
	}
	return fmt.Sprintf("with %s(%v)", name, show(v))
}

// equal reports whether two values of an option are the same. Functions cannot be compared.
func equal(a, b any) bool {
	if u, ok := a.(*codec.Upcasts); ok {
		return u.String() == b.(*codec.Upcasts).String()
	}
	if k, ok := a.(codec.Codec); ok && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) {
		if _, ok := k.(fmt.Stringer); ok {
			return nameOfCodec(k) == nameOfCodec(b.(codec.Codec))
		}
	}
	return reflect.DeepEqual(a, b)
}

// settings returns the options that are not at their zero value, for Describe and
// observers. Annotations are no options of mono.
func (c *config) settings() map[string]string {
	settings := make(map[string]string)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Annotations" && !v.Field(i).IsZero() {
			settings[name] = fmt.Sprint(show(v.Field(i)))
		}
	}
	return settings
}

// show returns an option's value for texts.
func show(v reflect.Value) any {
	if c, ok := v.Interface().(codec.Codec); ok && c != nil {
		return nameOfCodec(c)
	}
	return v.Interface()
}

// nameOfCodec returns a codec's String, which has its options, or else its content type.
func nameOfCodec(k codec.Codec) string {
	if named, ok := k.(fmt.Stringer); ok {
		return named.String()
	}
	return k.ContentType()
}
