package transport

// Code classifies an error. The codes are those of gRPC and Connect, by their
// names in the Connect protocol; success has none. Any other text is a code too:
// one that a later version, or somebody else, has sent keeps its name.
type Code string

// The sixteen codes.
const (
	Canceled           Code = "canceled"            // the caller gave up
	Unknown            Code = "unknown"             // an error that says no more
	InvalidArgument    Code = "invalid_argument"    // the message is wrong, whatever the state of the system
	DeadlineExceeded   Code = "deadline_exceeded"   // time ran out
	NotFound           Code = "not_found"           // what was asked for is not there
	AlreadyExists      Code = "already_exists"      // what was to be made is there
	PermissionDenied   Code = "permission_denied"   // the caller may not do this
	ResourceExhausted  Code = "resource_exhausted"  // a quota or a bound is reached
	FailedPrecondition Code = "failed_precondition" // the system is not in the state that this needs
	Aborted            Code = "aborted"             // lost a race; try again from the start
	OutOfRange         Code = "out_of_range"        // past the end of what there is
	Unimplemented      Code = "unimplemented"       // nobody can do this here
	Internal           Code = "internal"            // a bug
	Unavailable        Code = "unavailable"         // nobody serves this now; try again later
	DataLoss           Code = "data_loss"           // stored data is gone or damaged
	Unauthenticated    Code = "unauthenticated"     // the caller did not prove who he is
)

// HTTPStatus is the HTTP status that the Connect protocol gives to a code. A code
// that is none of the sixteen is 500.
func (c Code) HTTPStatus() int {
	switch c {
	case Canceled:
		return 499
	case InvalidArgument, FailedPrecondition, OutOfRange:
		return 400
	case DeadlineExceeded:
		return 504
	case NotFound:
		return 404
	case AlreadyExists, Aborted:
		return 409
	case PermissionDenied:
		return 403
	case ResourceExhausted:
		return 429
	case Unimplemented:
		return 501
	case Unavailable:
		return 503
	case Unauthenticated:
		return 401
	}
	return 500
}
