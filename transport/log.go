package transport

import (
	"context"
	"iter"
	"time"
)

// Log is a durable, ordered log of messages. It keeps each appended message until its
// retention removes it, and delivers every message to every group of consumers.
//
// # Guarantees
//
//  1. Positions. A stored message gets a sequence, one higher than any before it in this
//     log. Sequences begin at 1, are never reused, and never go back, whatever is
//     removed. A rejected Append uses none.
//  2. Durability. When Append returns nil, the message is stored as the log's Storage
//     specifies, for every group that exists then. No stored message is dropped to make
//     room unless the log is configured to do so (Full).
//  3. Deduplication. A second Append with an id that was appended within the DedupWindow
//     stores nothing and returns the first one's sequence, even if that message is gone.
//     A backend that restarted in between may have forgotten the ids of messages that are
//     gone; see "What survives".
//  4. At least once. Each group gets each message that matches its filter until one
//     delivery is acknowledged or terminated. An attempt is a delivery. A delivery whose
//     member died counts, and one that was handed back (Release, Drain, Close) does not.
//     A backend may count two kinds of deliveries that no handler has seen: those that a
//     member had fetched ahead when it died, and redeliveries that a member had not
//     examined when it began to stop.
//  5. Order. Within a group, first deliveries happen in the order of sequences;
//     redeliveries that are due come before them. In an ordered group a message of a key
//     is delivered when the previous message of that key is settled, and not earlier.
//     Keys do not wait for each other; see GroupConfig.Ordered.
//  6. Time is the backend's. A message is never delivered before its NotBefore, and never
//     redelivered before its delay has passed.
//
// # What survives
//
// Stored messages, groups and their configuration survive as the log's Storage specifies.
// A backend may keep the rest in memory, and lose some of it when its process ends:
// positions (a settled message is delivered again), numbers of attempts, delays of
// redeliveries, and the ids of messages that are gone. The document docs/durability.md
// lists for each backend what survives which failure. Two things do not go back:
// sequences, and fencing tokens with the exceptions in that document.
//
// # How mono uses it
//
// A queue is a log with InterestRetention over two subjects: queues.<name> for every
// group, and queues.<name>._to.<group> for one of them (a replay), which the others
// acknowledge unread. So a group needs no filter, and a replay is kept until every group
// has acknowledged it. Jobs with a key add ._k.<key> to either; workers with Keys
// acknowledge the jobs of other keys. A stream is a log with LimitsRetention over streams.<name>, or,
// with keys, over streams.<name>._k.*. A durable event is a log with InterestRetention
// over the event's subjects. The dead letters of a handle's group are stored in a
// separate log with LimitsRetention. The subject of a dead letter ends in the sequence of
// its message. It is appended with the Expectation that its subject has no message, so
// that storing it twice stores it once. The layer above decides on attempts and on the
// delays between them: a Log never gives up on a message.
type Log interface {
	// Append stores m, whose subject must be one of the log's, and returns its position.
	//
	// Errors: InvalidArgument for a message that cannot be carried or a subject that is
	// not the log's, and for one over the log's MaxSize or with a header over
	// MaxStoredHeader; NotFound if the log was deleted after it was opened, for example
	// by an administrator: the message is not stored, and none is until [Transport.Log]
	// creates the log again; ResourceExhausted if the log is full and its FullPolicy is
	// Refuse; Aborted if o.Expect does not hold; Unimplemented for a NotBefore without
	// Capabilities.Delays; Unavailable if the backend cannot be reached, with
	// OutcomeNotDone if the message was not sent and OutcomeUnknown if its
	// acknowledgement did not arrive. After the latter a second Append with the same id
	// stores it once. In a cluster a second Append while the first is in progress may be
	// Unavailable with OutcomeNotDone, instead of a duplicate; so is an Append while a
	// group is missing (see LogConfig.Groups).
	Append(ctx context.Context, m *Message, o AppendOptions) (Appended, error)

	// AppendAsync is like Append but does not wait: done is called once, with the result
	// that Append would have returned. It is called on a goroutine of the log and must
	// return soon; it must not call AppendAsync, which may wait for it. Messages are stored in the order of the calls. AppendAsync blocks
	// while too many messages wait for their acknowledgement, as long as ctx allows. The
	// backend chooses that number, at least 256. If AppendAsync itself returns an error,
	// done is not called.
	AppendAsync(ctx context.Context, m *Message, o AppendOptions, done func(Appended, error)) error

	// Consume makes the caller a member of a group and calls h for its deliveries until
	// the Receiver is drained or closed. The group is created if it does not exist;
	// [GroupConfig] specifies when an existing one is changed. Members of one group, in
	// this process and others, share its messages.
	//
	// h is called for one delivery after another, never concurrently. It may pass work to
	// other goroutines and settle from there. It is called while fewer than c.MaxInFlight
	// of the deliveries passed to it are unsettled. The backend may fetch more in
	// advance. Messages that a member holds, passed to h or fetched in advance, are not
	// redelivered as long as the member lives. When it dies, others get them after the
	// group's AckWait.
	//
	// Drain stops new deliveries, hands back at once those that were not passed to h,
	// waits until those passed to h are settled, and until the backend has the
	// settlements. Close hands back all unsettled deliveries. A message that is handed
	// back is delivered again at once, and the delivery does not count as an attempt. In
	// a cluster, messages that a server sent to a member before it learned that the
	// member had left go to others after the AckWait, and count as attempts.
	//
	// If the group is deleted while it is consumed, the Receiver ends and c.OnEnd
	// receives the reason. A lost connection does not end it: deliveries continue after
	// the reconnect.
	//
	// Errors: InvalidArgument for an invalid configuration or a nil handler; NotFound if
	// the log was deleted; FailedPrecondition if the group exists with a setting that cannot be
	// changed, naming it and both values; ResourceExhausted if the backend allows no more
	// groups.
	Consume(ctx context.Context, c ConsumeConfig, h DeliveryHandler) (Receiver, error)

	// Read returns stored messages in order. It does not belong to a group and changes
	// nothing. It ends at the last message that was stored when it began, or, with
	// r.Follow, when ctx ends. A gap (messages that retention removed in the meantime) is
	// skipped. A server of a cluster may lag slightly in removed messages, never in
	// stored ones. The last element may carry an error, with a nil Delivery. A Delivery
	// from Read has no Settler, no FencingToken and Attempt 0. A Follow that ctx ended
	// ends without an error.
	Read(ctx context.Context, r ReadConfig) iter.Seq2[*Delivery, error]

	// Remove deletes one message permanently. It returns NotFound if the message does not
	// exist. As with removal by age or by a limit, the message counts as settled for
	// every group, even if a member holds it. Settling it then has no effect. Its key
	// continues; with Partitions, perhaps not before the member that holds it settles it.
	// In a cluster a group may learn of the removal slightly later, and until then deliver
	// the removed message. A member may also get one that it has fetched before.
	Remove(ctx context.Context, sequence uint64) error

	// Cancel removes the message with an id that no member has received: one that waits for its
	// NotBefore, or that waits in all groups. Nil means that no group gets it. Deliveries of the
	// groups may stop for a moment. The id stays known for the DedupWindow.
	//
	// Errors: InvalidArgument for an empty id; NotFound if there is no such message;
	// FailedPrecondition if a member of some group has received it, also if it was only fetched
	// in advance, or handed back since; Unimplemented on a backend without pauses; Aborted with
	// OutcomeUnknown if the message was removed, but a member may have received it before,
	// because someone resumed a group meanwhile.
	//
	// Of several messages with the id, one that waits is removed. A backend may read all
	// messages, one after another, to find it. In a cluster a group may learn of the removal
	// slightly later, as with Remove. A message that is due and waits for room may not be found
	// before it is stored: Cancel waits for that.
	Cancel(ctx context.Context, id string) error

	// Purge deletes all messages that p matches and returns their number. A message of
	// Subject that a member holds may block its key until the member settles it. In a
	// cluster a group may learn of the removal slightly later, as with Remove, and until
	// then deliver removed messages.
	Purge(ctx context.Context, p PurgeConfig) (uint64, error)

	// Info returns the state of the log.
	Info(ctx context.Context) (LogInfo, error)

	// Groups returns the state of the log's groups, sorted by name.
	Groups(ctx context.Context) ([]GroupInfo, error)

	// DeleteGroup permanently removes a durable group and its position. It returns
	// NotFound if the group does not exist. A group that must exist (LogConfig.Groups) is
	// recreated.
	DeleteGroup(ctx context.Context, name string) error

	// PauseGroup stops the deliveries of a group until a time of the backend's clock. A zero
	// time, or one that has passed, resumes them. Members stay, and settle what they hold;
	// what they have fetched in advance is passed to their handlers. What they hand back is
	// delivered again after the pause. A pause ends with its group. It returns NotFound if
	// the group does not exist, and Unimplemented on a backend without pauses.
	PauseGroup(ctx context.Context, name string, until time.Time) error
}

