package transport

import "cmp"

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

var statuses = map[Code]int{
	Canceled: 499, InvalidArgument: 400, FailedPrecondition: 400, OutOfRange: 400, DeadlineExceeded: 504,
	NotFound: 404, AlreadyExists: 409, Aborted: 409, PermissionDenied: 403, ResourceExhausted: 429,
	Unimplemented: 501, Unavailable: 503, Unauthenticated: 401,
}

// HTTPStatus returns the HTTP status that the Connect protocol assigns to the code. It is
// 500 for any code other than the sixteen.
func (c Code) HTTPStatus() int { return cmp.Or(statuses[c], 500) }
