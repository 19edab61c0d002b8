package mono

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// Options say at a declaration, or where a handle is handled, what differs from
// the default. Each option returns an interface that is accepted only where the
// option means something: what does not fit does not compile. A value out of its
// range panics at the declaration; where a handle is handled, Start reports it.
type (
	// ServiceOption fits NewService.
	ServiceOption interface {
		apply(*config) error
		forService()
	}
	// QueueOption fits NewQueue.
	QueueOption interface {
		apply(*config) error
		forQueue()
	}
	// EventOption fits NewEvent.
	EventOption interface {
		apply(*config) error
		forEvent()
	}
	// StreamOption fits NewStream.
	StreamOption interface {
		apply(*config) error
		forStream()
	}
	// ChannelOption fits NewChannel.
	ChannelOption interface {
		apply(*config) error
		forChannel()
	}
	// ServiceHandlerOption fits Service.Handle.
	ServiceHandlerOption interface {
		apply(*config) error
		forServiceHandler()
	}
	// QueueHandlerOption fits Queue.Handle.
	QueueHandlerOption interface {
		apply(*config) error
		forQueueHandler()
	}
	// EventHandlerOption fits Event.Handle.
	EventHandlerOption interface {
		apply(*config) error
		forEventHandler()
	}
	// StreamHandlerOption fits Stream.Handle.
	StreamHandlerOption interface {
		apply(*config) error
		forStreamHandler()
	}

	// MessageOption fits the declaration of everything that carries messages.
	MessageOption interface {
		ServiceOption
		QueueOption
		EventOption
		StreamOption
	}
)

// option is the one implementation of every option: the interface through which
// it is returned says where it fits.
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

// set makes an option of an assignment and what must hold for its value.
func set(ok bool, assign func(*config), format string, args ...any) option {
	return func(c *config) error {
		if !ok {
			return fmt.Errorf(format, args...)
		}
		assign(c)
		return nil
	}
}

// applyTo applies an option, which may be nil in a list that a program builds.
func applyTo(c *config, o interface{ apply(*config) error }) error {
	if isNil(o) {
		return errors.New("an option is nil: leave it out")
	}
	return o.apply(c)
}

// Version says which version of its contract a handle has, by Semantic
// Versioning 2.0.0. It is a label that Describe and service discovery show.
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

// Timeout bounds a call: the caller waits no longer, and the handler's context
// ends then. The deadline of the caller's context counts where it is earlier.
// Without Timeout and without such a deadline a call is bounded by
// [DefaultTimeout].
func Timeout(d time.Duration) ServiceOption {
	return set(d >= time.Millisecond, func(c *config) { c.Timeout = d },
		"Timeout(%v): want at least 1ms", d)
}

// Anywhere lets calls go over the transport although their provider is in the same
// App, so that they are spread over all instances that provide the service.
func LoadBalanced() ServiceOption {
	return option(func(c *config) error { c.LoadBalanced = true; return nil })
}

// Shared passes the values of calls that stay in the process as they are: the
// handler and its caller share what their pointers, slices and maps lead to, and
// nothing is checked or copied. Neither side may change a value after it has sent
// it, nor one that it got; a test of package testkit with LocalCalls fails where one
// does. Over the wire nothing changes.
func ByReference() ServiceOption {
	return option(func(c *config) error { c.ByReference = true; return nil })
}

// Concurrency says how many handlers of one receiver run at once in this
// process. Services have [DefaultConcurrency], all others 1: one message after
// another, in order.
func Concurrency(n int) interface {
	ServiceOption
	QueueOption
	EventOption
	StreamOption
	ServiceHandlerOption
	QueueHandlerOption
	EventHandlerOption
	StreamHandlerOption
} {
	return set(n >= 1, func(c *config) { c.Concurrency = n }, "Concurrency(%d): want at least 1", n)
}

// Pending says how many messages may wait in this process for a handler of a
// service or an event, 65536 by default. Beyond it the newest are dropped: a
// service's caller runs into its deadline, an event is not heard; both are
// logged once per episode and told to observers.
func MaxBuffered(n int) interface {
	ServiceHandlerOption
	EventHandlerOption
} {
	return set(n >= 1, func(c *config) { c.MaxBuffered = n }, "Pending(%d): want at least 1", n)
}

// Group names the group that a receiver belongs to, instead of its module's
// name. Each message goes to one member of every group.
//
// The name of a group has 1 to 200 lower-case letters, digits and single hyphens,
// without dots. Groups of different handles may have the same name. A receiver of a
// queue names one of its [Groups], and needs no Group if the queue declares none: then
// [DefaultGroup] is the only one. A durable group keeps its position under its name. A
// renamed group therefore begins as a new one, and the old one stays until [DeleteGroup].
func Group(name string) interface {
	QueueHandlerOption
	EventHandlerOption
	StreamHandlerOption
} {
	return set(isGroup(name), func(c *config) { c.Group = name },
		"Group(%q): want 1 to %d lower-case letters, digits and single hyphens", name, maxName)
}

// Broadcast lets every instance of a module hear an event, instead of one.
func Broadcast() interface {
	EventOption
	EventHandlerOption
} {
	return option(func(c *config) error { c.Broadcast = true; return nil })
}

// Durable makes an event at least once, from a subscriber's first start.
func Durable() EventOption {
	return option(func(c *config) error { c.Durable = true; return nil })
}

// Keys narrows a receiver of a keyed event or stream, or a reader, to some keys. With
// several the order of a publisher holds for each key, and not among them. A durable
// group whose Keys are changed gets what is stored from then on; of what its earlier
// Keys left out, it may get some.
func Keys(keys ...string) interface {
	EventHandlerOption
	StreamHandlerOption
	ReadOption
} {
	return set(len(keys) > 0, func(c *config) { c.Keys = append(c.Keys, keys...) }, "Keys: want at least one key")
}

// Capacity makes a channel buffered.
func Capacity(n int) ChannelOption {
	return set(n >= 0, func(c *config) { c.Capacity = n }, "Capacity(%d): want 0 or more", n)
}

// FanOut gives every receiver of a channel each value, instead of letting
// receivers compete. The slowest receiver sets the pace.
func FanOut() ChannelOption {
	return option(func(c *config) error { c.FanOut = true; return nil })
}
