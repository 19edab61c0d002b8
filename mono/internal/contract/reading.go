package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// fault is a difference between what a sender writes and what a reader accepts.
type fault struct {
	path     string // of the field, as in "lines[].quantity"; "" for the whole payload
	severity Severity
	text     string // what is sent and what is read
	remedy   string
}

// reading compares the values that a sender writes with those that a reader accepts, by the
// rules of a codec.
type reading struct {
	json       bool // the rules of encoding/json, else those of codec.MessagePack
	demands    bool // the reader refuses an object without a required property
	sent, read *Schema

	seen   map[pair]bool
	left   int // of the pairs that may be compared
	faults []fault
}

// pair is two resolved schemas. A pair is compared once, at its first path.
type pair struct{ sent, read *Schema }

// maxPairs bounds the work for documents of strangers. Two equal schemas have as many pairs as
// one of them has nodes.
const maxPairs = 1 << 16

func compareSchemas(contentType string, sent, read *Schema, demands bool) []fault {
	r := newReading(contentType == mediaJSON, demands, sent, read)
	r.value(sent, read, "")
	if r.left < 0 {
		r.add("", Warning, "the types are too large to be compared in full", "declare smaller types")
	}
	return r.faults
}

func newReading(json, demands bool, sent, read *Schema) *reading {
	return &reading{json: json, demands: demands, sent: sent, read: read, seen: make(map[pair]bool), left: maxPairs}
}

func (r *reading) add(at string, s Severity, text, remedy string) {
	if len(r.faults) == maxDifferences {
		return
	}
	r.faults = append(r.faults, fault{at, s, text, remedy})
}

const (
	keepType = "keep the type, or add a field with another name and fill both"
	widen    = "let the reader accept the larger type first"
	sameType = "use one type on both sides"
	fillBoth = "add it to the sender first, or treat zero as unknown"
)

// refuse reports that some of the sent values cannot be read.
func (r *reading) refuse(sent, read *Schema, at, remedy string) {
	r.add(at, Broken, fmt.Sprintf("%v is sent, and %v is read", sent, read), remedy)
}

// unknown reports that only the methods of a type know whether it reads the values.
func (r *reading) unknown(sent, read *Schema, at string) {
	r.add(at, Warning, fmt.Sprintf("%v is sent, and %v is read: mono does not know what their methods accept", sent, read), sameType)
}

// enter reports whether a pair is to be compared.
func (r *reading) enter(sent, read *Schema) bool {
	if r.left--; r.left < 0 || r.seen[pair{sent, read}] {
		return false
	}
	r.seen[pair{sent, read}] = true
	return true
}

// value compares two values.
func (r *reading) value(sent, read *Schema, at string) {
	s, sentNull := resolve(r.sent, sent)
	d, readNull := resolve(r.read, read)
	if sentNull && !readNull {
		r.null(s, d, at)
	}
	if !r.enter(s, d) {
		return
	}
	switch {
	case s.Not != nil:
	case d.isAny(), r.json && d.isRaw():
		r.anything(s, d, at)
	case d.isOpaque() || s.isOpaque() && !s.isRaw():
		if s.GoType != d.GoType {
			r.unknown(s, d, at)
		}
	case d.Not != nil, s.isAny(), s.isRaw():
		r.refuse(s, d, at, keepType)
	default:
		r.enum(s, d, at)
		r.kinds(s, d, at)
	}
}

// null compares the nil of a pointer, a list or a map with a value that has none. Other
// differences include it for an any, and for bytes that become text.
func (r *reading) null(s, d *Schema, at string) {
	switch {
	case s.isAny(), d.isRaw(), r.json && s.stringKind() == bytesString:
		return
	case d.isOpaque():
		r.add(at, Warning, fmt.Sprintf("nil may be sent, and %v is read: mono does not know what its methods accept", d), "keep the pointer, or send no nil")
		return
	}
	r.add(at, Warning, fmt.Sprintf("nil may be sent, and %v is read, which is zero then", d), "keep the pointer, or send no nil")
}

func (r *reading) enum(s, d *Schema, at string) {
	if len(d.Enum) == 0 {
		return
	}
	if len(s.Enum) == 0 {
		r.add(at, Broken, fmt.Sprintf("%v is sent, and some values only are read", s), widen)
		return
	}
	for _, value := range s.Enum {
		text, _ := json.Marshal(value)
		known := slices.ContainsFunc(d.Enum, func(other any) bool {
			same, _ := json.Marshal(other)
			return bytes.Equal(text, same)
		})
		if !known {
			r.add(at, Broken, fmt.Sprintf("the value %.40s may be sent, and is not read", text), widen)
			return
		}
	}
}

func (r *reading) kinds(s, d *Schema, at string) {
	sent, read := s.kind(), d.kind()
	switch {
	case sent == "" || read == "":
		r.unknown(s, d, at)
	case sent == "integer" && read == "integer":
		if !s.within(d.bounds()) {
			r.refuse(s, d, at, widen)
		}
	case sent == "integer" && read == "number":
		if !s.exactIn(d.digits()) {
			r.add(at, Warning, fmt.Sprintf("%v is sent, and %v is read, which loses digits of large values", s, d), keepType)
		}
	case sent == "number" && read == "number":
		if most := d.digits(); most >= 0 && (s.digits() < 0 || s.digits() > most) {
			r.refuse(s, d, at, widen)
		}
	case sent == "string" && read == "string":
		r.strings(s, d, at)
	case r.json && sent == "string" && s.stringKind() == quotedString && read == "number" && d.digits() < 0:
		r.value(s.ContentSchema, d, at) // json.Number reads numbers from strings too
	case sent == "array":
		r.array(s, d, at)
	case sent == "object" && (read == "object" || !r.json && len(d.PrefixItems) > 0):
		r.object(s, d, at)
	case sent != read || sent != "boolean":
		r.refuse(s, d, at, keepType)
	}
}