// LogConfig describes a log. The zero value of a field is its default; a log is unlimited
// by default.
type LogConfig struct {
	// Name identifies the log: letters, digits, "-" and "_". It has 1 to MaxLogName
	// bytes, and does not end in "__later": such names are reserved for the backend.
	Name string

	// Subjects are the subjects and patterns whose messages are stored. A subject must
	// not belong to two logs. On NATS a plain Publish to one of them is stored too, and
	// inproc does the same. With Partitions this applies only to the first of them.
	Subjects []string

	// Retention specifies when stored messages are removed.
	Retention Retention

	// Storage specifies what stored messages survive.
	Storage Storage

	// MaxAge is how long a message is kept after it was stored. The minimum is 100 ms.
	MaxAge time.Duration

	// MaxMessages, MaxBytes and MaxPerSubject limit the log. Full specifies what happens
	// at a limit.
	MaxMessages   uint64
	MaxBytes      uint64
	MaxPerSubject uint64
	Full          FullPolicy

	// MaxSize is the maximum size of a stored message, in bytes as [Message.Size] counts
	// them. A larger message is InvalidArgument. A larger message of a plain client is
	// not stored, but a backend may accept 1 KiB more for its own headers. 0 means the
	// payload limit.
	MaxSize int

	// DedupWindow is how long ids are remembered. Ids of delayed messages are remembered
	// separately from others. 0 means DefaultDedupWindow, or MaxAge if that is shorter.
	// The minimum is 100 ms, and the maximum is MaxAge if that is set.
	DedupWindow time.Duration

	// Delays enables NotBefore. MaxDelayed, if not 0, limits the number of messages that
	// wait for their time. Further messages are ResourceExhausted. Concurrent senders may
	// exceed the limit by their number on some backends.
	Delays     bool
	MaxDelayed uint64

	// Partitions, if not 0, gives messages keys, for groups that are Ordered: each of the
	// Subjects ends in ".*", and the last token of a message's subject is its key. It is the
	// number of parts in which the members of a group share the keys; a message's partition is
	// [PartitionOf] its subject. Partitions cannot be changed after creation. The maximum is
	// MaxPartitions. It needs Capabilities.Partitions.
	Partitions int

	// Groups are created with the log, before any message is stored, and receive every
	// message from the first. A group that is created later, here or by Consume, begins
	// at its Start; under InterestRetention that is at the earliest its creation.
	//
	// Under InterestRetention the backend recreates a group of these after its deletion,
	// as long as a Transport that declared it is open. The new group begins with later
	// messages. During the recreation Append waits, and if that fails it is Unavailable.
	// Before the backend notices the deletion, Append may acknowledge messages that are
	// not stored. inproc notices at once. A NATS server announces a deletion within
	// milliseconds. If the announcement is lost, or its subject is denied to the account,
	// an Append checks the groups once the last check is 5 seconds old.
	Groups []GroupConfig

	// Update changes an existing log and groups in place if their settings differ.
	// Without it a missing log or group is created, and an existing one stays unchanged.
	//
	// A setting that cannot be changed is FailedPrecondition. The error names the
	// setting, its value, the wanted value, and what to do. So is a log that Update
	// leaves unchanged (see Sender and Generation) and that does not store all Subjects.
	// Nothing is ever deleted.
	Update bool

	// Sender is set by those that do not receive. With it, Update changes no group, and
	// the log only if no receiver has made or updated it with the same or a higher
	// Generation. If the account may not change the log, it stays unchanged.
	Sender bool

	// Generation orders the versions of a declaration. A log that was last updated with a
	// higher Generation stays unchanged, so that a restarted older binary does not undo
	// the changes of a newer one.
	Generation uint64

	// Existing opens the log only if it exists. Otherwise Log returns NotFound.
	Existing bool

	// Description describes the log for people. It is UTF-8 and at most MaxDescription
	// bytes long. `nats stream ls` shows it.
	Description string

	// Metadata is stored with the log and has no effect.
	Metadata map[string]string
}

