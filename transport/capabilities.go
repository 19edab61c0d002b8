package transport

// Capabilities describes what a backend supports.
type Capabilities struct {
	// Name is the backend's name in errors and health reports, such as "nats" or
	// "inproc".
	Name string

	// MaxPayload is the maximum size of a message in bytes, including its header, as
	// counted by [Message.Size]. 0 means no limit.
	MaxPayload int

	// Logs reports whether Log is supported. Without it the fields below have no meaning.
	Logs bool

	// Delays reports whether AppendOptions.NotBefore is supported.
	Delays bool

	// Partitions reports whether LogConfig.Partitions is supported.
	Partitions bool

	// Durable reports whether a log with FileStorage outlives the process.
	Durable bool

	// Advice states how to get what is missing, for errors: "it needs nats-server 2.14 or
	// later". It may be empty.
	Advice string
}
