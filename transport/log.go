package transport

import (
	"context"
	"iter"
	"time"
)

// Log is durable and ordered: what Append has acknowledged is kept until its
// retention lets it go, and every group of consumers gets all of it.
//
// # Guarantees
//
//  1. Positions. A stored message gets a sequence, one higher than any before
//     it in this log. Sequences begin at 1, are never used twice, and never go
//     back, whatever is removed. A refused Append uses none.
//  2. Durability. When Append returns nil, the message is stored as the log's
//     Storage promises, for every group that exists then. Nothing stored is
//     dropped to make room unless the log was told to (Full).
//  3. Once by id. A second Append with an id that was appended within the
//     DedupWindow stores nothing and returns the first one's sequence, whatever
//     has become of that message since. A backend that ended meanwhile may have
//     forgotten the ids of messages that are gone; see "What survives".
//  4. At least once. Each group gets each message that matches its filter until
//     one delivery is acknowledged or terminated. An attempt is a delivery; one
//     whose member died counts, and one that was handed back (Release, Drain,
//     Close) does not. A backend may count two kinds of deliveries that no handler
//     has seen: those that a member had fetched ahead when it died (in an ordered
//     group at most one of each lane), and redeliveries that a member had not
//     examined when it began to stop.
//  5. Order. Within a group, first deliveries happen in the order of sequences,
//     redeliveries that are due before them. In an ordered group a message of a
//     lane is delivered when the one before it in that lane is settled, and not
//     earlier.
//  6. Time is the backend's. A message is never delivered before its NotBefore,
//     nor redelivered before its delay is over.
//
// # What survives
//
// Stored messages, groups and their configuration survive whatever the log's
// Storage survives. A backend may keep the rest in memory, and lose some of it
// when its process ends: positions (a settled message is delivered again), numbers
// of attempts, delays of redeliveries, and the ids of messages that are gone. The
// document docs/durability.md lists for each backend what survives which failure.
// Two things never go back: sequences and fences.
//
// # How mono uses it
//
// A queue is a log with InterestRetention over two subjects: queues.<name> for
// every group, and queues.<name>._to.<group> for one of them (a replay), which the
// others acknowledge without a look. So a group needs no filter, and every group is
// done with a replay before it goes. A stream is a log with LimitsRetention over streams.<name>, or, with keys, over
// streams.<name>._k.*. A durable event is a log with InterestRetention over the
// event's subjects. Dead letters of a handle's group are a log of their own with
// LimitsRetention; a letter's subject ends in the sequence of its message, and it
// is stored on the Expectation that its subject has none, so that storing it twice
// stores it once. Attempts and the waits between them are decided above: a Log
// never gives up on a message.
type Log interface {
	// Append stores m, whose subject must be one of the log's, and returns where.
	//
	// Errors: InvalidArgument for a message that cannot be carried or a subject
	// that is not the log's, and for one over the log's MaxSize or with a header over
	// MaxStoredHeader; NotFound when the log was deleted after it was opened, by an
	// administrator for instance: nothing was stored, and nothing will be until
	// [Transport.Log] creates it again; ResourceExhausted when the log is full and refuses; Aborted
	// when o.Expect does not hold; Unimplemented for a NotBefore without
	// Capabilities.Delays; Unavailable when the backend cannot be reached, with
	// OutcomeNotDone when the message has not left and OutcomeUnknown when its
	// acknowledgement did not come. After the latter a second Append with the same
	// id stores it once. In a cluster a second Append while the first is under
	// way may be Unavailable with OutcomeNotDone, instead of a duplicate; so is an
	// Append while a group is missing (see LogConfig.Groups).
	Append(ctx context.Context, m *Message, o AppendOptions) (Appended, error)

	// AppendAsync is Append without the wait: done is called once, with what
	// Append would have returned, on a goroutine of the log's; it must return
	// soon. Messages are stored in the order of the calls. AppendAsync blocks
	// while too many wait for their acknowledgement (a number of the backend's,
	// at least 256), as long as ctx allows. An error it returns itself means that
	// done will not be called.
	AppendAsync(ctx context.Context, m *Message, o AppendOptions, done func(Appended, error)) error

	// Consume makes the caller a member of a group and calls h for its
	// deliveries until the Receiver is drained or closed. The group is created
	// if it is not there; see [GroupConfig] for when an existing one is changed.
	// Members of one group, in this process and others, share its messages.
	//
	// h is called for one delivery after another, never concurrently; it passes
	// work on to goroutines and settles from there. It is called when fewer than
	// c.MaxInFlight deliveries that it has seen are unsettled. The backend may
	// fetch more ahead. What a member holds, with h or ahead of it, is kept from
	// being redelivered for as long as the member lives; when it dies, others get
	// it after the group's AckWait.
	//
	// Draining stops new deliveries, hands back at once those that h has not
	// seen, waits for the settlement of those it has, and until the backend has
	// the settlements. Closing hands back what is unsettled. What is handed back is
	// delivered again at once, and the delivery was no attempt. In a cluster, what a
	// server had sent to a member before it heard that the member left comes to others
	// after the AckWait, and is an attempt.
	//
	// A group that is deleted while it is consumed ends the Receiver; c.OnEnd
	// tells why. Losing the connection does not: deliveries go on when it is back.
	//
	// Errors: InvalidArgument for a configuration that cannot be; NotFound when
	// the log is gone; FailedPrecondition when the group is there with a setting
	// that cannot be changed, naming it and both values; ResourceExhausted when
	// the backend allows no more groups.
	Consume(ctx context.Context, c ConsumeConfig, h func(*Delivery)) (Receiver, error)

	// Read returns what is stored, in order, without belonging to a group and
	// without changing anything. It ends at the last message that was stored when
	// it began, or, with r.Follow, when ctx ends. A gap (messages that retention
	// removed meanwhile) is skipped. A server of a cluster may be a moment behind in
	// what was removed, never in what was stored. Its last element may carry an error, with a
	// nil Delivery; a Delivery from Read has no Settler, no Fence and Attempt 0. A
	// Follow that ctx ended ends without an error.
	Read(ctx context.Context, r ReadConfig) iter.Seq2[*Delivery, error]

	// Remove deletes one message for good. NotFound when it is not there. As where age
	// or a bound deletes it, it is settled for every group, also where a member has it
	// in hand: what that says of it is in vain, and its lane goes on. In a cluster a
	// group may hear of it a moment late, and until then deliver what is gone.
	Remove(ctx context.Context, sequence uint64) error

	// Purge deletes all messages that p matches and returns how many. What a member
	// has in hand of a Subject may hold up its lane until the member settles it. In a
	// cluster a group may hear of it a moment late, as with Remove, and until then
	// deliver what is gone.
	Purge(ctx context.Context, p PurgeConfig) (uint64, error)

	// Info returns the state of the log.
	Info(ctx context.Context) (LogInfo, error)

	// Groups returns the state of its groups, by name.
	Groups(ctx context.Context) ([]GroupInfo, error)

	// DeleteGroup removes a durable group and its position for good. NotFound
	// when it is not there. A group that has to exist (LogConfig.Groups) is recreated.
	DeleteGroup(ctx context.Context, name string) error
}

