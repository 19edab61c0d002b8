package codec

import (
	"reflect"
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
	n.fields, n.names = s.list, s.names
	return nil
}

// fieldSet is the fields that a struct is encoded with.
type fieldSet struct {
	list  []*field
	names map[string]*field
}

func (b *builder) fields(t reflect.Type, path string, addressable bool) (*fieldSet, error) {
	if b.embedding[t] {
		return nil, problemf("%s: %v embeds itself: make it a named field", path, t)
	}
	b.embedding[t] = true
	defer delete(b.embedding, t)
	s := &fieldSet{names: make(map[string]*field)}
	for f := range t.Fields() {
		if err := b.field(s, f, path+"."+f.Name, addressable); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (b *builder) field(s *fieldSet, f reflect.StructField, path string, addressable bool) error {
	tag, err := parseTag(f)
	switch {
	case err != nil:
		return problemf("%s: %v", path, err)
	case tag.name == "-", !f.IsExported() && !f.Anonymous:
		return nil
	}
	embedded, inlined, err := b.embedded(s, f, tag, path, addressable)
	if err != nil {
		return err
	}
	if inlined {
		return s.inline(f, embedded, tag.has("inline"), path)
	}
	if !f.IsExported() {
		return problemf(`%s: it would be sent but cannot be set: leave it out with the tag msgpack:"-"`, path)
	}
	n, err := b.node(f.Type, path, addressable)
	if err != nil {
		return err
	}
	return s.add(&field{name: tag.name, index: f.Index, node: n}, path, tag.alias)
}

// embedded returns the fields of an embedded struct that the library inlines. It
// does so unless the tag forbids it, the struct has methods of its own, or one of
// its names is taken already; and always if the tag demands it.
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
	case pointer && !f.IsExported():
		return nil, false, unsettable(f.Type, path)
	}
	fields, err := b.fields(inner, path, addressable || pointer)
	if err != nil || demanded {
		return fields, true, err
	}
	for _, g := range fields.list {
		if s.names[g.name] != nil {
			return nil, false, nil
		}
	}
	return fields, true, nil
}

func hasMethods(t reflect.Type) bool {
	encoder, _ := methodsOf(t, encoders)
	decoder, _ := methodsOf(t, decoders)
	return t == timeType || encoder != noMethods || decoder != noMethods
}

func (s *fieldSet) inline(f reflect.StructField, embedded *fieldSet, skipTaken bool, path string) error {
	for _, g := range embedded.list {
		if skipTaken && s.names[g.name] != nil {
			continue
		}
		index := append(append([]int{}, f.Index...), g.index...)
		if err := s.add(&field{g.name, index, g.node}, path, ""); err != nil {
			return err
		}
	}
	return nil
}

// add refuses a name that is taken: the library would send it twice.
func (s *fieldSet) add(f *field, path, alias string) error {
	s.list = append(s.list, f)
	for _, name := range []string{f.name, alias} {
		if s.names[name] != nil {
			return problemf("%s: there are two fields named %q: name one of them by a tag", path, name)
		}
		if name != "" {
			s.names[name] = f
		}
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
		return fieldTag{}, problemf("the library reads the tag %q in another way than it looks: leave out quotes, brackets, and colons in the name", text)
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
