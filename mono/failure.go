package mono

import (
	"errors"
	"fmt"
	"reflect"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// Failure is an error that a service declares as part of its contract: a code,
// a name, and a value that says more. It crosses processes typed.
//
//	var OutOfStock = mono.NewFailure[Stock]("orders.out-of-stock", mono.FailedPrecondition)
//
//	return PlaceReply{}, OutOfStock.With(Stock{Left: 2})       // in the handler
//
//	if errors.Is(err, orders.OutOfStock) { … }                 // at the caller
//	if stock, ok := orders.OutOfStock.Match(err); ok { … }
//
// A Failure is itself an error only so that errors.Is accepts it; return what
// With makes.
type Failure[T any] struct{ decl *declaration }

// NewFailure declares a failure. It panics on a bad name, an empty code, and a
// type that JSON cannot carry.
func NewFailure[T any](name string, code Code) Failure[T] {
	t := reflect.TypeFor[T]()
	return Failure[T]{declare(KindFailure, name, []option{
		set(code != "", func(c *config) { c.Code = code }, "the code is empty: want one such as mono.FailedPrecondition"),
		func(*config) error { return checkType(codec.JSON, t) },
	}, t)}
}

// Name returns the name of the failure.
func (f Failure[T]) Name() string { return f.decl.name }

// Kind returns KindFailure.
func (f Failure[T]) Kind() Kind { return KindFailure }

func (f Failure[T]) declared() *declaration { return f.decl }

// Error returns the name of the failure.
func (f Failure[T]) Error() string { return f.decl.name }

// With returns the error that says that this failure happened. Its text is the
// failure's name, and value's own where T is an error.
func (f Failure[T]) With(value T) error {
	text := f.decl.name
	if e, ok := any(value).(error); ok {
		text += ": " + e.Error()
	}
	return &failed{
		coded: &Error{Code: f.decl.config.Code, Outcome: OutcomeAnswered, Message: text},
		name:  f.decl.name,
		value: &value,
	}
}

// Match returns the value of the failure that err is or wraps. It is false for
// an error that is not this failure. It is also false if the value, from another
// process, is not a T, or was too large for the transport and left out: errors.Is is
// true then.
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

// failed is a failure that happened. Where it was made it has a value; where it
// arrived it has the bytes, which Match decodes, since only it knows the type.
type failed struct {
	coded *Error
	name  string
	value any // pointer to the value

	codec       codec.Codec // nil: nobody here can read the body
	contentType string
	body        []byte
	bare        bool // its value was too large to be carried
}

func (e *failed) Error() string { return e.coded.Error() }

// Unwrap makes errors.As find the *Error within.
func (e *failed) Unwrap() error { return e.coded }

// Is matches the Failure that this is.
func (e *failed) Is(target error) bool {
	h, ok := target.(Handle)
	return ok && h.Kind() == KindFailure && h.Name() == e.name
}

// answer turns the error of a handler into what crosses the wire. The value of a
// failure is encoded with k, the codec of the request, or in JSON where that is
// for bytes only.
func answer(err error, k codec.Codec) (transport.Header, []byte) {
	e := &Error{Code: CodeOf(err), Outcome: OutcomeAnswered, Message: err.Error()}
	if coded, ok := errors.AsType[*Error](err); ok && err.Error() == coded.Error() {
		e.Message = coded.Message
	}
	if late, ok := err.(*overtime); ok {
		e.Outcome = late.coded.Outcome
	}
	if k.ContentType() == codec.Raw.ContentType() {
		k = codec.JSON
	}
	var header transport.Header
	var body []byte
	if f, ok := errors.AsType[*failed](err); ok {
		var encodeErr error
		if body, encodeErr = f.encode(k); encodeErr != nil {
			e = &Error{Code: Internal, Outcome: OutcomeAnswered, Message: fmt.Sprintf("failure %s: %v", f.name, encodeErr)}
		} else {
			header.Set(transport.HeaderFailure, f.name)
			if !f.bare {
				header.Set(transport.HeaderContentType, f.media(k))
			}
		}
	}
	header.SetError(e)
	return header, body
}

// cutError leaves out a part of an error that is to be sent, and reports whether there
// was one: first the value of its failure, with its content type, then three quarters
// of its text at a time, and the name of its failure last.
func cutError(reply *transport.Message) bool {
	text := reply.Header.Get(transport.HeaderMessage)
	switch {
	case len(reply.Body) > 0 || reply.Header.Has(transport.HeaderContentType):
		reply.Body = nil
		reply.Header.Del(transport.HeaderContentType)
	case text != "":
		reply.Header.Set(transport.HeaderMessage, cutText(text, len(text)/4))
	case reply.Header.Has(transport.HeaderFailure):
		reply.Header.Del(transport.HeaderFailure)
	default:
		return false
	}
	return true
}

// cutText shortens an encoded text to at most limit bytes.
func cutText(encoded string, limit int) string {
	return transport.EncodeText(transport.DecodeText(encoded), limit)
}

// encode returns the value as bytes. One that came from elsewhere passes through
// as it came.
func (e *failed) encode(k codec.Codec) ([]byte, error) {
	if e.value == nil {
		return e.body, nil
	}
	return k.Marshal(e.value)
}

// media is the content type of what encode returns.
func (e *failed) media(k codec.Codec) string {
	if e.value == nil && e.contentType != "" {
		return e.contentType
	}
	return k.ContentType()
}

// verdict returns the error that a reply carries, or nil.
func verdict(m *transport.Message, codecs codecs, own codec.Codec) error {
	e := transport.ErrorFromHeader(m.Header)
	if e == nil {
		return nil
	}
	name := m.Header.Get(transport.HeaderFailure)
	if name == "" {
		return e
	}
	k, err := codecs.of(m.Header, own)
	if err != nil {
		k = nil // nobody here can read the value; the failure is what it is
	}
	f := &failed{coded: e, name: name, codec: k, contentType: m.Header.Get(transport.HeaderContentType), body: m.Body}
	f.bare = f.contentType == "" && len(f.body) == 0
	if f.contentType == "" && k != nil {
		f.contentType = k.ContentType()
	}
	return f
}
