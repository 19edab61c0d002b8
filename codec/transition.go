package codec

import (
	"errors"
	"fmt"
)

// Transition is [Upcast] for the release that brings a new version of a type, as long as the release
// before it still runs or may come back. Values of both versions are read, and what is written has
// the older version, which back makes of the newer one. The next release has Upcast in its place,
// and writes the newer version.
//
// Only the last step of a chain may be a Transition. An error or a panic of back is an error of
// Marshal.
func Transition[Old, New any](from string, convert func(Old) (New, error), back func(New) (Old, error)) Step {
	s := Upcast(from, convert)
	if back == nil {
		s.convert = nil
		return s
	}
	s.back = func(value any) (any, error) {
		old, err := back(*value.(*New))
		return &old, err
	}
	return s
}

// callBack calls back with a pointer to a value of the newer version. It returns a pointer to a value
// of the older one.
func (s *Step) callBack(value any) (old any, err error) {
	wrap := func(cause error) error { return &failedStep{"the way back to version " + s.from, cause} }
	defer catch(&err, wrap)
	if old, err = s.back(value); err != nil {
		return nil, wrap(err)
	}
	return old, nil
}

// checkTransitions reports a Transition that is not the last step.
func checkTransitions(steps []Step) error {
	for i := range steps[:len(steps)-1] {
		if s := &steps[i]; s.back != nil {
			return fmt.Errorf("the Transition from version %s is not the last step: replace it by codec.Upcast", s.from)
		}
	}
	return nil
}

// last returns the step to the newest version.
func (u *Upcasts) last() *Step { return &u.steps[len(u.steps)-1] }

// written returns the version of what is written.
func (u *Upcasts) written() int {
	if len(u.steps) > 0 && u.last().back != nil {
		return u.newest - 1
	}
	return u.newest
}

// encode encodes a value of the newest version with marshal, in the version that is written.
func (c *versioned) encode(marshal func(any) ([]byte, error), v any) ([]byte, error) {
	if c.upcasts.written() == c.upcasts.newest {
		return marshal(v)
	}
	target, err := pointee(v)
	if err != nil {
		return nil, err
	}
	last := c.upcasts.last()
	if last.makes != target.Type() {
		return nil, unencodable(c.ContentType(), target.Type(), errors.New("the upcasts make a "+last.makes.String()))
	}
	old, err := last.callBack(v)
	if err != nil {
		return nil, unencodable(c.ContentType(), target.Type(), err)
	}
	return marshal(old)
}