// LogConfig describes a log. The zero value of a field is its default; a log is
// unbounded unless told otherwise.
type LogConfig struct {
	// Name identifies the log: letters, digits, "-" and "_". It has 1 to MaxLogName
	// bytes, and does not end in "__later": such logs belong to the backend.
	Name string

	// Subjects are the subjects and patterns whose messages are stored. No
	// subject may belong to two logs. On NATS a plain Publish to one of them is
	// stored too, and inproc does the same. With Lanes that goes for the first of
	// them alone.
	Subjects []string

	// Retention says what acknowledgements do.
	Retention Retention

	// Storage says what survives.
	Storage Storage

	// MaxAge removes a message that long after it was stored. At least 100 ms.
	MaxAge time.Duration

	// MaxMessages, MaxBytes and MaxPerSubject bound the log; Full says what
	// happens at a bound.
	MaxMessages   uint64
	MaxBytes      uint64
	MaxPerSubject uint64
	Full          FullPolicy

	// MaxSize bounds what is stored, in bytes as [Message.Size] counts them. A larger
	// message is InvalidArgument, and that of a plain client is not stored, where a
	// backend may let pass 1 KiB more for headers of its own. 0 is the payload limit.
	MaxSize int

	// DedupWindow is how long ids are remembered, those of delayed messages
	// apart from those of others. 0 is DefaultDedupWindow, or MaxAge where that is
	// shorter; at least 100 ms, and at most MaxAge where that is set.
	DedupWindow time.Duration

	// Delays makes NotBefore possible. MaxDelayed, if not 0, bounds how many
	// messages may wait for their time; more are ResourceExhausted. A backend may
	// let concurrent senders overshoot it by their number.
	Delays     bool
	MaxDelayed uint64

	// Lanes, if not 0, divides the log, for groups that are Ordered: a message's
	// lane is [LaneOf] its subject. With it each of the Subjects ends in ".*": the
	// last token is the key. Fixed at creation; at most MaxLanes. Needs
	// Capabilities.Lanes.
	Lanes int

	// Groups are created with the log, before anything is stored: they are owed
	// every message from the first. One that is created later, here or by
	// Consume, begins where its Start says; under InterestRetention that is at
	// the earliest its creation.
	//
	// Under InterestRetention the backend recreates a group of these after its
	// deletion, as long as a Transport that declared it is open. The new group begins
	// with later messages. During the recreation Append waits, and if that fails it is
	// Unavailable. Before the backend notices the deletion, Append may acknowledge
	// messages that are not stored. inproc notices at once. A NATS server announces a
	// deletion within milliseconds. If the announcement is lost, or its subject denied
	// to the account, an Append checks the groups once the last check is 5 seconds old.
	Groups []GroupConfig

	// Update is set by those that receive. With it, an existing log and groups
	// whose settings differ are changed in place. Without it (a sender) what is
	// missing is created, and what is there stays as it is.
	//
	// A setting that cannot be changed is FailedPrecondition and names the
	// setting, what is, what was wanted, and what to do. Nothing is ever deleted.
	Update bool

	// Generation orders the versions of a declaration: a log that was last
	// updated with a higher one is left as it is, so that an older binary that
	// restarts does not undo a newer one's changes.
	Generation uint64

	// Description describes the log for people, in UTF-8 and at most MaxDescription
	// bytes. `nats stream ls` shows it.
	Description string

	// Metadata is stored with the log and changes nothing.
	Metadata map[string]string
}