// Retention specifies when a stored message is removed.
type Retention uint8

const (
	// LimitsRetention keeps a message until a limit or its age removes it.
	LimitsRetention Retention = iota

	// InterestRetention also removes a message that every group whose filter matches it
	// has settled. A message that matches no group is acknowledged and not stored.
	InterestRetention
)

// Storage specifies what a stored message survives.
type Storage uint8

const (
	// FileStorage survives the end of the process. It survives a power loss if the
	// backend is configured to sync. See Capabilities.Durable.
	FileStorage Storage = iota

	// MemoryStorage is lost with the backend.
	MemoryStorage
)

// FullPolicy specifies what a log does at a limit.
type FullPolicy uint8

const (
	// Refuse rejects the message with ResourceExhausted and stores nothing.
	Refuse FullPolicy = iota

	// DropOldest removes the oldest message, of the subject for MaxPerSubject and of the
	// log otherwise.
	DropOldest
)

// AppendOptions are the options of one Append.
type AppendOptions struct {
	// ID identifies the message for deduplication. An empty ID means no deduplication.
	ID string

	// Generated reports that ID was generated for this message and exists only in this
	// process: no other process sends it again. A backend that ends with the process need
	// not remember it.
	Generated bool

	// NotBefore delays delivery. A time in the past means no delay. A time after 2261 is
	// InvalidArgument. The message gets its sequence when it is due.
	NotBefore time.Time

	// TTL removes this message earlier than MaxAge would. The minimum is 1 s.
	TTL time.Duration

	// Expect, if not nil, makes the Append conditional.
	Expect *Expectation
}

