// Package typeform describes how a codec encodes the values of a Go type, one level at a time. The
// codecs of package codec implement Describer; a schema of a type is made from the forms of its
// parts.
package typeform

import "reflect"

// Describer is the ability of a codec to describe a type.
type Describer interface {
	// Form describes a type that the codec can carry in both directions. The elements and the
	// fields of the type are described by further calls.
	Form(t reflect.Type) (Form, error)
}

// Kind is the way in which values are encoded.
type Kind uint8

// The kinds of forms.
const (
	Opaque Kind = iota // whatever the methods of the type write
	Any                // a value of any kind
	Bool
	Int    // of Bits bits, signed
	Uint   // of Bits bits, unsigned
	Float  // of Bits bits
	Number // the text of any number, written as a number
	String
	Text   // a string that the methods of the type write
	Binary // bytes that the methods of the type write
	Error  // a string, or nothing
	Bytes  // of any number, or nil
	Base64 // the same, as text
	Array  // Len elements of type Elem; in MessagePack an array of bytes is ByteArray
	ByteArray
	Time
	Pointer
	Slice
	Map
	Struct
	Tuple // the fields of a struct, in their order and without names
)

// Form is the form of a type. Only the fields that belong to its kind are set.
type Form struct {
	Type   reflect.Type
	Kind   Kind
	Bits   int
	Len    int
	Elem   reflect.Type // of Pointer, Slice, Array and Map
	Key    *Form        // of Map
	Fields []Field      // of Struct and Tuple
	Strict bool         // of Struct: a field that it does not have is an error
}

// Field is a field of a struct or of one embedded in it, under its encoded name.
type Field struct {
	Name     string
	Aliases  []string // further names that are read
	Type     reflect.Type
	Optional bool // left out if it has its zero value, or if an embedded pointer is nil
	Quoted   bool // written into a string
}
