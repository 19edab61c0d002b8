package transport

// Capabilities says what a backend can do.
type Capabilities struct {
	// Name is what errors and health reports call the backend, such as "nats" or
	// "inproc".
	Name string

	// MaxPayload is the size of the largest message in bytes, header included as
	// [Message.Size] counts it. 0 is no limit.
	MaxPayload int

	// Logs: Log works. The fields below mean nothing without it.
	Logs bool

	// Delays: AppendOptions.NotBefore works.
	Delays bool

	// Lanes: LogConfig.Lanes works.
	Lanes bool

	// Durable: a log with FileStorage outlives the process.
	Durable bool
}
