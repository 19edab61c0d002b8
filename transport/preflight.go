package transport

import (
	"context"
	"strings"
)

// Preflighter is a Transport that can compare what a program needs with what its backend
// has. Those on package driver are Preflighters.
type Preflighter interface {
	// Preflight returns everything that the needs lack, before anything is sent. It only
	// reads: it creates and changes nothing at the backend, and subscribes to no subject of
	// the needs. It returns an error if it cannot look, such as Unavailable, and
	// Unimplemented if the backend cannot tell.
	Preflight(ctx context.Context, needs []Need) (Preflight, error)
}

// Need is what one handle or component of a program needs of the backend.
type Need struct {
	// Object names the handle or the component, such as "queue mail.send".
	Object string

	// Log, if not nil, is a log that the program opens. With Existing it is only looked up, and
	// may be missing. The program receives with the groups of the log that Groups names.
	Log    *LogConfig
	Groups []string

	// Stored, if not nil, is the configuration of a bucket or a store: the Config of package
	// kv/driver or objstore/driver. A backend ignores a type that it does not know.
	Stored any

	// Publish and Subscribe are subjects and patterns of the program's messages. Replies reports
	// that they are requests: the receiver replies, and no log may store them, since the backend
	// would reply too.
	Publish   []string
	Subscribe []Subscription
	Replies   bool
}

// Preflight is the result of a comparison.
type Preflight struct {
	Findings []Finding

	// Logs has the logs of the needs that exist, by name.
	Logs map[string]ExistingLog
}

// ExistingLog is the state of a log and its groups.
type ExistingLog struct {
	Info   LogInfo
	Groups []GroupInfo
}

// Finding is one thing that a program needs and its backend does not have.
type Finding struct {
	Object  string // the handle or the component; "" for the server or the account
	Need    string // such as "permission to publish on queues.mail"
	Found   string // the present state
	Remedy  string // how to get what is needed
	Warning bool   // the program starts nevertheless

	// Err is the error of the call that would fail, if it is known.
	Err error
}

// String returns the finding on one line.
func (f Finding) String() string {
	var b strings.Builder
	if f.Object != "" {
		b.WriteString(f.Object + ": ")
	}
	b.WriteString("needs " + f.Need + ", but " + f.Found)
	if f.Remedy != "" {
		b.WriteString(": " + f.Remedy)
	}
	return b.String()
}
