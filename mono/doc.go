// Package mono builds distributed modular monoliths: one binary of modules that
// communicate through typed handles, on one machine or on many.
//
// # Guarantees
//
//  1. A handle is a value. Declaring one registers nothing and holds nothing;
//     any number of Apps and tests share it. If two declarations of one name
//     differ, the start of the App reports it.
//  2. The start reports everything that is wrong with an App at once: a service
//     without a provider, a cycle, one name with two types, a payload that cannot
//     be encoded. Wrong names and options panic at the declaration.
//  3. A call ([Service]) happens at most once. The caller gets the reply, the
//     handler's error with its code and value, or an error that specifies whether
//     the call may have happened. Without an instance that serves, the call fails
//     with [Unavailable] at once.
//  4. An event ([Event]) reaches one instance of every subscribing module at
//     most once, every instance with [Broadcast].
//  5. A job ([Queue]), a message of a stream ([Stream]) and a [Durable] event are
//     stored before the send returns. Each group handles them at least once: until
//     a handler returns nil, or the message is kept as a dead letter
//     ([DeadLetters]). An attempt counts even if its process dies.
//  6. The location of a module does not matter to the others: payloads are copies,
//     errors keep their code, and deadlines propagate, on one goroutine as across
//     machines.
//  7. A module starts once everything that it needs is serving. Modules stop in
//     exactly the reverse order, and an orderly stop breaks no caller's connection.
//  8. A panic in a handler, a hook or a health check becomes an [Internal] error
//     with its stack in the log. It never ends the process.
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
// The provider of a service registers a handler, and other modules ask for a client.
// Both happen in [Module].Bind, where a module declares all its dependencies:
//
//	func (m *Module) Bind(s *mono.Scope) error {
//		m.charge = payments.Charge.Client(s)
//		m.placed = orders.Placed.Publisher(s)
//		orders.Place.Handle(s, m.place)
//		return nil
//	}
//
// A client is a function with the handler's signature ([Func]), so a test can set
// the field to a function literal. The other bound senders ([Enqueuer], [Publisher],
// [Appender]) also accept options for one message, such as DedupID; [AsEnqueuer],
// [AsPublisher] and [AsAppender] make one of a handler. An [App] runs modules over a transport. [Run]
// creates one and runs it until the process gets a signal:
//
//	mono.Run(ctx, inproc.New(inproc.Options{}), &orders.Module{}, &payments.Module{})
//
// An App with options is run by mono.New(tr, opts...).Add(modules...).Run(ctx).
// [InRole] and [ActiveRoles] divide the modules of one program among processes.
//
// The kinds of handles differ in what they promise. [Service], [Event], [Queue] and
// [Stream] cross processes. [Channel] and [Resource] stay within one. [Failure] is
// an error that keeps its type across processes. [FailureOf] returns its name, code and
// value without the type, such as for HTTP.
//
// The result of a handler decides what happens to a stored message. Nil completes
// it, [Permanent] makes it a dead letter, [RetryAfter] sets the time of the next
// attempt, also if a called service has returned it, and [HandBack] hands it back while the
// App stops. After any other error, [MaxAttempts] and [Backoff] of the handle decide.
//
// [CallFrom] returns the properties of a message to its handler. A [CallInfo] carries
// headers of a call and of its reply. [Middleware] runs around all messages. An
// [Observer] receives the events in the life of the App; [App.Health] and
// [App.Describe] report its current state. A module reads both from its [Scope].
//
// # Local calls
//
// If the provider of a service is in the same App, a call does not leave the
// process: the handler runs on the caller's goroutine. A local call behaves like
// one over the transport, with these differences only:
//
//   - The caller waits for the handler itself, whose context ends with the
//     caller's. A handler that ignores its context delays its caller, which then
//     gets DeadlineExceeded or Canceled.
//   - The transport's payload limit does not apply.
//   - runtime.Goexit in a handler ends its caller. (Over the transport it ends the
//     receiver, if that handles one message at a time.)
//   - While a module stops, local calls reach it until its Stop has returned.
//
// [NoLocalCalls] disables local calls.
//
// # Wire format
//
// Subjects are services.<name>, queues.<name>, events.<name> and streams.<name>,
// with ._k.<key> at the end for a keyed handle, all after an optional [Namespace].
// With [Formerly] <name> is the first name of the handle.
// The log of a stored handle is named like its subject with "_" for ".", such as
// queues_orders_receipts.
//
// A body holds the codec's bytes and nothing else, and no header is required. A
// message without a content type is JSON, or bytes if the codec of its handle is Raw. A
// reply has the content type of its request. So a plain NATS client can call a service with JSON and read the reply.
//
// docs/clients.md describes the messages for clients in other languages, with code:
// subjects, headers, errors, streams and consumers, and NATS service discovery.
//
// # Concurrency
//
// Handles, Scopes, Apps, bound senders and errors may be used by any number of
// goroutines at once.
package mono
