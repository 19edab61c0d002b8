package transport

// Code classifies an error. The codes are those of gRPC and Connect, spelled as in the
// Connect protocol. Success has no code. Any other text is also a valid code: a code from
// a later version or from another implementation is kept as it is.
type Code string

// The sixteen codes.
const (
	Canceled           Code = "canceled"            // the caller canceled the call
	Unknown            Code = "unknown"             // an error without a more specific code
	InvalidArgument    Code = "invalid_argument"    // the message is invalid, whatever the state of the system
	DeadlineExceeded   Code = "deadline_exceeded"   // the deadline expired
	NotFound           Code = "not_found"           // the requested entity does not exist
	AlreadyExists      Code = "already_exists"      // the entity to create already exists
	PermissionDenied   Code = "permission_denied"   // the caller does not have permission
	ResourceExhausted  Code = "resource_exhausted"  // a quota or a limit is exhausted
	FailedPrecondition Code = "failed_precondition" // the system is not in the state that the operation requires
	Aborted            Code = "aborted"             // the operation lost a race; retry from the start
	OutOfRange         Code = "out_of_range"        // the position is past the end
	Unimplemented      Code = "unimplemented"       // the operation is not supported
	Internal           Code = "internal"            // a bug
	Unavailable        Code = "unavailable"         // the service is unavailable; retry later
	DataLoss           Code = "data_loss"           // stored data is lost or damaged
	Unauthenticated    Code = "unauthenticated"     // the caller is not authenticated
)

// HTTPStatus returns the HTTP status that the Connect protocol assigns to the code. It is
// 500 for any code other than the sixteen.
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
