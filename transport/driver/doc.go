// Package driver makes a [transport.Transport] of a backend.
//
// A backend implements [Conn] and [Log]: what differs from other backends. [New] returns
// a Transport that does the rest, so that every backend behaves alike:
//
//   - It validates arguments, and counts messages against the payload limit. The backend
//     gets only valid ones, with defaults filled in.
//   - It refuses calls after Close, calls whose context has ended, and calls while the
//     backend is not ready.
//   - It limits the appends that wait for their acknowledgement.
//   - It names the operation, the subject, the log and the group in every error.
//
// Packages inproc and natsx are such backends. Package transporttest has the tests that
// a new one must pass.
//
// # Guarantees
//
// The comments of package transport are the specification. A backend keeps all of it,
// except for what is listed above.
//
// # Errors
//
// A backend returns a [transport.Error] with the code and the outcome that package
// transport specifies. Its text states why, and need not name the operation. Any other
// error has an unknown outcome and the code that [transport.CodeOf] returns for it. So a
// backend that waits for an answer when the context ends returns ctx.Err(), and one that
// has sent nothing yet returns a [transport.ContextError] with OutcomeNotDone.
//
// Errors that pass the Transport by (of a Receiver or a Settler, or for OnEnd) are
// complete as the backend made them.
//
// # Concurrency
//
// All methods may be called concurrently, and each other method also during Close. A
// call that was admitted immediately before Close may reach the backend after it: the
// backend returns ErrClosed.
package driver
