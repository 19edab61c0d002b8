package mono

import (
	"context"
	"fmt"
	"slices"

	"gomono.dev/transport"
)

// Propagate passes a header on. A message without the header inherits the value of its context,
// set by [WithPropagated], or the value of the message whose handler has the context. So
// the value of a first request reaches each message that follows from it, in any process: calls,
// jobs, events and stream messages, delayed ones, dead letters and their replays. [Call.Header]
// returns it on both sides, and [Propagated] returns the value of a context.
//
// choose may be nil. Otherwise it replaces the value of each message, for example if that comes
// from an unknown client and is not valid. value is "" for a message that has no value and
// inherits none. choose must return the same value for the same message, and its own results
// unchanged. It may be called concurrently, and must not read the header with [Call.Header]. With it,
// each [Event] carries its id and its sender.
//
// A value of more than 8 KiB, or one that no message of mono can have, is not passed on: it would
// make the messages that follow fail, and may come from a stranger.
//
// A local call costs nothing more: its value is found when it is asked for. All processes should
// propagate the same headers. The rules of [Header] for names and values apply. New panics on a
// bad name, and on a name that is given twice.
func Propagate(header string, choose func(c *Call, value string) string) AppOption {
	return func(o *appOptions) { o.propagated = append(o.propagated, propagation{header: header, choose: choose}) }
}

// PropagateTo passes a header on as [Propagate] does, but only to messages of the handles for which
// carries returns true. Other messages have the header only if their sender sets it, and what
// follows from them inherits nothing. So a header that must not be stored reaches calls only.
//
// carries must return the same for the same handle at any time, in all processes. It is called for
// each message, and may be called concurrently.
func PropagateTo(header string, carries func(h Handle) bool) AppOption {
	if carries == nil {
		panic(fmt.Sprintf("mono.PropagateTo(%q, nil): want a function; Propagate reaches all handles", header))
	}
	return func(o *appOptions) {
		o.propagated = append(o.propagated, propagation{header: header, carries: carries})
	}
}

// WithPropagated returns a context whose messages have a value for a header of [Propagate],
// unless they set another. It replaces the value of the message whose handler has ctx. A value ""
// ends the inheritance.
func WithPropagated(ctx context.Context, header, value string) context.Context {
	return context.WithValue(ctx, propagatedKey{}, &propagatedValue{header, value, propagatedValues(ctx)})
}

// Propagated returns the value that a message sent with ctx inherits for a header of [Propagate],
// "" if there is none.
func Propagated(ctx context.Context, header string) string {
	for v := propagatedValues(ctx); v != nil; v = v.before {
		if v.header == header {
			return v.value
		}
	}
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		if value := c.Header(header); isInheritable(header, value) {
			return value
		}
	}
	return ""
}

// maxInherited is the maximum length of a value that is passed on, in bytes.
const maxInherited = 8 << 10

// isInheritable reports whether the value of a received message is passed on.
func isInheritable(header, value string) bool {
	return len(value) <= maxInherited && transport.Header{{Name: header, Value: value}}.Validate() == nil
}

// propagation is a header that is passed on.
type propagation struct {
	header  string
	choose  func(*Call, string) string // nil: the value as it is
	carries func(Handle) bool          // nil: all handles
}

// reaches reports whether messages of a handle inherit the header.
func (p *propagation) reaches(d *declaration) bool { return p.carries == nil || p.carries(d) }

// propagatedValue is a value in a context. The key is one for all headers, so that a look-up
// allocates nothing.
type propagatedValue struct {
	header, value string
	before        *propagatedValue
}

type propagatedKey struct{}

func propagatedValues(ctx context.Context) *propagatedValue {
	v, _ := ctx.Value(propagatedKey{}).(*propagatedValue)
	return v
}

// propagates reports whether the App passes on all of the values to messages of a handle.
func (o *appOptions) propagates(v *propagatedValue, d *declaration) bool {
	for ; v != nil; v = v.before {
		if !slices.ContainsFunc(o.propagated, func(p propagation) bool { return p.header == v.header && p.reaches(d) }) {
			return false
		}
	}
	return true
}

// inherit adds the values of ctx to the header of an outgoing message of a handle that has none.
func (o *appOptions) inherit(ctx context.Context, d *declaration, header transport.Header) transport.Header {
	for i := range o.propagated {
		p := &o.propagated[i]
		if header.Has(p.header) || !p.reaches(d) {
			continue
		}
		if value := Propagated(ctx, p.header); value != "" {
			header.Add(p.header, value)
		}
	}
	return header
}

// propagated returns the value of a header; value is the one that c carries.
func (c *Call) propagated(header, value string) string {
	for _, p := range c.appOptions().propagated {
		if p.header != header {
			continue
		}
		if value == "" && c.at != nil && c.local != nil && p.reaches(c.decl) {
			value = Propagated(c.local.Parent(), header)
		}
		if p.choose != nil {
			return p.choose(c, value)
		}
	}
	return value
}

// appOptions returns the options of the App of a Call that is not empty.
func (c *Call) appOptions() *appOptions {
	if c.at != nil {
		return &c.at.in.app.options
	}
	return &c.via.in.app.options
}

// chooses reports whether the value of a header is chosen for messages of a handle, which may depend
// on their ids.
func (o *appOptions) chooses(d *declaration) bool {
	return slices.ContainsFunc(o.propagated, func(p propagation) bool { return p.choose != nil && p.reaches(d) })
}

// propagatedHeaders returns the names of the headers.
func (o *appOptions) propagatedHeaders() (names []string) {
	for _, p := range o.propagated {
		names = append(names, p.header)
	}
	return names
}

// checkPropagated reports a bad header of Propagate.
func (o *appOptions) checkPropagated() error {
	for i, p := range o.propagated {
		if err := checkFields(transport.Header{{Name: p.header, Value: "x"}}); err != nil {
			return fmt.Errorf("Propagate: %w", err)
		}
		if slices.ContainsFunc(o.propagated[:i], func(other propagation) bool { return other.header == p.header }) {
			return fmt.Errorf("Propagate(%q) is given twice: leave one out", p.header)
		}
	}
	return nil
}
