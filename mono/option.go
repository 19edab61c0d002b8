package mono

import (
	"errors"
	"fmt"
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
	// The options are [ByReference], [Codec], [Concurrency], [Doc], [LoadBalanced], [Timeout]
	// and [Version].
	ServiceOption interface {
		apply(*config) error
		forService()
	}
	// QueueOption fits NewQueue.
	//
	// The options are [AckWait], [AssumeAccepted], [Backoff], [Codec], [Concurrency],
	// [DedupWindow], [Doc], [Groups], [MaxAttempts], [MaxDelayed], [MaxPending],
	// [NonPersistent], [StuckAfter], [Timeout] and [Version].
	QueueOption interface {
		apply(*config) error
		forQueue()
	}
	// EventOption fits NewEvent.
	//
	// The options are [AckWait], [Backoff], [Broadcast], [Codec], [Concurrency],
	// [DedupWindow], [Doc], [Durable], [MaxAttempts], [StuckAfter], [Timeout] and [Version].
	EventOption interface {
		apply(*config) error
		forEvent()
	}
	// StreamOption fits NewStream.
	//
	// The options are [AckWait], [Backoff], [Codec], [Concurrency], [DedupWindow], [Doc],
	// [Lanes], [MaxAge], [MaxAttempts], [MaxBytes], [MaxMessages], [MaxPerKey], [StuckAfter],
	// [Timeout], [Unordered] and [Version].
	StreamOption interface {
		apply(*config) error
		forStream()
	}
	// ChannelOption fits NewChannel.
	//
	// The options are [Capacity] and [FanOut].
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
	// The options are [Concurrency], [Group], [StuckAfter] and [Timeout].
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
	// The options are [Codec], [Concurrency], [Doc], [Timeout] and [Version].
	MessageOption interface {
		ServiceOption
		QueueOption
		EventOption
		StreamOption
	}
	// StoredOption fits the declaration of every handle that can store its messages:
	// NewQueue, NewEvent and NewStream.
	//
	// The options are [AckWait], [Backoff], [Codec], [Concurrency], [DedupWindow], [Doc],
	// [MaxAttempts], [StuckAfter], [Timeout] and [Version].
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
	// The options are [Concurrency], [Group], [StuckAfter] and [Timeout].
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

// Codec sets how a handle's payloads are encoded, instead of the App's default.
func Codec(k codec.Codec) MessageOption {
	return set(k != nil, func(c *config) { c.Codec = k }, "Codec: want a codec, got nil")
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
// [DeleteGroup].
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

// Keys limits a receiver of a keyed event or stream, or a reader, to some keys. With
// several keys the order of a publisher holds for each key, but not across keys. If the
// Keys of a durable group change, the group gets the messages with its new Keys that
// are stored from then on. It may get some of the earlier messages that its old Keys
// excluded.
func Keys(keys ...string) interface {
	EventHandlerOption
	StreamHandlerOption
	BatchHandlerOption
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
