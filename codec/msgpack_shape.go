package codec

import (
	"reflect"
	"sync"
	"time"
)

// shape is the codec's knowledge of a Go type. It never changes once it is made.
type shape struct {
	root *node

	// open: a value may contain itself, or anything. Only then must it be surveyed before it is
	// encoded.
	open bool

	// foreign: methods of the type, or of the contents of an interface, write bytes themselves.
	// Only then must the result be checked.
	foreign bool
}

// node is one type within a shape.
type node struct {
	t      reflect.Type
	decode decoding
	opaque bool // encoded by its methods

	asArray bool // a struct that is encoded as an array

	key, elem *node
	fields    []*field // in the order of a struct that is encoded as an array
	names     map[string]*field

	building bool
}

// field is a field of a struct, or of a struct embedded in it.
type field struct {
	name     string
	alias    string   // of its tag
	aliases  []string // declared for the codec
	index    []int
	node     *node
	optional bool // left out if it is empty, or if an embedded pointer is nil
}

// decoding specifies how a value is filled.
type decoding uint8

const (
	decodeBool decoding = iota
	decodeInt
	decodeUint
	decodeFloat
	decodeString
	decodeBytes
	decodeByteArray
	decodeSlice
	decodeArray
	decodeMap
	decodeStruct
	decodePointer
	decodeAny
	decodeError
	decodeTime
	decodeByLibrary
	decodeByMsgpack
	decodeByBinary
	decodeByText
)

var (
	timeType  = reflect.TypeFor[time.Time]()
	errorType = reflect.TypeFor[error]()
)

// methods is the pair of methods that a type has, in the library's order of preference.
type methods uint8

const (
	noMethods methods = iota
	streamMethods
	msgpackMethods
	binaryMethods
	textMethods
)

// msgpackMethodSet has the methods in the order of the constants.
var msgpackMethodSet = &methodSet{
	encode: []*method{encodeMsgpack, marshalMsgpack, marshalBinary, marshalText},
	decode: []*method{decodeMsgpack, unmarshalMsgpack, unmarshalBinary, unmarshalText},
	pair:   "MarshalMsgpack and UnmarshalMsgpack",
	leavesOut: func(f reflect.StructField) bool {
		tag, err := parseTag(f)
		return err == nil && tag.name == "-"
	},
}

// methodsOf returns the methods of the type itself, otherwise those of its pointer.
func methodsOf(t reflect.Type, all []*method) (m methods, onPointer bool) {
	for i, method := range all {
		if t.Implements(method.iface) {
			return methods(i + 1), false
		}
	}
	for i, method := range all {
		if reflect.PointerTo(t).Implements(method.iface) {
			return methods(i + 1), true
		}
	}
	return noMethods, false
}

// anything reports methods that read or write an item of any kind.
func (m methods) anything() bool { return m == streamMethods || m == msgpackMethods }

// known has a *shape, or an error, for each requested type. Values within interfaces are not
// addressable, which excludes some types, so they have a separate cache.
var known, knownInside sync.Map

func shapeOf(t reflect.Type) (*shape, error) { return remembered(&known, t, true, nil) }

func shapeInside(t reflect.Type) (*shape, error) { return remembered(&knownInside, t, false, nil) }

// remembered returns the shape of a type. with may be nil.
func remembered(cache *sync.Map, t reflect.Type, addressable bool, with *options) (*shape, error) {
	outcome, ok := cache.Load(t)
	if !ok {
		outcome, _ = cache.LoadOrStore(t, newShape(t, addressable, with))
	}
	s, ok := outcome.(*shape)
	if !ok {
		return nil, outcome.(error)
	}
	return s, nil
}

// newShape returns a *shape or an error.
func newShape(t reflect.Type, addressable bool, with *options) any {
	b := &builder{shape: new(shape), nodes: make(map[place]*node), with: with}
	root, err := b.node(t, rootPath(t), addressable)
	if err != nil {
		return err
	}
	b.shape.root = root
	return b.shape
}

// place is a type, and whether its values are addressable there: values in a map are not.
type place struct {
	t           reflect.Type
	addressable bool
}

// builder makes a shape, mirroring what the library's encoder does with a type.
type builder struct {
	shape     *shape
	nodes     map[place]*node
	embedding map[reflect.Type]bool // the structs that embed the current one
	with      *options              // nil if the codec has none
}

func (b *builder) node(t reflect.Type, path string, addressable bool) (*node, error) {
	at := place{t, addressable}
	if n := b.nodes[at]; n != nil {
		b.shape.open = b.shape.open || n.building
		return n, nil
	}
	n := &node{t: t, building: true}
	b.nodes[at] = n
	err := b.fill(n, path, addressable)
	n.building = false
	return n, err
}

