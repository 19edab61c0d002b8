package contract

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// anySchema allows every value.
var anySchema = new(Schema)

// maxRefs bounds the references from one schema to the next. A longer chain, like one that never
// ends, allows every value.
const maxRefs = 32

// resolve follows references, and reports whether null is allowed beside the result. A reference
// to a missing definition allows every value.
func resolve(root, s *Schema) (target *Schema, null bool) {
	for range maxRefs {
		switch {
		case s == nil:
			return anySchema, true
		case s.Ref != "":
			s = root.definition(s.Ref)
		case len(s.AnyOf) == 2 && s.AnyOf[1].isNull():
			s, null = s.AnyOf[0], true
		case len(s.AnyOf) > 0:
			return anySchema, true
		default:
			return s, null || s.isAny() || slices.Contains(s.Type, typeNull)
		}
	}
	return anySchema, true
}

func (s *Schema) definition(ref string) *Schema {
	name, ok := strings.CutPrefix(ref, defsPrefix)
	if s == nil || !ok {
		return nil
	}
	return s.Defs[name]
}

func (s *Schema) isNull() bool {
	return s != nil && len(s.Type) == 1 && s.Type[0] == typeNull
}

// rawMessage holds any JSON as it is.
const rawMessage = "encoding/json.RawMessage"

func (s *Schema) isRaw() bool { return len(s.Type) == 0 && s.GoType == rawMessage }

// isOpaque reports a type whose methods write anything.
func (s *Schema) isOpaque() bool { return len(s.Type) == 0 && s.GoType != "" }

// kind returns the type beside null, or "" if there are none or several.
func (s *Schema) kind() string {
	kind := ""
	for _, t := range s.Type {
		switch {
		case t == typeNull:
		case kind != "":
			return ""
		default:
			kind = t
		}
	}
	return kind
}

// stringKind is the content of a string.
type stringKind uint8

const (
	plainString stringKind = iota
	bytesString
	timeString
	textString // written by methods
	quotedString
)

func (s *Schema) stringKind() stringKind {
	switch {
	case s.GoType != "":
		return textString
	case s.ContentSchema != nil:
		return quotedString
	case s.ContentEncoding == "base64", s.ContentMediaType == mediaBinary:
		return bytesString
	case s.Format == "date-time":
		return timeString
	}
	return plainString
}

// isMap reports an object with any keys.
func (s *Schema) isMap() bool {
	return s.AdditionalProperties != nil && s.AdditionalProperties.Not == nil
}

// isStrict reports an object that refuses unknown keys.
func (s *Schema) isStrict() bool {
	return s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil
}

// property is a field of a struct.
type property struct {
	name     string
	schema   *Schema
	required bool
}

// properties lists the fields in their order, which is that of their names if it is unknown.
func (s *Schema) properties() (all []property) {
	for i, name := range s.Order {
		switch {
		case s.kind() == "array" && i < len(s.PrefixItems):
			all = append(all, property{name, s.PrefixItems[i], true})
		case s.Properties[name] != nil:
			all = append(all, property{name, s.Properties[name], slices.Contains(s.Required, name)})
		}
	}
	if len(all) == 0 {
		for _, name := range sortedKeys(s.Properties) {
			all = append(all, property{name, s.Properties[name], slices.Contains(s.Required, name)})
		}
	}
	return all
}

// length returns the limits of the number of items; most is -1 if there is none.
func (s *Schema) length() (least, most int) { return limits(s.MinItems, s.MaxItems) }

func limits(least, most *int) (int, int) {
	low, high := 0, -1
	if least != nil {
		low = *least
	}
	if most != nil {
		high = *most
	}
	return low, high
}

// item returns the schema of an item.
func (s *Schema) item(i int) *Schema {
	if i < len(s.PrefixItems) {
		return s.PrefixItems[i]
	}
	return s.Items
}

// bounds returns the limits of an integer. A nil limit is none.
func (s *Schema) bounds() (low, high *big.Int) {
	return whole(string(s.Minimum)), whole(string(s.Maximum))
}

func whole(text string) *big.Int {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return big.NewInt(i)
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return new(big.Int).SetUint64(u)
	}
	return nil
}

// within reports whether the limits of an integer are those of other, or narrower.
func (s *Schema) within(otherLow, otherHigh *big.Int) bool {
	low, high := s.bounds()
	return (otherLow == nil || low != nil && low.Cmp(otherLow) >= 0) && (otherHigh == nil || high != nil && high.Cmp(otherHigh) <= 0)
}

// digits returns the number of bits of an integer that a number holds exactly; -1 for all.
func (s *Schema) digits() int {
	switch s.Format {
	case "float":
		return 24
	case "double":
		return 53
	}
	return -1
}

// exactIn reports whether a number with so many bits holds every value of an integer.
func (s *Schema) exactIn(bits int) bool {
	if bits < 0 {
		return true
	}
	high := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	return s.within(new(big.Int).Neg(high), high)
}

// String describes a resolved schema as the Go type that it probably comes from.
func (s *Schema) String() string {
	switch kind := s.kind(); {
	case s.GoType != "":
		return s.GoType
	case s.isAny():
		return "any value"
	case s.Not != nil:
		return "nothing"
	case kind == "integer":
		return s.integerName()
	case kind == "number":
		switch s.Format {
		case "float":
			return "a float32"
		case "double":
			return "a float64"
		}
		return "a number"
	case kind == "string":
		return [...]string{plainString: "a string", bytesString: "a []byte", timeString: "a time", textString: "a text", quotedString: "a quoted value"}[s.stringKind()]
	case kind == "array" && len(s.PrefixItems) > 0:
		return fmt.Sprintf("a struct as an array of %d", len(s.PrefixItems))
	case kind == "array":
		if _, most := s.length(); most >= 0 {
			return fmt.Sprintf("an array of %d", most)
		}
		return "a list"
	case kind == "object" && s.isMap():
		return "a map"
	case kind == "object":
		return "a struct"
	case kind == "boolean":
		return "a bool"
	}
	return "a value of several types"
}

var integerNames = map[string]string{
	"-128 127": "an int8", "-32768 32767": "an int16", "-2147483648 2147483647": "an int32", "-9223372036854775808 9223372036854775807": "an int64",
	"0 255": "a uint8", "0 65535": "a uint16", "0 4294967295": "a uint32", "0 18446744073709551615": "a uint64",
}

func (s *Schema) integerName() string {
	low, high := s.bounds()
	if name, ok := integerNames[fmt.Sprint(low, " ", high)]; ok {
		return name
	}
	return "an integer"
}