func (r *reading) strings(s, d *Schema, at string) {
	sent, read := s.stringKind(), d.stringKind()
	switch {
	case !r.json && (sent == timeString) != (read == timeString):
		if sent == textString {
			r.unknown(s, d, at)
			return
		}
		r.refuse(s, d, at, keepType)
	case sent == textString || read == textString:
		free := read == plainString || !r.json && read == bytesString && d.MaxLength == nil
		if !free && s.GoType != d.GoType {
			r.unknown(s, d, at)
		}
	case !r.json:
		r.binary(s, d, at)
	case sent == quotedString && read == quotedString:
		r.value(s.ContentSchema, d.ContentSchema, at)
	case sent == bytesString && read == plainString:
		r.add(at, Warning, "bytes are sent, and a string is read, which becomes their base64", keepType)
	case sent != read && read != plainString:
		r.refuse(s, d, at, keepType)
	}
}

// binary compares strings and bytes of MessagePack, which become each other.
func (r *reading) binary(s, d *Schema, at string) {
	least, most := limits(s.MinLength, s.MaxLength)
	_, room := limits(d.MinLength, d.MaxLength)
	switch {
	case room < 0:
	case most < 0 || most > room:
		r.refuse(s, d, at, keepType)
	case least < room:
		r.add(at, Warning, fmt.Sprintf("%d bytes are sent, and %d are read: the others are zero", least, room), keepType)
	}
}

// anything compares values with a reader that accepts all: an any, or JSON as it is.
func (r *reading) anything(s, d *Schema, at string) {
	if d.isRaw() {
		return
	}
	switch kind := s.kind(); {
	case s.isOpaque():
		r.unknown(s, d, at)
	case r.json && kind == "integer" && !s.exactIn(53):
		r.add(at, Warning, fmt.Sprintf("%v is sent, and becomes a float64 in an any, which loses digits of large values", s), keepType)
	case r.json && kind == "number" && s.digits() < 0:
		r.add(at, Broken, "any number is sent, and becomes a float64 in an any, which is too small for some", keepType)
	case kind == "array":
		r.elements(s, at, func(item *Schema, at string) { r.value(item, d, at) })
	case kind == "object" && s.isMap():
		if !r.json && !s.key().isText() {
			r.add(at, Broken, fmt.Sprintf("%v is the key of the map that is sent, and a map in an any has strings", s.key()), keepType)
		}
		r.value(s.AdditionalProperties, d, at+"[]")
	case kind == "object":
		for _, p := range s.properties() {
			r.value(p.schema, d, join(at, p.name))
		}
	}
}

// elements calls each for the kinds of items that a list has.
func (r *reading) elements(s *Schema, at string, each func(item *Schema, at string)) {
	if _, most := s.length(); most == 0 {
		return
	}
	for i, item := range s.PrefixItems {
		each(item, fmt.Sprintf("%s[%d]", at, i))
	}
	if len(s.PrefixItems) == 0 {
		each(s.Items, at+"[]")
	}
}

// byteSchema is the schema of an element of a []byte, which JSON also reads from an array.
var byteSchema = &Schema{Type: Types{"integer"}, Minimum: "0", Maximum: "255"}

func (r *reading) array(s, d *Schema, at string) {
	switch {
	case d.kind() == "array":
		if r.lengths(s, d, at) {
			r.items(s, d, at)
		}
	case r.json && d.kind() == "string" && d.stringKind() == bytesString:
		r.elements(s, at, func(item *Schema, at string) { r.value(item, byteSchema, at) })
	case !r.json && d.kind() == "object" && !d.isMap() && s.hasLength(len(d.properties())):
		for i, p := range d.properties() {
			r.value(s.item(i), p.schema, join(at, p.name))
		}
	default:
		r.refuse(s, d, at, keepType)
	}
}

func (s *Schema) hasLength(n int) bool {
	least, most := s.length()
	return least == n && most == n
}

// lengths compares the numbers of items. It reports whether the items are worth comparing.
func (r *reading) lengths(s, d *Schema, at string) bool {
	least, most := s.length()
	_, room := d.length()
	switch {
	case room < 0, least == room && most == room:
	case len(d.PrefixItems) > 0, !r.json && (most < 0 || most > room):
		r.refuse(s, d, at, "keep the number of items")
		return false
	default:
		r.add(at, Warning, fmt.Sprintf("%v is sent, and %v is read: further items are dropped, and missing ones are zero", s, d), "keep the number of items")
	}
	return room != 0
}

func (r *reading) items(s, d *Schema, at string) {
	n := len(s.PrefixItems)
	if n == 0 {
		n = len(d.PrefixItems)
	}
	for i := range n {
		r.value(s.item(i), d.item(i), fmt.Sprintf("%s[%d]", at, i))
	}
	if _, most := s.length(); n == 0 && most != 0 {
		r.value(s.Items, d.Items, at+"[]")
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxPath bounds the length of a path, in bytes.
const maxPath = 1000

func join(at, name string) string {
	switch {
	case at == "":
		return fmt.Sprintf("%.200s", name)
	case len(at) > maxPath:
		return at
	}
	return fmt.Sprintf("%s.%.200s", at, name)
}