func (b *builder) fill(n *node, path string, addressable bool) error {
	switch {
	case n.t == timeType:
		n.decode = decodeTime
		return nil
	case n.t.Kind() == reflect.Interface:
		return b.iface(n, path)
	case n.t.Kind() == reflect.Pointer:
		return b.pointer(n, path)
	}
	encoder, onPointer := methodsOf(n.t, msgpackMethodSet.encode)
	decoder, _ := methodsOf(n.t, msgpackMethodSet.decode)
	if onPointer && !addressable {
		return problemf("%s: %v is encoded by a method of its pointer, which a value held by a map or an interface does not have: hold *%[2]v instead", path, n.t)
	}
	if err := paired(n.t, path, encoder, decoder); err != nil {
		return err
	}
	if err := complete(n.t, path, encoder, decoder); err != nil {
		return err
	}
	n.opaque = encoder != noMethods
	b.shape.foreign = b.shape.foreign || encoder.anything()
	if encoder == noMethods || decoder == noMethods {
		if err := b.kind(n, path, addressable); err != nil {
			return err
		}
	}
	if decoder != noMethods {
		n.decode = decodeByLibrary + decoding(decoder-streamMethods)
	}
	return nil
}

// paired reports methods for one direction only, or that do not fit together. A method for
// items of any kind is trusted, and strings and bytes are the same with or without a method.
func paired(t reflect.Type, path string, encoder, decoder methods) error {
	plain := t.Kind() == reflect.String || isBytes(t)
	switch {
	case encoder == decoder, encoder.anything(), decoder.anything():
		return nil
	case plain && (encoder == noMethods || decoder == noMethods):
		return nil
	}
	name := [...]string{noMethods: "no method", binaryMethods: "MarshalBinary or UnmarshalBinary", textMethods: "MarshalText or UnmarshalText"}
	return problemf("%s: %v is encoded by %s and decoded by %s: give it both methods of a pair", path, t, name[encoder], name[decoder])
}

// complete reports methods that do not carry all of a type.
func complete(t reflect.Type, path string, encoder, decoder methods) error {
	if encoder != noMethods {
		m := msgpackMethodSet.encode[encoder-1]
		if p := preferred(msgpackMethodSet.encode, reflect.PointerTo(t)); p != m {
			return problemf("%s: %v has %s on its values and %s on its pointer, and the library uses now one, now the other: declare %[4]s on the value", path, t, m.name, p.name)
		}
		if err := msgpackMethodSet.checkEncoder(m, t, path); err != nil {
			return err
		}
	}
	if decoder == noMethods {
		return nil
	}
	return msgpackMethodSet.checkDecoder(msgpackMethodSet.decode[decoder-1], t, path)
}

func (b *builder) iface(n *node, path string) error {
	switch {
	case n.t == errorType:
		n.decode = decodeError
	case n.t.NumMethod() == 0:
		n.decode = decodeAny
		b.shape.open, b.shape.foreign = true, true
	default:
		return problemf("%s: %v cannot be decoded, since its type is not sent: use a concrete type or any, or give the type that holds it methods for encoding", path, n.t)
	}
	return nil
}

func (b *builder) pointer(n *node, path string) (err error) {
	if pointsToItself(n.t) {
		return problemf("%s: %v is a pointer to itself: give it something to point to", path, n.t)
	}
	n.decode = decodePointer
	n.elem, err = b.node(n.t.Elem(), path, true)
	return err
}

var decodingOf = map[reflect.Kind]decoding{
	reflect.Bool: decodeBool, reflect.String: decodeString,
	reflect.Int: decodeInt, reflect.Int8: decodeInt, reflect.Int16: decodeInt, reflect.Int32: decodeInt, reflect.Int64: decodeInt,
	reflect.Uint: decodeUint, reflect.Uint8: decodeUint, reflect.Uint16: decodeUint, reflect.Uint32: decodeUint, reflect.Uint64: decodeUint,
	reflect.Float32: decodeFloat, reflect.Float64: decodeFloat,
	reflect.Slice: decodeSlice, reflect.Array: decodeArray, reflect.Map: decodeMap, reflect.Struct: decodeStruct,
}

func (b *builder) kind(n *node, path string, addressable bool) (err error) {
	decode, ok := decodingOf[n.t.Kind()]
	if !ok {
		return problemf(`%s: %v has no encoding: leave the field out with the tag msgpack:"-", or give its type methods for encoding`, path, n.t)
	}
	n.decode = decode
	switch decode {
	case decodeStruct:
		return b.structure(n, path, addressable)
	case decodeSlice:
		return b.sequence(n, path, decodeBytes, true)
	case decodeArray:
		if elem := n.t.Elem(); elem.Kind() == reflect.Uint8 && elem != reflect.TypeFor[byte]() && !addressable {
			return problemf("%s: the library cannot write %v as a value of a map or an interface: use an array of byte, a slice, or *%[2]v", path, n.t)
		}
		return b.sequence(n, path, decodeByteArray, addressable)
	case decodeMap:
		if n.key, err = b.node(n.t.Key(), path+"[key]", false); err != nil {
			return err
		}
		n.elem, err = b.node(n.t.Elem(), path+"[]", false)
	}
	return err
}

// sequence is a slice or an array. A sequence of bytes is one item, whatever methods its
// elements have.
func (b *builder) sequence(n *node, path string, ofBytes decoding, addressable bool) (err error) {
	if n.t.Elem().Kind() == reflect.Uint8 {
		n.decode = ofBytes
		return nil
	}
	n.elem, err = b.node(n.t.Elem(), path+"[]", addressable)
	return err
}