// Retention says when a stored message goes.
type Retention uint8

const (
	// LimitsRetention keeps a message until a bound or its age removes it.
	LimitsRetention Retention = iota

	// InterestRetention also removes a message that every group whose filter
	// matches it has settled. A message that matches no group is acknowledged
	// and not stored.
	InterestRetention
)

// Storage says what a stored message survives.
type Storage uint8

const (
	// FileStorage survives the end of the process, and the loss of power as far
	// as the backend was told to sync. See Capabilities.Durable.
	FileStorage Storage = iota

	// MemoryStorage is gone with the backend.
	MemoryStorage
)

// FullPolicy says what a log does at a bound.
type FullPolicy uint8

const (
	// Refuse answers ResourceExhausted and stores nothing.
	Refuse FullPolicy = iota

	// DropOldest removes the oldest message, of the subject for MaxPerSubject and
	// of the log otherwise.
	DropOldest
)

// AppendOptions go with one message.
type AppendOptions struct {
	// ID is the message's identity for deduplication. Empty is none.
	ID string

	// Generated reports that ID was made for this message and dies with this
	// process: nobody else sends it again. A backend that ends with the process need
	// not remember it.
	Generated bool

	// NotBefore delays delivery. A time in the past is now. One after 2261 is
	// InvalidArgument. The message takes its sequence when its time has come.
	NotBefore time.Time

	// TTL removes this message earlier than MaxAge would. At least 1 s.
	TTL time.Duration

	// Expect, if not nil, makes the Append conditional.
	Expect *Expectation
}

// Expectation is a condition on the last sequence, of the whole log or of one
// subject. A Sequence of 0 means that there is none. An Append that fails on it
// although the message with the same id is the last one is a success: it was
// stored by an attempt whose acknowledgement was lost.
type Expectation struct {
	Subject  string // empty: the whole log
	Sequence uint64
}

// Appended says where a message was stored.
type Appended struct {
	Sequence  uint64 // 0 for one that waits for its NotBefore
	Duplicate bool   // its id was stored before; Sequence is that one's
}

// Start is a point in a log. In a cluster, who looks for it may be a moment behind in
// what was stored: LastPerSubject may begin with what was a subject's last one that
// moment before, and the last one follows.
type Start struct {
	// At most one is set. None is the beginning.
	New            bool      // what is stored from now on
	Sequence       uint64    // this one, or the first after it
	Time           time.Time // the first stored at or after it
	LastPerSubject bool      // the last of each subject, then what follows
}

