package codec

import (
	"reflect"

	"gomono.dev/internal/typeform"
)

// Form implements [typeform.Describer].
func (c msgpackCodec) Form(t reflect.Type) (typeform.Form, error) {
	shape, err := shapeOf(t)
	if err != nil {
		return typeform.Form{}, uncarriable(c.ContentType(), t, err)
	}
	return shape.root.form(), nil
}

// Form implements [typeform.Describer].
func (c *msgpackWith) Form(t reflect.Type) (typeform.Form, error) {
	shape, err := c.shapeOf(t)
	if err != nil {
		return typeform.Form{}, uncarriable(c.ContentType(), t, err)
	}
	f := shape.root.form()
	f.Strict = f.Kind == typeform.Struct && c.strict
	return f, nil
}

// form describes the type of a node.
func (n *node) form() typeform.Form {
	f := typeform.Form{Type: n.t, Kind: n.byMethods()}
	if f.Kind != noForm {
		return f
	}
	switch n.decode {
	case decodeArray, decodeByteArray:
		f.Len = n.t.Len()
	case decodeInt, decodeUint, decodeFloat:
		f.Bits = n.t.Bits()
	case decodeMap:
		key := n.key.form()
		f.Key = &key
	case decodeStruct:
		f.Kind, f.Fields = typeform.Struct, n.fieldForms()
		if n.asArray {
			f.Kind = typeform.Tuple
		}
		return f
	}
	if n.elem != nil {
		f.Elem = n.elem.t
	}
	f.Kind = formOfDecoding[n.decode]
	return f
}

// noForm is the kind of a type without methods for encoding, until its own kind is known.
const noForm typeform.Kind = 255

// byMethods returns the kind of a type with methods for encoding, and noForm for others.
func (n *node) byMethods() typeform.Kind {
	switch n.t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return noForm
	}
	if n.decode == decodeTime {
		return noForm
	}
	encoder, _ := methodsOf(n.t, msgpackMethodSet.encode)
	decoder, _ := methodsOf(n.t, msgpackMethodSet.decode)
	switch {
	case encoder.anything(), decoder.anything():
		return typeform.Opaque
	case encoder == binaryMethods, decoder == binaryMethods:
		return typeform.Binary
	case encoder == textMethods, decoder == textMethods:
		return typeform.Text
	}
	return noForm
}

var formOfDecoding = map[decoding]typeform.Kind{
	decodeBool: typeform.Bool, decodeInt: typeform.Int, decodeUint: typeform.Uint, decodeFloat: typeform.Float, decodeString: typeform.String,
	decodeBytes: typeform.Bytes, decodeByteArray: typeform.ByteArray, decodeSlice: typeform.Slice, decodeArray: typeform.Array, decodeMap: typeform.Map,
	decodePointer: typeform.Pointer, decodeAny: typeform.Any, decodeError: typeform.Error, decodeTime: typeform.Time,
}

func (n *node) fieldForms() (all []typeform.Field) {
	for _, f := range n.fields {
		described := typeform.Field{Name: f.name, Aliases: f.aliases, Type: f.node.t, Optional: f.optional && !n.asArray}
		if f.alias != "" {
			described.Aliases = append([]string{f.alias}, f.aliases...)
		}
		all = append(all, described)
	}
	return all
}
