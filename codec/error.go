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

// Error is the failure to decode bytes. Its text is safe to log and to send: it names types,
// fields and positions, and contains nothing of the payload except, for malformed JSON, the one
// wrong character, and with [DisallowUnknownFields] the name of an unknown field.
type Error struct {
	// ContentType is the content type of the codec.
	ContentType string

	// Type is the Go type that was to be filled.
	Type reflect.Type

	// Offset is the place of the failure in the input, in bytes. For MessagePack it is
	// the beginning of the offending item, for malformed JSON the first wrong byte. For
	// a JSON value of the wrong type it is about the end of the value, and for a value
	// that a method of its type refused, and for an unknown field, its beginning. It is -1 if
	// unknown.
	Offset int64

	// Path is the field, by its encoded names, as in "lines[3].quantity"; for a JSON value of
	// the wrong type without indexes. It is empty if unknown, or if it is the whole value. Keys
	// of maps are left out, since they are content.
	Path string

	// Err is the cause. Its text may quote the payload.
	Err error
}

// Error names the content type, the Go type, and the known part of the place.
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

// under prepends a step to the path.
func (e *Error) under(step string) *Error {
	if step != "" && e.Path != "" && e.Path[0] != '[' {
		step += "."
	}
	e.Path = step + e.Path
	return e
}

// problem is a cause whose text contains nothing of the payload.
type problem string

func (p problem) Error() string { return string(p) }

func problemf(format string, args ...any) problem { return problem(fmt.Sprintf(format, args...)) }

// undecodable is an Error without a place.
func undecodable(contentType string, t reflect.Type, err error) *Error {
	return &Error{ContentType: contentType, Type: t, Offset: -1, Err: err}
}

// reason describes a cause without quoting the payload. Causes that may quote it are named by
// their type only: the text of a time.ParseError, for example, is mostly the text that did not
// parse.
func reason(err error) string {
	switch err := err.(type) {
	case problem, unknownField, *json.SyntaxError, *json.InvalidUnmarshalError, base64.CorruptInputError, *panicked, *failedStep:
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

// catch, deferred, turns a panic into the error that wrap returns for it.
func catch(err *error, wrap func(error) error) {
	if p := recover(); p != nil {
		*err = wrap(&panicked{p, debug.Stack()})
	}
}