// GroupConfig describes a group of consumers.
type GroupConfig struct {
	// Name identifies the group within its log: letters, digits, "-" and "_". It has
	// 1 to MaxLogName bytes, and does not end in "_lane_" and a number: a backend
	// derives such names from the names of ordered groups. Groups of different logs may have the same name. A group is durable: it keeps its
	// position until it is deleted.
	Name string

	// Filter narrows the group to subjects and patterns, which must not overlap.
	// Empty is all.
	Filter []string

	// Start is where a new group begins. It is not read again once the group is
	// there.
	Start Start

	// AckWait is how long a member may be silent before its deliveries go to
	// others. 0 is DefaultAckWait; at least 1 s. Members extend it on their own
	// while they hold a message.
	AckWait time.Duration

	// Ordered groups have at most one unsettled delivery in each of the log's
	// lanes, over all members; a log without Lanes is one lane. Fixed at creation.
	Ordered bool

	// Update and Generation mean what they mean for a log.
	Update     bool
	Generation uint64
}

// ConsumeConfig describes one member of a group.
type ConsumeConfig struct {
	Group GroupConfig

	// MaxInFlight bounds the unsettled deliveries at this member. 0 is 1.
	MaxInFlight int

	// OnEnd, if not nil, is told why the Receiver ended without being drained or
	// closed: NotFound when its group was deleted.
	OnEnd func(error)

	// Begin, if not nil, is called in the place of h, in the same way, and returns
	// what is left to do of the delivery, or nil. That is done beside the calls for
	// later deliveries, on the goroutine of its own call where possible. It is done
	// when the delivery is settled, as far as a Receiver can tell.
	Begin func(*Delivery) Work
}

// Beginner returns Begin, or h in its place. It is for backends.
func (c *ConsumeConfig) Beginner(h func(*Delivery)) func(*Delivery) Work {
	if c.Begin != nil {
		return c.Begin
	}
	return func(d *Delivery) Work {
		h(d)
		return nil
	}
}

// Delivery is one attempt to hand a stored message to a group.
type Delivery struct {
	Message

	ID       string
	Sequence uint64
	Stored   time.Time // by the backend's clock
	Attempt  int       // 1 for the first; hand-backs do not count

	// Fence grows with every delivery of a lane, whichever member gets it. It never
	// goes back, also when the backend has ended meanwhile or the group was deleted and
	// made again. A store that remembers the highest it has seen of a key can refuse a
	// member that was taken for dead and goes on. In a group that is not Ordered it
	// grows with every delivery of the group.
	Fence uint64

	// Remaining is how many messages for this group came after it when it was
	// delivered. One that had only just been appended may not be counted: it tells
	// how busy the group is, and not that there is nothing more.
	Remaining uint64

	// Settler ends the delivery.
	Settler
}

// Settler ends a delivery. Exactly one of Ack, Nak, Release and Terminate counts, the
// first; later ones return FailedPrecondition and do nothing. Nil means that the
// backend's connection has taken the settlement, not that the backend has: one
// that is lost with the connection lets the message be delivered again. A drain
// of the Receiver waits for the backend.
//
// A settlement counts even when it comes after the AckWait, or while the message
// is being delivered again. Unavailable, while disconnected, means that the
// message will be delivered again; it is settled as far as the member goes.
type Settler interface {
	// Ack: the group is done with the message.
	Ack(ctx context.Context) error

	// Nak: deliver it again, to any member, once delay is over.
	Nak(ctx context.Context, delay time.Duration) error

	// Release: hand it back. It is delivered again at once, to any member, and this
	// delivery was no attempt. It is for a member that stops.
	Release(ctx context.Context) error

	// Terminate: the group is done with the message although it was not handled.
	// The reason goes to whoever watches the backend.
	Terminate(ctx context.Context, reason string) error
}

// ReadConfig says what to read.
type ReadConfig struct {
	Start  Start
	Filter []string
	Follow bool
}

// PurgeConfig says what to delete: what matches Subject (a pattern; empty is
// all) and lies below Before (0 is no bound), but for the last Keep.
type PurgeConfig struct {
	Subject string
	Before  uint64
	Keep    uint64
}

// LogInfo is the state of a log.
type LogInfo struct {
	Config   LogConfig
	First    uint64 // sequence of the oldest message; Last+1 when there is none
	Last     uint64 // highest sequence ever given
	Messages uint64
	Bytes    uint64
	Delayed  uint64 // waiting for their NotBefore; one that is due and waits for room is not counted
}

// GroupInfo is the state of a group.
type GroupInfo struct {
	Config      GroupConfig
	Members     int    // that consume now, where the backend knows
	Settled     uint64 // every sequence up to it is settled
	InFlight    uint64 // delivered and not settled, waiting redeliveries included
	Undelivered uint64 // never delivered: with InFlight, the group's lag
	Redelivered uint64 // messages in flight at attempt 2 or later
}
