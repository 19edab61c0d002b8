// Package limit bounds how often and how many messages are handled, and protects callers from
// services that fail.
//
//	app.Use(
//		limit.Rate(1000, time.Second),                               // of each handle, in this process
//		limit.Window("tenants", 100, time.Minute, limit.By(tenant)), // of each tenant, in all processes
//		limit.Concurrency(20, limit.By(limit.Caller)),               // of each calling module
//	)
//	app.Use(limit.Retry(), limit.NewBreaker(5, 10*time.Second))      // for calls that this App makes
//
// Each is a middleware that runs on one side: Rate, Window and Concurrency where messages are
// handled, Retry and Breaker where calls are made. Middleware before a limit, such as an access
// log, sees what the limit refuses.
//
// # Over the limit
//
// A call is refused with resource_exhausted and the outcome "not done". [mono.RetryDelay] returns the
// time to wait, in any process; Concurrency does not know one. Any other message is not refused: it
// waits for its turn in its handler's place, and its attempt has not failed. So a limit of stored
// messages slows a group down, and the rest stays in the log. If the Timeout of the attempt ends
// before its turn, the attempt fails at once, with the time to wait. When the App stops, a stored
// message that waits is handed back, and the attempt does not count. The wait counts for
// mono.StuckAfter.
//
// A batch counts as the number of its messages, and for Concurrency as one.
//
// # Whom a limit counts
//
// By default each handle has its own limit, whoever sends. [By] counts by something else, and [For]
// limits only some handles. [Caller] is what the sender states about itself. Behind a transport that
// strangers reach, it is no protection.
package limit
