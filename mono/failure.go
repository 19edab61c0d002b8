package mono

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"reflect"

	"gomono.dev/codec"
)

// Failure is an error that a service declares as part of its contract: a code, a name,
// and a value with details. It keeps its type across processes.
//
//	var OutOfStock = mono.NewFailure[Stock]("orders.out-of-stock", mono.FailedPrecondition)
//
//	return PlaceReply{}, OutOfStock.With(Stock{Left: 2})       // in the handler
//
//	if errors.Is(err, orders.OutOfStock) { … }                 // at the caller
//	if stock, ok := orders.OutOfStock.Match(err); ok { … }
//
// The value is public. It is sent as JSON, whatever the codec of the service, so that
// [FailureOf] needs no type. A failure that is only the cause of an [Error], as with
// Errorf and %w, stays in the process like every cause.
//
// A Failure is itself an error, with the zero value of T: return OutOfStock is
// return OutOfStock.With(Stock{}).
type Failure[T any] struct{ handle }

// FailureOption fits NewFailure.
//
// The option is [HTTPStatus].
type FailureOption interface {
	apply(*config) error
	forFailure()
}

// NewFailure declares a failure. It panics on a bad name, an empty code, a bad option, or
// a type that JSON cannot encode.
func NewFailure[T any](name string, code Code, opts ...FailureOption) Failure[T] {
	t := reflect.TypeFor[T]()
	return Failure[T]{handle{declare(KindFailure, name, append([]FailureOption{
		set(code != "", func(c *config) { c.Code = code }, "the code is empty: want one such as mono.FailedPrecondition"),
		option(func(*config) error { return checkType(codec.JSON, t) }),
	}, opts...), t)}}
}

// HTTPStatus sets the HTTP status of a failure, from 400 to 599. By default its code
// determines it ([Code.HTTPStatus]). [FailureOf] returns it, also in other processes.
func HTTPStatus(status int) FailureOption {
	return set(isErrorStatus(status), func(c *config) { c.HTTPStatus = status }, "HTTPStatus(%d): want 400 to 599", status)
}

// isErrorStatus reports whether an HTTP status means an error.
func isErrorStatus(status int) bool { return 400 <= status && status <= 599 }

// Error returns the text of the failure with the zero value of T.
func (f Failure[T]) Error() string { return f.Unwrap().Error() }

// Unwrap returns the failure with the zero value of T. So errors.Is, CodeOf and Match
// treat a Failure like a result of With.
func (f Failure[T]) Unwrap() error {
	var zero T
	return f.With(zero)
}

// With returns an error of this failure with a value. Its text is the code and the
// failure's name, followed by the value's text if T is an error.
func (f Failure[T]) With(value T) error {
	text := f.decl.name
	if e, ok := any(value).(error); ok && !isNil(e) {
		if detail := e.Error(); detail != "" {
			text += ": " + detail
		}
	}
	return &failed{
		coded:  &Error{Code: f.decl.config.Code, Outcome: OutcomeAnswered, Message: text},
		name:   f.decl.name,
		status: f.decl.config.HTTPStatus,
		value:  &value,
	}
}

// Match returns the value of the failure that err is or wraps. It returns false for an
// error that is not this failure. It also returns false if the value from another
// process is not a T, or was omitted because it was too large for the transport:
// errors.Is is true then.
func (f Failure[T]) Match(err error) (T, bool) {
	var value T
	e, ok := errors.AsType[*failed](err)
	if !ok || e.name != f.decl.name {
		return value, false
	}
	if e.value == nil {
		return value, e.codec != nil && !e.bare && e.codec.Unmarshal(e.body, &value) == nil
	}
	v, ok := e.value.(*T)
	if !ok {
		return value, false
	}
	return *v, true
}

// FailureInfo describes a failure without its type. It marshals to JSON, for the body of
// an HTTP response.
type FailureInfo struct {
	Name string `json:"name"` // of the declaration, such as orders.out-of-stock
	Code Code   `json:"code"`

	// Value is the value as JSON. It is nil if the value cannot be encoded, or was too large
	// for the transport. mono sends values as JSON. If a client in another language has sent
	// another encoding, Value is what the codec of that content type decodes without the
	// type, or nil if this App has no such codec or it needs the type.
	Value json.RawMessage `json:"value,omitempty"`

	// Status is the HTTP status: the declared one (HTTPStatus), or the default of the code.
	Status int `json:"-"`
}

// FailureOf returns the failure that err is, wraps or joins, without its type. So one
// function maps the failures of all modules to HTTP, even if this program does not declare
// them. Of several joined failures it returns the first one.
//
// The result is the same in the process of the handler and at its callers. So a failure
// that is only the cause of an [Error] does not count, although errors.Is finds it: the
// cause stays in the process. FailureOf returns false for it, and for every other error.
func FailureOf(err error) (FailureInfo, bool) {
	f := failureIn(err)
	if f == nil {
		return FailureInfo{}, false
	}
	return FailureInfo{Name: f.name, Code: f.coded.Code, Value: f.asJSON(), Status: cmp.Or(f.status, f.coded.Code.HTTPStatus())}, true
}

// failureIn returns the first failure in the tree of err, or nil. It does not look for
// the causes of an Error.
func failureIn(err error) *failed {
	switch e := err.(type) {
	case *failed:
		return e
	case *Error:
		return nil
	case interface{ Unwrap() error }:
		return failureIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if f := failureIn(part); f != nil {
				return f
			}
		}
	}
	return nil
}

// failed is the error of a failure. At its origin it holds the value. At its
// destination it holds the bytes, which Match decodes, since only Match knows the type.
type failed struct {
	coded  *Error
	name   string
	status int // the declared HTTP status, 0 for the default of the code
	value  any // pointer to the value

	codec       codec.Codec // nil: the body cannot be decoded here
	contentType string
	body        []byte
	bare        bool // its value was too large for the transport
}

func (e *failed) Error() string { return e.coded.Error() }

// Unwrap makes errors.As find the *Error.
func (e *failed) Unwrap() error { return e.coded }

// Is reports whether target is the Failure of this error.
func (e *failed) Is(target error) bool {
	h, ok := target.(Handle)
	return ok && h.Kind() == KindFailure && h.Name() == e.name
}

// encode returns the encoded value and its content type, "" if it was too large. A value
// from another process is returned unchanged.
func (e *failed) encode() (body []byte, contentType string, err error) {
	if e.value == nil {
		return e.body, e.contentType, nil
	}
	body, err = codec.JSON.Marshal(e.value)
	return body, codec.JSON.ContentType(), err
}

// asJSON returns the value as JSON, or nil.
func (e *failed) asJSON() json.RawMessage {
	value := e.value
	if value == nil {
		switch {
		case e.bare || e.codec == nil:
			return nil
		case formatOf(e.codec) == codec.JSON.ContentType():
			if !json.Valid(e.body) {
				return nil
			}
			return bytes.Clone(e.body)
		}
		var untyped any
		if e.codec.Unmarshal(e.body, &untyped) != nil {
			return nil
		}
		value = &untyped
	}
	text, err := codec.JSON.Marshal(value)
	if err != nil {
		return nil
	}
	return text
}