// Expectation is a condition on the last sequence of the whole log or of one subject. A
// Sequence of 0 means that no message exists. If the condition fails because a message
// with the same id is the last one, the Append succeeds: an earlier attempt stored the
// message, and its acknowledgement was lost.
type Expectation struct {
	Subject  string // empty means the whole log
	Sequence uint64
}

// Appended is the position of a stored message.
type Appended struct {
	Sequence  uint64 // 0 for a message that waits for its NotBefore
	Duplicate bool   // the id was stored before; Sequence is that of the first message
}

// Start is a position in a log. In a cluster, the server that looks it up may lag
// slightly: LastPerSubject may begin with the previous last message of a subject, and the
// last one follows.
type Start struct {
	// At most one is set. The zero value is the beginning.
	New            bool      // messages stored from now on
	Sequence       uint64    // this sequence, or the first after it
	Time           time.Time // the first message stored at or after it
	LastPerSubject bool      // the last message of each subject, then all later ones
}

// GroupConfig describes a group of consumers.
type GroupConfig struct {
	// Name identifies the group within its log: letters, digits, "-" and "_". It has 1 to
	// MaxLogName bytes, and does not end in "_partition_" and a number: a backend derives such
	// names from the names of ordered groups. Groups of different logs may have the same
	// name. A group is durable: it keeps its position until it is deleted.
	Name string

	// Filter limits the group to subjects and patterns, which must not overlap. An empty
	// Filter matches all messages.
	Filter []string

	// Start is the position where a new group begins. It is ignored for an existing
	// group.
	Start Start

	// AckWait is how long a member may be silent before its deliveries go to others. 0
	// means DefaultAckWait; the minimum is 1 s. Members extend it automatically while
	// they hold a message.
	AckWait time.Duration

	// Ordered groups have at most one unsettled delivery of each key, over all members. In a
	// log without Partitions all messages have the same key. A backend may fetch messages of
	// a key that waits, and hold them: at least MinHeld in each partition. With more of them
	// the partition waits. Ordered cannot be changed after creation.
	Ordered bool

	// Metadata is stored with the group and has no effect. An update sets the entries that it
	// has, removes those with an empty value, and leaves others unchanged.
	Metadata map[string]string

	// Update and Generation have the same meaning as for a log.
	Update     bool
	Generation uint64
}

