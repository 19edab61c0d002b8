package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Step converts the values of one version of a type to the next version. Create one with
// [Upcast] or [Transition].
type Step struct {
	from         string
	takes, makes reflect.Type
	convert      func(old any) (any, error)   // of pointers; nil if Upcast got nil
	back         func(value any) (any, error) // of pointers; nil except for a Transition
}

// Upcast returns the step from a version of a type to the next one. The version is a whole
// number: "1" for the oldest shape of the values, "2" for the one after it. Old is the type of
// that version, and New the type of the next one. An error or a panic of convert is an [*Error].
func Upcast[Old, New any](from string, convert func(Old) (New, error)) Step {
	s := Step{from: from, takes: reflect.TypeFor[Old](), makes: reflect.TypeFor[New]()}
	if convert != nil {
		s.convert = func(old any) (any, error) {
			value, err := convert(*old.(*Old))
			return &value, err
		}
	}
	return s
}

// call calls the function of a step with a pointer to a value of its version. It returns a
// pointer to a value of the next one.
func (s *Step) call(old any) (value any, err error) {
	wrap := func(cause error) error { return &failedStep{"the upcast from version " + s.from, cause} }
	defer catch(&err, wrap)
	if value, err = s.convert(old); err != nil {
		return nil, wrap(err)
	}
	return value, nil
}

// failedStep is the cause of an error that a step returned, or of its panic.
type failedStep struct {
	what string
	err  error
}

func (e *failedStep) Error() string {
	if p, ok := e.err.(*panicked); ok {
		return fmt.Sprintf("%s panicked (%T)", e.what, p.value)
	}
	return fmt.Sprintf("%s failed (%T)", e.what, e.err)
}

func (e *failedStep) Unwrap() error { return e.err }

// Upcasts are the steps from the older versions of a type to the newest. The version of a value
// is a parameter of its content type, as in "application/json; version=2". A value without it
// has version 1. A nil *Upcasts has no steps: it knows version 1 only.
//
// The owner of the values (a handle of package mono, a bucket of package kv) encodes with the
// codec that Newest returns, and decodes each value with the one that For returns.
type Upcasts struct {
	steps          []Step // at least one
	oldest, newest int
}

// NewUpcasts returns the Upcasts of steps. Each step begins at the version and with the type at
// which the step before it ends.
func NewUpcasts(steps ...Step) (*Upcasts, error) {
	if len(steps) == 0 {
		return nil, errors.New("Upcasts without a step: leave the option out")
	}
	for i := range steps {
		s := &steps[i]
		switch {
		case s.convert == nil:
			return nil, fmt.Errorf("the upcast from version %q has no function: create it with codec.Upcast", s.from)
		case versionNumber(s.from) == 0:
			return nil, fmt.Errorf("an upcast from version %q: want a whole number from 1 to %d", s.from, maxVersion)
		case i > 0 && versionNumber(s.from) != versionNumber(steps[i-1].from)+1:
			return nil, fmt.Errorf("an upcast from version %s follows the one from version %s: want each version once, in order and without a gap", s.from, steps[i-1].from)
		case i > 0 && s.takes != steps[i-1].makes:
			return nil, fmt.Errorf("the upcast from version %s makes a %v, and the one from version %s takes a %v: want the same type", steps[i-1].from, steps[i-1].makes, s.from, s.takes)
		}
	}
	if err := checkTransitions(steps); err != nil {
		return nil, err
	}
	oldest := versionNumber(steps[0].from)
	return &Upcasts{append([]Step(nil), steps...), oldest, oldest + len(steps)}, nil
}

// Check reports a type that is not the newest one, which the last step makes.
func (u *Upcasts) Check(t reflect.Type) error {
	if u == nil {
		return nil
	}
	if last := u.last(); last.makes != t {
		return fmt.Errorf("the last upcast, from version %s, makes a %v: want a %v", last.from, last.makes, t)
	}
	return nil
}

