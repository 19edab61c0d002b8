package transport

// Denial reports that the backend denies a subject to this Transport's account, or no
// longer does. It is meant for operators and health checks: see [Transport].Watch.
type Denial struct {
	// Subject is the subject of the messages, or the pattern of the subscription.
	Subject string

	// Subscription reports whether a subscription is denied, whose handler then receives
	// nothing. Otherwise messages are denied.
	Subscription bool

	// Group is the group of the subscription. With Log, it is the group of a log whose
	// members receive nothing, or cannot settle their deliveries.
	Group string
	Log   string

	// Err has the code PermissionDenied. It names the subject and what to do. With Log, it
	// may have another code: the backend does not answer a request that the group needs.
	// Nil means that the denial is over: the backend accepted a message or answers, or the
	// connection was re-established, perhaps with other permissions.
	Err *Error
}