// ConsumeConfig describes one member of a group.
type ConsumeConfig struct {
	Group GroupConfig

	// MaxInFlight is the maximum number of unsettled deliveries at this member. 0 means
	// 1.
	MaxInFlight int

	// OnEnd, if not nil, receives the reason why the Receiver ended without being drained
	// or closed: NotFound if its group was deleted.
	OnEnd func(error)

	// OnFull, if not nil, is called when a partition of an Ordered group becomes full, and when
	// that is over. A full partition has as many messages at this member as a backend holds
	// behind keys that wait, and none of them was settled for a second. The Receiver gets no
	// more of it, also of other keys. key is the one with the most of these messages. Calls are
	// in order, one at a time, and must return soon. A backend without a bound makes none.
	OnFull func(partition int, key string, full bool)
}

// DeliveryHandler handles one delivery and returns the remaining work on it, or nil. The
// work runs concurrently with the calls for later deliveries, on the goroutine of its own
// call if possible. For the Receiver, the work is done when the delivery is settled. A
// DeliveryHandler must not panic. See [Serial].
type DeliveryHandler func(d *Delivery) Work

// Delivery is one attempt to hand a stored message to a group.
type Delivery struct {
	Message

	ID       string
	Sequence uint64
	Stored   time.Time // by the backend's clock
	Attempt  int       // 1 for the first; deliveries that were handed back do not count

	// FencingToken increases with every delivery of a key, whichever member gets it. It
	// does not go back if the backend restarted or the group was deleted and created
	// again; docs/durability.md lists the exceptions. A store that remembers the highest
	// token of a key can reject a member that was presumed dead but continues. In a group
	// that is not Ordered it increases with every delivery of the group.
	FencingToken uint64

	// Remaining is the number of messages for this group that came after this one when it
	// was delivered. A message appended immediately before may not be counted: 0 does not
	// mean that no message follows.
	Remaining uint64

	// Settler ends the delivery.
	Settler
}

// Settler ends a delivery. Only the first call of Ack, Nak, Release or Terminate counts;
// later ones return FailedPrecondition and do nothing. Nil means that the backend's
// connection has accepted the settlement, not that the backend has: a settlement that is
// lost with the connection lets the message be delivered again. A drain of the Receiver
// waits for the backend.
//
// A settlement counts even if it comes after the AckWait, or while the message is being
// delivered again. Unavailable, while disconnected, means that the message will be
// delivered again; for the member it counts as settled.
type Settler interface {
	// Ack marks the message as handled for the group.
	Ack(ctx context.Context) error

	// Nak requests a redelivery, to any member, after delay.
	Nak(ctx context.Context, delay time.Duration) error

	// Release hands the message back. It is delivered again at once, to any member, and
	// this delivery does not count as an attempt. A member that stops uses it.
	Release(ctx context.Context) error

	// Terminate marks the message as settled for the group although it was not handled.
	// The reason is reported to observers of the backend.
	Terminate(ctx context.Context, reason string) error
}

// ReadConfig specifies what to read.
type ReadConfig struct {
	Start  Start
	Filter []string
	Follow bool
}

// PurgeConfig specifies which messages to delete: those that match Subject (a pattern;
// empty means all) and lie below Before (0 means no limit), except the last Keep.
type PurgeConfig struct {
	Subject string
	Before  uint64
	Keep    uint64
}

// LogInfo is the state of a log.
type LogInfo struct {
	Config   LogConfig
	First    uint64 // sequence of the oldest message; Last+1 if there is none
	Last     uint64 // highest sequence ever assigned
	Messages uint64
	Bytes    uint64
	Delayed  uint64 // waiting for their NotBefore; a message that is due and waits for room is not counted
}

// GroupInfo is the state of a group.
type GroupInfo struct {
	Config GroupConfig

	// Members is the number of members that wait for messages, as far as the backend
	// knows. A member whose handlers are all busy may not be counted. It is 0 if no member
	// is connected.
	Members int

	Settled     uint64 // every sequence up to it is settled
	InFlight    uint64 // delivered and not settled, including those that wait for redelivery, or that a backend holds: see GroupConfig.Ordered
	Undelivered uint64 // never delivered: with InFlight, the group's lag
	Redelivered uint64 // messages in flight at attempt 2 or later

	PausedUntil time.Time // zero if it is not paused
}
