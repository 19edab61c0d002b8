// Package driver makes a [transport.Transport] of a backend.
//
// A backend implements [Conn] and [Log], which contain only its own part. [New] returns a
// Transport with the rest, so that all backends behave alike:
//
//   - It validates arguments and the size of messages. The backend gets only valid
//     arguments, with defaults filled in.
//   - It refuses a log that needs more than the backend's Capabilities.
//   - It refuses calls after Close, calls whose context has ended, and calls while the
//     backend is not ready.
//   - It limits the appends that wait for their acknowledgement.
//   - It names the operation, the subject, the log and the group in every error.
//
// A Conn that is also a [transport.Preflighter] compares the needs of a program with the backend.
//
// Packages inproc and natsx are such backends. Package transporttest has the tests that
// a new one must pass.
//
// # Guarantees
//
// The comments of package transport are the specification. A backend keeps all of it
// except the list above.
//
// # Errors
//
// A backend returns a [transport.Error] with the code and the outcome that package
// transport specifies. Its text states why, and need not name the operation. Any other
// error has an unknown outcome and the code that [transport.CodeOf] returns for it. So a
// backend that waits for an answer when the context ends returns ctx.Err(), and one that
// has sent nothing yet returns a [transport.ContextError] with OutcomeNotDone.
//
// The driver does not change the errors of a Receiver or a Settler, and those for OnEnd:
// the backend names their objects itself.
//
// # Concurrency
//
// All methods may be called concurrently, also during Close. A call that begins
// immediately before Close may reach the backend afterwards: it returns [ErrClosed].
package driver
