package codec

import (
	"reflect"
	"slices"
	"strings"
)

func (b *builder) structure(n *node, path string, addressable bool) error {
	outer := b.embedding
	b.embedding = make(map[reflect.Type]bool)
	s, err := b.fields(n.t, path, addressable)
	b.embedding = outer
	if err != nil {
		return err
	}
	if len(s.list) == 0 && loses(n.t) {
		return nothingSent(n.t, path)
	}
	n.fields, n.names, n.asArray = s.list, s.names, s.asArray
	return s.registerAliases(n.t)
}

// fieldSet is the encoded fields of a struct.
type fieldSet struct {
	list  []*field
	names map[string]*field

	// inlined are the names of the embedded structs. For the library these names are taken when
	// it inlines the next struct.
	inlined map[string]bool

	omitEmpty bool // all of them
	asArray   bool
}

func (b *builder) fields(t reflect.Type, path string, addressable bool) (*fieldSet, error) {
	if b.embedding[t] {
		return nil, embedsItself(t, path)
	}
	b.embedding[t] = true
	defer delete(b.embedding, t)
	s := &fieldSet{names: make(map[string]*field), inlined: make(map[string]bool)}
	for f := range t.Fields() {
		if err := b.field(s, f, path+"."+f.Name, addressable); err != nil {
			return nil, err
		}
	}
	return s, b.addAliases(s, t)
}

func (b *builder) field(s *fieldSet, f reflect.StructField, path string, addressable bool) error {
	tag, err := parseTag(f)
	switch {
	case err != nil:
		return problemf("%s: %v", path, err)
	case f.Name == "_msgpack":
		s.asArray = tag.has("as_array") || tag.has("asArray")
		s.omitEmpty = tag.has("omitempty") && !s.asArray
		return nil
	case tag.name == "-", !f.IsExported() && !f.Anonymous:
		return nil
	}
	embedded, inlined, err := b.embedded(s, f, tag, path, addressable)
	if err != nil {
		return err
	}
	if inlined {
		return s.inline(f, embedded, tag.name, path)
	}
	if !f.IsExported() {
		return problemf(`%s: it would be sent but cannot be set: leave it out with the tag msgpack:"-"`, path)
	}
	n, err := b.node(f.Type, path, addressable)
	omitEmpty := s.omitEmpty || tag.has("omitempty")
	if err == nil && omitEmpty {
		err = checkOmitEmpty(n, path)
	}
	if err != nil {
		return err
	}
	return s.add(&field{name: tag.name, alias: tag.alias, index: f.Index, node: n, optional: omitEmpty}, path)
}

// embedded returns the fields of an embedded struct that the library inlines. It does so unless
// the tag forbids it, the struct has methods for encoding, or one of its names is taken
// already; and always if the tag demands it.
func (b *builder) embedded(s *fieldSet, f reflect.StructField, tag fieldTag, path string, addressable bool) (*fieldSet, bool, error) {
	inner := f.Type
	pointer := inner.Kind() == reflect.Pointer
	if pointer {
		inner = inner.Elem()
	}
	demanded := tag.has("inline")
	switch {
	case !f.Anonymous, tag.has("noinline"):
		return nil, false, nil
	case demanded && f.Type.Kind() != reflect.Struct:
		return nil, false, problemf("%s: the library fails to inline %v on demand: leave out the option inline", path, f.Type)
	case inner.Kind() != reflect.Struct, !demanded && hasMethods(inner):
		return nil, false, nil
	case hasMethods(inner) && hides(inner):
		return nil, false, problemf("%s: %v is inlined and its methods are not used, so its unexported fields would not be sent: leave out the option inline", path, inner)
	}
	fields, err := b.fields(inner, path, addressable || pointer)
	switch {
	case err != nil, demanded:
		return fields, true, err
	case slices.ContainsFunc(fields.list, s.taken):
		return nil, false, nil
	case pointer && !f.IsExported() && len(fields.list) > 0:
		return nil, false, unsettable(f.Type, path)
	}
	return fields, true, nil
}

// taken reports a field of an embedded struct whose name prevents inlining.
func (s *fieldSet) taken(f *field) bool { return s.names[f.name] != nil || s.inlined[f.name] }

func hasMethods(t reflect.Type) bool { return t == timeType || msgpackMethodSet.has(t) }

// inline refuses a name that is taken: the library would not send the field.
func (s *fieldSet) inline(f reflect.StructField, embedded *fieldSet, name, path string) error {
	for _, g := range embedded.list {
		if s.inlined[g.name] {
			return sameName(path, g.name)
		}
		index := append(append([]int{}, f.Index...), g.index...)
		optional := g.optional || f.Type.Kind() == reflect.Pointer
		if err := s.add(&field{name: g.name, aliases: g.aliases, index: index, node: g.node, optional: optional}, path); err != nil {
			return err
		}
	}
	s.inlined[name] = true
	return nil
}

// add refuses a name that is taken: the library would send it twice.
func (s *fieldSet) add(f *field, path string) error {
	s.list = append(s.list, f)
	for _, name := range []string{f.name, f.alias} {
		if s.names[name] != nil {
			return sameName(path, name)
		}
		if name != "" {
			s.names[name] = f
		}
	}
	return nil
}

// checkOmitEmpty reports a field that the library may leave out although it is not
// empty.
func checkOmitEmpty(n *node, path string) error {
	switch {
	case n.t.Kind() == reflect.Interface:
		return problemf("%s: omitempty drops false, zero and the empty string in an interface: leave out the option", path)
	case n.t.Implements(isZero.iface):
		return msgpackMethodSet.checkZero(n.t, path, "omitempty")
	case n.opaque && n.t.Kind() == reflect.Struct && n.t.Size() > 0 && !msgpackMethodSet.sendsAny(n.t, 0):
		return problemf("%s: omitempty drops every %v, since it has no exported fields: leave out the option, use a pointer, or give the type IsZero", path, n.t)
	}
	return nil
}

// fieldTag is a struct tag as the library reads it.
type fieldTag struct {
	name, alias string
	options     []string
}

func parseTag(f reflect.StructField) (fieldTag, error) {
	text := f.Tag.Get("msgpack")
	if text == "" {
		text = f.Tag.Get("json")
	}
	name, rest, _ := strings.Cut(text, ",")
	if strings.Contains(name, ":") || strings.ContainsAny(text, `'\()`) {
		return fieldTag{}, problemf("the library reads the tag %q differently from its appearance: leave out quotes, brackets, and colons in the name", text)
	}
	if name == "-" && text != "-" && f.Tag.Get("msgpack") == "" {
		return fieldTag{}, problemf("the library leaves out a field with the tag %q, which JSON sends under the name -: give it a msgpack tag", text)
	}
	tag := fieldTag{name: strings.TrimSpace(name)}
	if tag.name == "" {
		tag.name = f.Name
	}
	for option := range strings.SplitSeq(rest, ",") {
		option = strings.TrimSpace(option)
		if alias, ok := strings.CutPrefix(option, "alias:"); ok {
			tag.alias = strings.TrimSpace(alias)
		}
		tag.options = append(tag.options, option)
	}
	if tag.has("intern") {
		return tag, problem("interned strings are not supported: leave out the option intern")
	}
	return tag, nil
}

func (t fieldTag) has(option string) bool {
	for _, o := range t.options {
		if o == option {
			return true
		}
	}
	return false
}
