package codec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Option changes how a codec decodes: [Aliases] and [DisallowUnknownFields]. It changes nothing
// that the codec writes.
type Option func(*options)

// NewJSON returns [JSON] with options. It panics if an option is invalid.
func NewJSON(opts ...Option) Codec {
	o := newOptions("NewJSON", opts)
	if o.none() {
		return JSON
	}
	c := &jsonWith{options: o}
	o.checkAliases("NewJSON", jsonMethodSet, func(t reflect.Type) error {
		_, err := c.names(t)
		return err
	})
	return c
}

// NewMessagePack returns [MessagePack] with options. It panics if an option is invalid.
func NewMessagePack(opts ...Option) Codec {
	o := newOptions("NewMessagePack", opts)
	if o.none() {
		return MessagePack
	}
	c := &msgpackWith{options: o}
	o.checkAliases("NewMessagePack", msgpackMethodSet, func(t reflect.Type) error {
		_, err := c.shapeOf(t)
		return err
	})
	return c
}

// Aliases reads a field of the struct T by other names, too. The field is given by its encoded
// name, which its tag sets, and which alone is written. So a field is renamed in three releases,
// each of which can run beside the one before it:
//
//	`json:"zip"`,      Aliases[Address]("zip", "postcode")  // reads both names, writes the old one
//	`json:"postcode"`, Aliases[Address]("postcode", "zip")  // reads both names, writes the new one
//	`json:"postcode"`                                       // once nothing with the old name is left
//
// The option applies wherever a value of T is decoded, also if T is embedded. A message with two
// names of a field is read as if it had the field twice. JSON ignores the case of an alias, as it
// does for names. A type that has methods for decoding cannot have aliases.
//
// An alias that is another name of the same struct is a mistake. NewJSON and NewMessagePack panic
// for a mistake in T itself, and CheckType reports one in a struct that embeds T.
func Aliases[T any](field string, aliases ...string) Option {
	a := alias{reflect.TypeFor[T](), field, slices.Clone(aliases)}
	return func(o *options) { o.aliases = append(o.aliases, a) }
}

// DisallowUnknownFields makes a field that its struct does not have an error, so that a renamed
// field does not arrive as zero. The error quotes the name, of which it leaves out all but the
// first 40 characters.
//
// A release with this option cannot read the messages of a later release that adds a
// field. A stored one becomes a dead letter, which the later release can replay.
func DisallowUnknownFields() Option { return func(o *options) { o.strict = true } }

// WithoutOptions returns [JSON] for a codec that [NewJSON] made, and [MessagePack] for one that
// [NewMessagePack] made. Both write the same bytes. It returns any other codec unchanged.
func WithoutOptions(c Codec) Codec {
	switch c.(type) {
	case *jsonWith:
		return JSON
	case *msgpackWith:
		return MessagePack
	}
	return c
}

// CheckAliases reports a codec whose [Aliases] are all for structs that none of the types
// contains: they would have no effect. The owner of the values calls it once, with all their types.
func CheckAliases(c Codec, types ...reflect.Type) error {
	switch c := c.(type) {
	case *versioned:
		for i := range c.upcasts.steps {
			types = append(types, c.upcasts.steps[i].takes)
		}
		return CheckAliases(c.Codec, types...)
	case *jsonWith:
		return c.checkUse(jsonMethodSet, types)
	case *msgpackWith:
		return c.checkUse(msgpackMethodSet, types)
	}
	return nil
}

// options are the options of a codec.
type options struct {
	aliases []alias
	strict  bool
}

// alias is other names of a field.
type alias struct {
	t      reflect.Type
	field  string
	others []string
}

func newOptions(caller string, opts []Option) (o options) {
	for _, option := range opts {
		if option == nil {
			panic("codec." + caller + ": an option is nil: leave it out")
		}
		option(&o)
	}
	return o
}

func (o *options) none() bool { return len(o.aliases) == 0 && !o.strict }

// String lists the options as a program writes them.
func (o *options) String() string {
	var all []string
	for _, a := range o.aliases {
		all = append(all, a.String())
	}
	if o.strict {
		all = append(all, "DisallowUnknownFields()")
	}
	return strings.Join(all, ", ")
}

func (a alias) String() string {
	var names []string
	for _, name := range append([]string{a.field}, a.others...) {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return fmt.Sprintf("Aliases[%v](%s)", a.t, strings.Join(names, ", "))
}

// checkAliases panics for the first alias that cannot work. names reports a mistake in the names
// of a struct.
func (o *options) checkAliases(caller string, methods *methodSet, names func(reflect.Type) error) {
	for _, a := range o.aliases {
		err := a.check(methods)
		if err == nil {
			err = names(a.t)
		}
		if err != nil {
			panic(fmt.Sprintf("codec.%s: %v: %v", caller, a, err))
		}
	}
}

func (a alias) check(methods *methodSet) error {
	switch {
	case a.t.Kind() != reflect.Struct:
		return problemf("%v is not a struct: name the struct that has the field", a.t)
	case len(a.others) == 0:
		return problem("want at least one alias: add one, or leave the option out")
	}
	if m := preferred(methods.decode, reflect.PointerTo(a.t)); m != nil {
		return problemf("%v is decoded by its %s: read the other name there", a.t, m.name)
	}
	for i, name := range a.others {
		switch {
		case name == "" || !utf8.ValidString(name):
			return problemf("invalid alias %q: want text in UTF-8, not empty", name)
		case name == a.field || slices.Contains(a.others[:i], name):
			return problemf("the name %q is given twice: want each once", name)
		}
	}
	return nil
}

// of returns the aliases of a struct. o may be nil.
func (o *options) of(t reflect.Type) (all []alias) {
	if o == nil {
		return nil
	}
	for _, a := range o.aliases {
		if a.t == t {
			all = append(all, a)
		}
	}
	return all
}

func noField(t reflect.Type, a alias, names []string) error {
	return problemf("%v has no field with the encoded name %q: use one of %q", t, a.field, names)
}

func nameTaken(t reflect.Type, alias, field string) error {
	return problemf("%v: the alias %q of %q is a name of another field: use names that no other field has", t, alias, field)
}

func (o *options) checkUse(methods *methodSet, types []reflect.Type) error {
	if len(o.aliases) == 0 {
		return nil
	}
	for _, t := range types {
		if o.reach(t, methods, make(map[reflect.Type]bool)) {
			return nil
		}
	}
	return problemf("the codec has %v, and %v contains none of these structs: name the struct that has the field", o, types)
}

// reach reports whether a decoder of values of a type fills a struct with aliases. Methods decode
// by themselves, and an interface holds no struct.
func (o *options) reach(t reflect.Type, methods *methodSet, seen map[reflect.Type]bool) bool {
	if seen[t] || preferred(methods.decode, reflect.PointerTo(t)) != nil {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map:
		return o.reach(t.Key(), methods, seen) || o.reach(t.Elem(), methods, seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return o.reach(t.Elem(), methods, seen)
	case reflect.Struct:
		if len(o.of(t)) > 0 {
			return true
		}
		for f := range t.Fields() {
			if (f.IsExported() || f.Anonymous) && o.reach(f.Type, methods, seen) {
				return true
			}
		}
	}
	return false
}

// unknownField is the cause of an error about a field that its struct does not have.
type unknownField string

// Error names the field, which is part of the payload, and what to do.
func (name unknownField) Error() string {
	return fmt.Sprintf("unknown field %.40q: add it to the type, or use codec.Aliases if it was renamed", string(name))
}
