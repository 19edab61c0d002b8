package mono

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"gomono.dev/codec"
)

// Handle is a name that modules share. Service, Queue, Event, Stream, Channel, Resource
// and Failure implement it; no other type can.
type Handle interface {
	// Name returns the name given at the declaration.
	Name() string

	// Address returns the name in subjects and in the names of logs: that of [Formerly],
	// or else Name.
	Address() string

	// Kind returns the kind of handle.
	Kind() Kind

	declared() *declaration
}

// Kind is a kind of handle.
type Kind string

// The kinds of handles.
const (
	KindService  Kind = "service"
	KindQueue    Kind = "queue"
	KindEvent    Kind = "event"
	KindStream   Kind = "stream"
	KindChannel  Kind = "channel"
	KindResource Kind = "resource"
	KindFailure  Kind = "failure"
)

// usage returns one of two usages: one for a kind of handle that a single module
// provides, or one for a kind that any number of modules share.
func (k Kind) usage(provided, shared Usage) Usage {
	if k == KindService || k == KindResource {
		return provided
	}
	return shared
}

// hasMessages reports whether handles of the kind carry messages.
func (k Kind) hasMessages() bool {
	return k == KindService || k == KindQueue || k == KindEvent || k == KindStream
}

// handle is what all handles are made of.
type handle struct{ decl *declaration }

// Name returns the name given at the declaration.
func (h handle) Name() string { return h.decl.name }

// Address returns the name in subjects and in the names of logs: that of [Formerly], or
// else Name.
func (h handle) Address() string { return h.decl.Address() }

// Kind returns the kind of handle.
func (h handle) Kind() Kind { return h.decl.kind }

func (h handle) declared() *declaration { return h.decl }

// Same reports whether two handles have the same kind and the same name. Use it instead
// of ==, which also compares the options set by With.
func Same(a, b Handle) bool {
	return a.declared().same(b.declared())
}

// declaration is the immutable part of a handle, created by the declaration. It holds
// no connection, channel, timer or lock.
type declaration struct {
	kind   Kind
	name   string
	types  []reflect.Type
	config config
	place  string           // file:line
	key    func(any) string // of a keyed handle; its argument is a pointer to the payload
}

// identity identifies a handle: two declarations with the same identity are the same
// handle.
type identity struct {
	kind Kind
	name string
}

func (id identity) String() string { return string(id.kind) + " " + id.name }

func (d *declaration) Name() string           { return d.name }
func (d *declaration) Address() string        { return cmp.Or(d.config.Formerly, d.name) }
func (d *declaration) Kind() Kind             { return d.kind }
func (d *declaration) declared() *declaration { return d }
func (d *declaration) identity() identity     { return identity{d.kind, d.name} }
func (d *declaration) String() string         { return d.identity().String() }

// renamed returns the name, if it is not the address.
func (d *declaration) renamed() string {
	if d.config.Formerly == "" {
		return ""
	}
	return d.name
}

// address identifies a handle among programs, whose releases may have different names for it.
func (d *declaration) address() identity { return identity{d.kind, d.Address()} }

// names returns what no other handle may have as its name or its address.
func (d *declaration) names() []identity { return []identity{d.identity(), d.address()} }

// formerly describes the option Formerly as the declaration has it.
func (d *declaration) formerly() string {
	return written("Formerly", reflect.ValueOf(d.config.Formerly))
}

// same reports whether other is a declaration of the same handle.
func (d *declaration) same(other *declaration) bool { return d.identity() == other.identity() }

// stored reports whether messages of the handle are kept until they are handled.
func (d *declaration) stored() bool {
	switch d.kind {
	case KindQueue:
		return !d.config.NonPersistent
	case KindStream:
		return true
	}
	return d.config.Durable
}

// transient reports whether the handle is an event that is not stored.
func (d *declaration) transient() bool { return d.kind == KindEvent && !d.config.Durable }

// differs describes how two declarations of one handle contradict each other. It
// returns "" if they do not.
func (d *declaration) differs(other *declaration) string {
	if d == other {
		return ""
	}
	here, there := d.config.differs(&other.config)
	if !slices.Equal(d.types, other.types) {
		here, there = "with "+typeList(d.types), "with "+typeList(other.types)
	}
	if here == there {
		return ""
	}
	return fmt.Sprintf("is declared twice, %s at %s and %s at %s: declare it once and import it", here, d.place, there, other.place)
}

func typeList(types []reflect.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// declare creates the declaration of a handle. The New functions call it for user code.
// A mistake is one in the program's text, so declare panics.
func declare[O interface{ apply(*config) error }](kind Kind, name string, opts []O, types ...reflect.Type) *declaration {
	d := &declaration{kind: kind, name: name, types: types, place: callerOutside()}
	err := checkName(name)
	for _, o := range opts {
		err = errors.Join(err, applyTo(&d.config, o))
	}
	if name == d.config.Formerly {
		err = errors.Join(err, fmt.Errorf("Formerly(%q) is its present name: give the name before, or leave the option out", name))
	}
	err = errors.Join(err, d.config.check(kind), d.config.Upcasts.Check(types[0]), codec.CheckAliases(d.config.Upcasts.Newest(d.config.Codec), types...))
	if err != nil {
		panic(fmt.Sprintf("mono: %s %q declared at %s: %v", kind, name, d.place, err))
	}
	return d
}

// callerOutside returns the file and line of the nearest caller outside this package's
// non-test code.
func callerOutside() string {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "gomono.dev/mono.") || !more {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}

// checkName reports an invalid name. A name consists of dot-separated tokens of
// lower-case letters and digits, which single hyphens may divide.
func checkName(name string) error {
	if name == "" {
		return errors.New("the name is empty: want dot-separated tokens such as orders.place")
	}
	if len(name) > maxName {
		return fmt.Errorf("the name has %d bytes: at most %d are allowed", len(name), maxName)
	}
	for token := range strings.SplitSeq(name, ".") {
		if !isToken(token) {
			return fmt.Errorf("invalid name %q: want dot-separated tokens of lower-case letters, digits and single hyphens, such as orders.out-of-stock", name)
		}
	}
	return nil
}

// maxName leaves room for a namespace, a key and a group in a subject.
const maxName = 200

// isGroup reports whether a group or a module can have this name.
func isGroup(name string) bool { return isToken(name) && len(name) <= maxName }

// isToken reports whether s matches [a-z0-9]+(-[a-z0-9]+)*.
func isToken(s string) bool {
	hyphen := true
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			hyphen = false
		case r == '-' && !hyphen:
			hyphen = true
		default:
			return false
		}
	}
	return !hyphen
}
