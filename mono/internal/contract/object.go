package contract

import (
	"fmt"
	"slices"
	"strings"
)

// plainKey is the key of a map that does not name another.
var plainKey = &Schema{Type: Types{"string"}}

// key returns the schema of a map's keys.
func (s *Schema) key() *Schema {
	if s.PropertyNames == nil {
		return plainKey
	}
	return s.PropertyNames
}

// isText reports a key that is a string or bytes in MessagePack too.
func (s *Schema) isText() bool { return s.ContentSchema == nil && s.stringKind() != timeString }

func (r *reading) object(s, d *Schema, at string) {
	switch {
	case s.isMap() && d.isMap():
		r.keys(s.key(), d.key(), at+"[key]")
		r.value(s.AdditionalProperties, d.AdditionalProperties, at+"[]")
	case d.isMap():
		r.intoMap(s, d, at)
	case s.isMap():
		r.fromMap(s, d, at)
	default:
		r.structs(s, d, at)
	}
}

// keys compares the keys of maps. In JSON a key that is not a string is one within a string.
func (r *reading) keys(s, d *Schema, at string) {
	if !r.json {
		s, d = s.content(), d.content()
	}
	r.value(s, d, at)
}

// content returns the schema of the value that a key is in MessagePack.
func (s *Schema) content() *Schema {
	if s.ContentSchema != nil {
		return s.ContentSchema
	}
	return s
}

// intoMap compares a struct with a map: the names of the fields become its keys.
func (r *reading) intoMap(s, d *Schema, at string) {
	fields := s.properties()
	if len(fields) == 0 {
		return
	}
	r.keys(plainKey, d.key(), at+"[key]")
	for _, f := range fields {
		r.value(f.schema, d.AdditionalProperties, join(at, f.name))
	}
}

// fromMap compares a map with a struct: it may have the names of all fields as its keys.
func (r *reading) fromMap(s, d *Schema, at string) {
	switch {
	case d.isStrict():
		r.add(at, Broken, "a map is sent, and a struct is read that refuses unknown keys", keepType)
		return
	case !r.json && !s.key().isText():
		r.refuse(s, d, at, keepType)
		return
	}
	r.add(at, Warning, "a map is sent, and a struct is read: other keys are dropped, and missing ones are zero", keepType)
	switch s.key().stringKind() {
	case textString:
		r.unknown(s.key(), d, at+"[key]")
		return
	case timeString, quotedString:
		return // no key is the name of a field
	}
	for _, f := range d.properties() {
		r.value(s.AdditionalProperties, f.schema, join(at, f.name))
	}
}

// match is a pairing of the fields of two structs.
type match struct {
	byReader           map[string][]property // the sent fields by the name of the field that reads them
	onlySent, onlyRead []property
}

func (r *reading) structs(s, d *Schema, at string) {
	m := r.matched(s, d)
	if d.isStrict() {
		for _, f := range m.onlySent {
			r.add(join(at, f.name), Broken, "it is sent, and the reader refuses unknown fields", "add it to the reader first")
		}
	}
	renamed := r.renamed(&m)
	for _, f := range d.properties() {
		from := m.byReader[f.name]
		switch {
		case len(from) == 0:
			r.missing(f, renamed[f.name], join(at, f.name))
			continue
		case len(from) > 1:
			r.add(join(at, f.name), Warning, fmt.Sprintf("%s and %s are sent, which are one field for the reader: JSON ignores case", from[0].name, from[1].name), "rename one of them")
		case r.demands && f.required && !from[0].required:
			r.add(join(at, f.name), Broken, "it may be left out, and the reader demands it", "leave out omitempty at the sender")
		}
		for _, sent := range from {
			r.value(sent.schema, f.schema, join(at, f.name))
		}
	}
}

// missing reports a field that the sender does not have.
func (r *reading) missing(f property, renamed, at string) {
	text, remedy := "only the reader has it, so it is zero", fillBoth
	severity := Warning
	if r.demands && f.required {
		severity, text = Broken, "the reader demands it, and it is not sent"
	}
	if renamed != "" {
		text += fmt.Sprintf("; only the sender has %s, of the same type: renamed?", renamed)
		remedy = "keep the name, or send both until all readers know the new one"
	}
	r.add(at, severity, text, remedy)
}

func (r *reading) matched(s, d *Schema) match {
	m := match{byReader: make(map[string][]property)}
	known := d.properties()
	for _, f := range s.properties() {
		name, ok := r.readerOf(f.name, known, d.Aliases)
		if !ok {
			m.onlySent = append(m.onlySent, f)
			continue
		}
		m.byReader[name] = append(m.byReader[name], f)
	}
	for _, f := range known {
		if len(m.byReader[f.name]) == 0 {
			m.onlyRead = append(m.onlyRead, f)
		}
	}
	return m
}

// readerOf returns the name of the field that reads a name. JSON prefers the exact name, and
// otherwise ignores case.
func (r *reading) readerOf(name string, known []property, aliases map[string]string) (string, bool) {
	if slices.ContainsFunc(known, func(f property) bool { return f.name == name }) {
		return name, true
	}
	if target, ok := aliases[name]; ok {
		return target, true
	}
	if !r.json {
		return "", false
	}
	i := slices.IndexFunc(known, func(f property) bool { return strings.EqualFold(f.name, name) })
	if i < 0 {
		return "", false
	}
	return known[i].name, true
}

// maxRenamed bounds the search for renamed fields.
const maxRenamed = 400

// renamed finds, for fields that only the reader has, fields of the same type that only the
// sender has. It uses each once.
func (r *reading) renamed(m *match) map[string]string {
	if len(m.onlySent)*len(m.onlyRead) > maxRenamed {
		return nil
	}
	names, left := make(map[string]string), slices.Clone(m.onlySent)
	for _, f := range m.onlyRead {
		i := slices.IndexFunc(left, func(sent property) bool { return r.alike(sent.schema, f.schema) })
		if i >= 0 {
			names[f.name] = left[i].name
			left = slices.Delete(left, i, i+1)
		}
	}
	return names
}

// alike reports whether two fields have the same type: each reads the other without a difference.
func (r *reading) alike(sent, read *Schema) bool {
	there, back := newReading(r.json, false, r.sent, r.read), newReading(r.json, false, r.read, r.sent)
	there.left, back.left = r.left/maxRenamed, r.left/maxRenamed
	there.value(sent, read, "")
	back.value(read, sent, "")
	r.left -= 2*(r.left/maxRenamed) - there.left - back.left
	return len(there.faults)+len(back.faults) == 0 && there.left >= 0 && back.left >= 0
}