// String lists the older versions and their types, as in "1 shop.Cart1, 2 shop.Cart2", and which of
// them a Transition writes. Two Upcasts with the same text convert the same versions.
func (u *Upcasts) String() string {
	var all []string
	if u != nil {
		for _, s := range u.steps {
			text := s.from + " " + s.takes.String()
			if s.back != nil {
				text += " (written)"
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}

// Versions returns the types of the versions that are read, by version, and the version that is
// written.
func (u *Upcasts) Versions() (types map[int]reflect.Type, written int) {
	types = make(map[int]reflect.Type)
	if u == nil {
		return types, 1
	}
	for i := range u.steps {
		types[u.oldest+i], types[u.oldest+i+1] = u.steps[i].takes, u.steps[i].makes
	}
	return types, u.written()
}

// Newest returns a codec that writes the format of c, and the version in the content type: the newest
// one, or the one before it during a [Transition]. Without steps it is c itself. It also reads the
// newest version.
func (u *Upcasts) Newest(c Codec) Codec {
	if u == nil {
		return c
	}
	return &versioned{Codec: c, upcasts: u, version: strconv.Itoa(u.newest)}
}

// For returns a codec that reads the values with the given content type, of any version. It
// writes what Newest writes. c is the codec of the media type, or was made from it by Newest or For.
//
// To read an unknown version is an [*Error] that names it: the value was written by a newer
// program, or the step from its version was removed.
func (u *Upcasts) For(contentType string, c Codec) Codec {
	if v, ok := c.(*versioned); ok {
		c = v.Codec
	}
	version := versionOf(contentType)
	if u == nil {
		if version == firstVersion {
			return c
		}
		u = noUpcasts
	}
	v := &versioned{Codec: c, upcasts: u, version: version}
	switch n := versionNumber(version); {
	case n == 0:
		v.unknown = problemf("the version %.20q is not a whole number: this program reads %d to %d", version, u.oldest, u.newest)
	case n > u.newest:
		v.unknown = problemf("version %d is newer than %d, the newest that this program reads: use the release that wrote it, or a later one; it can write the older version with codec.Transition", n, u.newest)
	case n < u.oldest:
		v.unknown = problemf("version %d is older than %d, the oldest that this program reads: add the upcast from version %d", n, u.oldest, n)
	default:
		v.steps = u.steps[n-u.oldest:]
	}
	return v
}

// noUpcasts has no steps: it knows version 1 only.
var noUpcasts = &Upcasts{oldest: 1, newest: 1}

// firstVersion is the version of a value whose content type has none.
const firstVersion = "1"

const maxVersion = 1_000_000_000

// versionNumber returns the number of a version, 0 if it is none.
func versionNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxVersion || strconv.Itoa(n) != text {
		return 0
	}
	return n
}

// versionOf returns the parameter version of a content type, "1" if it has none. Other
// parameters may be malformed.
func versionOf(contentType string) string {
	_, parameters, ok := strings.Cut(contentType, ";")
	if !ok {
		return firstVersion
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "version") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return firstVersion
}

// versioned is a codec that writes one version of values and reads one version of them.
type versioned struct {
	Codec
	upcasts *Upcasts
	version string  // of the values to read
	steps   []Step  // from version to the newest
	unknown problem // why values of the version cannot be read; "" if they can
}

// ContentType implements [Codec].
func (c *versioned) ContentType() string { return c.contentType(strconv.Itoa(c.upcasts.written())) }

// contentType returns that of a version. The first one is not written.
func (c *versioned) contentType(version string) string {
	if version == firstVersion {
		return c.Codec.ContentType()
	}
	return c.Codec.ContentType() + "; version=" + version
}

// CheckType implements [TypeChecker]. It also checks the types of older versions.
func (c *versioned) CheckType(t reflect.Type) error {
	checker, ok := c.Codec.(TypeChecker)
	if !ok {
		return nil
	}
	err := checker.CheckType(t)
	for _, s := range c.upcasts.steps {
		err = errors.Join(err, checker.CheckType(s.takes))
	}
	return err
}

// Marshal implements [Codec].
func (c *versioned) Marshal(v any) ([]byte, error) { return c.encode(c.Codec.Marshal, v) }

// Unmarshal implements [Codec].
func (c *versioned) Unmarshal(data []byte, v any) error {
	return c.decode(c.Codec.Unmarshal, data, v)
}

// Lend implements [Lender].
func (c *versioned) Lend(v any) ([]byte, error) {
	if lender, ok := c.Codec.(Lender); ok {
		return c.encode(lender.Lend, v)
	}
	return c.Marshal(v)
}

// Take implements [Lender].
func (c *versioned) Take(data []byte, v any) error {
	if lender, ok := c.Codec.(Lender); ok {
		return c.decode(lender.Take, data, v)
	}
	return c.Unmarshal(data, v)
}

// decode decodes a value of the version with unmarshal, and converts it to the newest one.
func (c *versioned) decode(unmarshal func([]byte, any) error, data []byte, v any) error {
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	fail := func(cause error) error {
		return undecodable(c.contentType(c.version), target.Type(), cause)
	}
	if c.unknown != "" {
		return fail(c.unknown)
	}
	if len(c.steps) == 0 {
		return unmarshal(data, v)
	}
	if makes := c.steps[len(c.steps)-1].makes; makes != target.Type() {
		return fail(problemf("the upcasts make a %v", makes))
	}
	value := reflect.New(c.steps[0].takes).Interface()
	if err := unmarshal(data, value); err != nil {
		return err
	}
	for i := range c.steps {
		if value, err = c.steps[i].call(value); err != nil {
			return fail(err)
		}
	}
	target.Set(reflect.ValueOf(value).Elem())
	return nil
}
