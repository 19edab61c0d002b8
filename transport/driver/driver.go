package driver

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// Conn is a connection to a backend. Its methods do what those of [transport.Transport]
// with the same names specify.
type Conn interface {
	Capabilities() transport.Capabilities

	// Ready returns nil if the backend can be used now. It returns [ErrClosed] after the
	// end of the connection, and otherwise the error of a Publish. It is called before
	// each other method except Capabilities, Watch and Close, and must return at once.
	Ready() error

	Ping(ctx context.Context) error

	// Publish and Request get a valid message within the payload limit.
	Publish(ctx context.Context, m *transport.Message) error
	Request(ctx context.Context, m *transport.Message) (*transport.Message, error)

	// Subscribe gets a valid subscription with a PendingLimit.
	Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error)

	// Log gets a valid configuration. DedupWindow and the AckWait of groups are set, and
	// Update of a group is set if c.Update is, and c.Sender is not. [ChangesLog] tells whether an
	// existing log is to be changed. The slices and maps of c must not be
	// changed. It is called only if the backend has the Capabilities that c needs.
	Log(ctx context.Context, c transport.LogConfig) (Log, error)

	Watch(f func(transport.Denial)) (stop func())

	// Close is called once. If ctx ends before the connection is closed, Close returns an
	// [Unfinished] error.
	Close(ctx context.Context) error
}

// Log is an open log of a backend. Its methods do what those of [transport.Log] with the
// same names specify.
type Log interface {
	// Config returns the latest known configuration of the log. The caller does not
	// change it.
	Config() *transport.LogConfig

	// Append and AppendAsync get a valid message and options that fit Config.
	Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error)

	// AppendAsync need not limit the number of waiting messages. It calls done on another
	// goroutine.
	AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error

	// Consume gets a valid configuration with a MaxInFlight and an AckWait.
	Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error)

	// Read calls yield for the messages until it returns false. It returns nil at the
	// end, and any error if ctx ends.
	Read(ctx context.Context, r transport.ReadConfig, yield func(*transport.Delivery) bool) error

	Remove(ctx context.Context, sequence uint64) error

	// Cancel gets an id that is not empty.
	Cancel(ctx context.Context, id string) error

	Purge(ctx context.Context, p transport.PurgeConfig) (uint64, error)
	Info(ctx context.Context) (transport.LogInfo, error)

	// Groups may return the groups in any order.
	Groups(ctx context.Context) ([]transport.GroupInfo, error)

	DeleteGroup(ctx context.Context, name string) error

	PauseGroup(ctx context.Context, name string, until time.Time) error
}
