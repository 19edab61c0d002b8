package kv

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

type declaration struct {
	name    string
	place   string // file and line
	value   reflect.Type
	options bucketOptions
}

// codec returns the codec of new values.
func (d *declaration) codec(e transport.Environment) codec.Codec {
	c := d.options.codec
	if c == nil {
		c = e.Codec
	}
	return d.options.upcasts.Newest(c)
}

// check reports a mistake that is known without a request. It is [transport.Component.Check].
func (s *store) check(e transport.Environment) error {
	if err := checkType(s.decl.codec(e), s.decl.value); err != nil {
		return notDone(transport.InvalidArgument, "%w (declared at %s)", err, s.decl.place)
	}
	if _, err := backendOf(e.Transport); err != nil || e.Shared == nil {
		return err
	}
	for _, key := range []any{declaredKey{s.decl.name}, storedKey{s.decl.storedName(e.Namespace)}} {
		is, _ := e.Shared.LoadOrStore(key, s.decl)
		first := is.(*declaration)
		if how := first.differs(s.decl); how != "" {
			return notDone(transport.FailedPrecondition, "it is declared twice %s, at %s and at %s: declare it once and import it", how, first.place, s.decl.place)
		}
	}
	return nil
}

// The keys of the first declaration in an Environment, by its own name and by that of the
// stored bucket.
type (
	declaredKey struct{ name string }
	storedKey   struct{ name string }
)

// checkType reports a type that a codec can never encode, if the codec can check that.
func checkType(c codec.Codec, t reflect.Type) (err error) {
	checker, ok := c.(codec.TypeChecker)
	if !ok {
		return nil
	}
	defer contain(&err, c.ContentType())
	return checker.CheckType(t)
}

// differs describes how another declaration of the same bucket differs, "" if it does not. A
// different name may have a different StoredAs.
func (d *declaration) differs(other *declaration) string {
	if d.value != other.value {
		return fmt.Sprintf("with values of type %v and of type %v", d.value, other.value)
	}
	a, b := d.options.settings(), other.options.settings()
	names := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(names)
	for _, name := range names {
		if a[name] != b[name] && (name != "StoredAs" || d.name == other.name) {
			return fmt.Sprintf("with different options: %s %q and %q", name, a[name], b[name])
		}
	}
	return ""
}

// settings returns the options that are set, by name.
func (o *bucketOptions) settings() map[string]string {
	all := make(map[string]string)
	set := func(name string, value any) {
		if v := reflect.ValueOf(value); !v.IsZero() {
			all[name] = fmt.Sprint(value)
		}
	}
	set("Description", o.Description)
	set("History", o.History)
	set("TTL", o.TTL)
	set("MaxValue", o.MaxValue)
	set("MaxBytes", o.MaxBytes)
	set("Memory", o.Memory)
	set("Replicas", o.Replicas)
	set("Compression", o.Compressed)
	set("PlacedIn", o.Placement)
	set("RepublishTo", o.Republish)
	set("MirrorOf", o.Mirror)
	set("SourcedFrom", o.Sources)
	set("StoredAs", o.storedAs)
	set("Existing", o.Existing)
	if o.codec != nil {
		set("Codec", nameOf(o.codec))
	}
	set("Upcasts", o.upcasts)
	if o.cached {
		set("Cached", selectors(o.cachedKeys).String())
		set("MaxStale", o.maxStale)
	}
	return all
}

// nameOf returns the String of a codec, which has its options, or else its content type.
func nameOf(c codec.Codec) string {
	if named, ok := c.(fmt.Stringer); ok {
		return named.String()
	}
	return c.ContentType()
}
