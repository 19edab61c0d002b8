package transport

// Denial reports that the backend denies a subject to this Transport's account, or does
// so no longer. It is a message for operators and health checks: see [Transport].Watch.
type Denial struct {
	// Subject is the subject of the messages, or the pattern of the subscription.
	Subject string

	// Subscription reports that a subscription is denied: its handler gets nothing.
	// Otherwise messages are denied.
	Subscription bool

	// Group is the group of the subscription. With Log, it is the group of a log
	// whose members get nothing, or cannot settle their deliveries.
	Group string
	Log   string

	// Err is PermissionDenied and names the subject and what to do. With Log, it may
	// have another code: the backend does not answer what the group needs. Nil means
	// that the denial is over: the backend took a message or answers, or the connection
	// was made again, perhaps with other permissions.
	Err *Error
}
