// Package mono builds distributed modular monoliths: one binary made of modules
// that talk to each other through typed handles, on one machine or on many.
//
// # Guarantees
//
//  1. A handle is a value. Declaring one registers nothing and holds nothing;
//     any number of Apps and tests share it. What differs between two
//     declarations of one name is found when the App starts.
//  2. What is wrong with an App is found at the start, all of it at once: a
//     service that nobody provides, a cycle, one name with two types, a payload
//     that cannot be carried. Wrong names and options panic at the declaration.
//  3. A call ([Service]) happens at most once. Its caller gets the reply, the
//     handler's error with its code and value, or an error that says whether the
//     call may have happened; [Unavailable] at once when nobody serves.
//  4. An event ([Event]) reaches one instance of every subscribing module at
//     most once, every instance with [Broadcast].
//  5. A job ([Queue]), a stream's message ([Stream]) and a [Durable] event are
//     stored before their sender goes on, and handled at least once by each
//     group: until a handler returns nil, or the message is kept as a dead letter
//     ([DeadLetters]). An attempt whose process dies counts.
//  6. Where a module runs changes nothing for those that talk to it: payloads
//     are copies, errors keep their code, deadlines travel, on one goroutine as
//     across machines.
//  7. Modules start once what they need is serving, stop in exactly the reverse
//     order, and an orderly stop breaks no caller's connection.
//  8. A panic in a handler, a hook or a health check is an [Internal] error with
//     its stack in the log. It never ends the process.
//
// # A tour
//
// A module's contract is a package of handles and types:
//
//	package payments
//
//	var Charge = mono.NewService[ChargeRequest, ChargeReply]("payments.charge")
//	var Declined = mono.NewFailure[Decline]("payments.declined", mono.FailedPrecondition)
//
// Whoever implements it handles them; whoever uses it asks for a client. Both
// happen in [Module].Bind, which is the only place where a module says what it
// depends on:
//
//	func (m *Module) Bind(s *mono.Scope) error {
//		m.charge = payments.Charge.Client(s)
//		m.placed = orders.Placed.Publisher(s)
//		orders.Place.Handle(s, m.place)
//		return nil
//	}
//
// A client is a function of the handler's own shape ([Func]), so a test sets the
// field to a function literal. An [App] runs modules over a transport, and
// [Run] does that until a signal comes:
//
//	mono.Run(ctx, inproc.New(nil), &orders.Module{}, &payments.Module{})
//
// The kinds of handles, by what they promise: [Service], [Event], [Queue],
// [Stream] cross processes; [Channel] and [Resource] stay within one; [Failure]
// is an error that crosses with its type.
//
// A handler of a stored message steers by what it returns: nil ends it, [Drop]
// gives it up, [RetryIn] says when it is tried again, [HandBack] hands it back while
// the App stops, and any other error leaves that to the handle's [MaxAttempts] and
// [Backoff].
//
// What a message says about itself is in [CallFrom] for handlers; what runs
// around all messages is [Middleware]; what happens to the App is told to an
// [Observer], and found in [App.Health] and [App.Describe].
//
// # At home
//
// A call whose provider is in the same App does not leave it: the handler runs
// on the caller's goroutine. It means what it means on the wire, with these
// differences and no others:
//
//   - its caller waits for the handler itself, whose context ends when the
//     caller's does; a handler that ignores its context delays its caller, who then
//     gets DeadlineExceeded, or Canceled
//   - the transport's payload limit does not count
//   - runtime.Goexit in a handler ends its caller (as it ends the receiver of a
//     handler from the wire that runs one message at a time)
//   - while a module stops, calls from within the process reach it until its Stop
//     has returned
//
// [AlwaysWire] switches calls at home off.
//
// # On the wire
//
// Subjects are services.<name>, queues.<name>, events.<name> and streams.<name>,
// a keyed handle's with ._k.<key> at the end, all after an optional [Namespace].
// Stored handles keep their messages in a log named like the subject with "_" for
// ".", such as queues_orders_receipts; ._to.<group> behind the name sends to one
// group only (a plain client not where there are lanes), and dead letters are in a
// log whose name ends in __dead. In NATS service discovery a module is a service,
// named <module> or <namespace>_<module>, and a service handle is its endpoint, both
// with "_" for ".".
// Bodies are the codec's bytes and nothing else; package transport lists the
// headers, none of which is required. So a plain NATS client can call a service
// with JSON and read the reply: a message without a content type is JSON, and a
// reply speaks the language of its request. A struct{} may be an empty body.
//
// # Concurrency
//
// Handles, Scopes, Apps, bound senders and errors may be used by any number of
// goroutines at once.
package mono
