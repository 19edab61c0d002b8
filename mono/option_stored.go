package mono

import (
	"slices"
	"time"

	"gomono.dev/transport"
)

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

// Lanes sets the number of lanes in which the groups of a keyed stream work: messages
// of one key keep their order, and those of different lanes run at once. The default is
// 16. The number is fixed when a group is created.
func Lanes(n int) StreamOption {
	return set(n >= 1 && n <= 256, func(c *config) { c.Lanes = n }, "Lanes(%d): want 1 to 256", n)
}

// Unordered gives up the order within a key: any free worker gets the next message.
func Unordered() interface {
	StreamOption
	StreamHandlerOption
} {
	return option(func(c *config) error { c.Unordered = true; return nil })
}
