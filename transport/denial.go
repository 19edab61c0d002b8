package transport

// Denial reports that the backend denies a subject to this Transport's account, or does
// so no longer. It is a message for operators and health checks: see [Transport].Watch.
type Denial struct {
	// Subject is that of the messages that are denied, or the pattern of the
	// subscription.
	Subject string

	// Subscription says that a subscription is denied: its handler gets nothing.
	// Otherwise messages are.
	Subscription bool

	// Group is that of the subscription, and, with Log, the group of that log whose
	// members get nothing, or cannot settle what they get.
	Group string
	Log   string

	// Err is PermissionDenied and names the subject and what to do. Nil means that
	// the denial is over: the backend took a message, or the connection was made
	// again, perhaps with other permissions.
	Err *Error
}
