package codec

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Error says that bytes could not be decoded. Its text is safe to log and to
// send: it names types, fields and positions, and holds nothing of the payload
// but, for malformed JSON, the one character that is wrong.
type Error struct {
	// ContentType is that of the codec.
	ContentType string

	// Type is the Go type that was to be filled.
	Type reflect.Type

	// Offset is where in the input it went wrong, in bytes: for MessagePack where
	// the offending item begins, for malformed JSON its first wrong byte, for a JSON
	// value of the wrong type about where it ends, for one that a method of its type
	// refused where it begins. -1 when unknown.
	Offset int64

	// Path is the field, by its names on the wire, as in "lines[3].quantity"; for a
	// JSON value of the wrong type without indexes. Empty when unknown, or when it is
	// the whole value. Keys of maps are left out, since they are content.
	Path string

	// Err is the cause. Its own text may quote the payload.
	Err error
}

// Error names the content type, the Go type, and as much of the place as is
// known.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot decode %s into %v", e.ContentType, e.Type)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, " (field %s)", e.Path)
	}
	b.WriteString(": ")
	b.WriteString(reason(e.Err))
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// under puts a step in front of the path.
func (e *Error) under(step string) *Error {
	if step != "" && e.Path != "" && e.Path[0] != '[' {
		step += "."
	}
	e.Path = step + e.Path
	return e
}

// problem is a cause whose text holds nothing of the payload.
type problem string

func (p problem) Error() string { return string(p) }

func problemf(format string, args ...any) problem { return problem(fmt.Sprintf(format, args...)) }

// undecodable is an Error without a place.
func undecodable(contentType string, t reflect.Type, err error) *Error {
	return &Error{ContentType: contentType, Type: t, Offset: -1, Err: err}
}

// reason describes a cause without quoting the payload. Causes that are not
// known to be silent about it are named by their type only: the text of a
// time.ParseError, for one, is mostly the text that did not parse.
func reason(err error) string {
	switch err := err.(type) {
	case problem, *json.SyntaxError, *json.InvalidUnmarshalError, base64.CorruptInputError, *panicked:
		return err.Error()
	case *json.UnmarshalTypeError:
		return jsonMismatch(err)
	case *time.ParseError:
		return "not a time: want RFC 3339"
	case *strconv.NumError:
		return "not a number: " + err.Err.Error()
	}
	return fmt.Sprintf("a value was refused (%T)", err)
}

// jsonMismatch leaves out the literal that Value quotes after its first word.
func jsonMismatch(err *json.UnmarshalTypeError) string {
	kind, literal, _ := strings.Cut(err.Value, " ")
	switch kind {
	case "number":
		if literal != "" {
			return fmt.Sprintf("a number that does not fit %v", err.Type)
		}
	case "string", "bool", "array", "object":
	default:
		kind = "value"
	}
	return fmt.Sprintf("a JSON %s cannot become %v", kind, err.Type)
}

// panicked is the cause of an error that was a panic.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("a method of the type panicked (%T)", p.value) }

// Format adds the value and the stack to %+v.
func (p *panicked) Format(s fmt.State, verb rune) {
	fmt.Fprint(s, p.Error())
	if verb == 'v' && s.Flag('+') {
		fmt.Fprintf(s, ": %v\n%s", p.value, p.stack)
	}
}

// catchAt, deferred, turns a panic into the error of the item that begins at start.
func catchAt(start int, failure **Error) {
	if p := recover(); p != nil {
		*failure = &Error{Offset: int64(start), Err: &panicked{p, debug.Stack()}}
	}
}

// catch, deferred, turns a panic into the error that wrap makes of it.
func catch(err *error, wrap func(error) error) {
	if p := recover(); p != nil {
		*err = wrap(&panicked{p, debug.Stack()})
	}
}
