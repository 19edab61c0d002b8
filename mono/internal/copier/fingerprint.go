package copier

import (
	"hash/maphash"
	"math"
	"reflect"
	"time"
)

// Fingerprint returns a number for a value and everything that it refers to. The number
// stays the same within a process as long as none of that is written to. After a change
// it is almost certainly another, even if something was replaced by an equal value.
//
// It detects a change of a value that is shared and must not change. Pass the same v
// both times, keep it in between, and do not write to it while Fingerprint reads it.
//
// The contents of the locks and atomics of packages sync and sync/atomic, of channels
// and of closures are not included, nor is the part of a slice's array beyond its
// length.
func Fingerprint(v any) uint64 {
	p := &print{seen: make(map[object]bool)}
	sum := p.hash(found{contents: reflect.ValueOf(v)})
	for len(p.queue) > 0 {
		last := len(p.queue) - 1
		next := p.queue[last]
		p.queue = p.queue[:last]
		sum += p.hash(next)
	}
	return sum
}

var seed = maphash.MakeSeed()

// object is a separate piece of memory, with a type.
type object struct {
	address uintptr
	len     int
	t       reflect.Type
}

// found is an object whose contents must be hashed.
type found struct {
	object
	contents reflect.Value
}

// print adds up the hashes of all objects that a value refers to, each with its address
// and the addresses that it refers to. So the order in which they are found does not
// matter (that of a map is random), and cycles need no special treatment.
type print struct {
	seen  map[object]bool
	queue []found
}

// refer adds an object, once.
func (p *print) refer(o object, contents reflect.Value) {
	if !p.seen[o] {
		p.seen[o] = true
		p.queue = append(p.queue, found{o, contents})
	}
}

// hash returns the hash of one object: a value, or the elements of a slice or map.
func (p *print) hash(f found) uint64 {
	h := new(maphash.Hash)
	h.SetSeed(seed)
	maphash.WriteComparable(h, f.address)
	switch f.contents.Kind() {
	case reflect.Slice:
		p.elements(h, f.contents)
	case reflect.Map:
		maphash.WriteComparable(h, p.entries(f.contents))
	default:
		p.value(h, f.contents)
	}
	return h.Sum64()
}

func (p *print) elements(h *maphash.Hash, v reflect.Value) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		h.Write(v.Bytes())
		return
	}
	for i := range v.Len() {
		p.value(h, v.Index(i))
	}
}

func (p *print) entries(v reflect.Value) (sum uint64) {
	for entry := v.MapRange(); entry.Next(); {
		h := new(maphash.Hash)
		h.SetSeed(seed)
		p.value(h, entry.Key())
		p.value(h, entry.Value())
		sum += h.Sum64()
	}
	return sum
}

// value hashes the memory of a value, and queues the objects that it refers to.
func (p *print) value(h *maphash.Hash, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		maphash.WriteComparable(h, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		maphash.WriteComparable(h, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		maphash.WriteComparable(h, v.Uint())
	case reflect.Float32, reflect.Float64:
		maphash.WriteComparable(h, math.Float64bits(v.Float()))
	case reflect.Complex64, reflect.Complex128:
		maphash.WriteComparable(h, math.Float64bits(real(v.Complex())))
		maphash.WriteComparable(h, math.Float64bits(imag(v.Complex())))
	case reflect.String:
		maphash.WriteComparable(h, v.String())
	case reflect.Array:
		p.elements(h, v)
	case reflect.Struct:
		p.structure(h, v)
	case reflect.Interface:
		p.iface(h, v)
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		maphash.WriteComparable(h, v.Pointer())
	case reflect.Pointer, reflect.Slice, reflect.Map:
		p.reference(h, v)
	}
}

func (p *print) structure(h *maphash.Hash, v reflect.Value) {
	if from := v.Type().PkgPath(); from == "sync" || from == "sync/atomic" {
		return
	}
	for i := range v.NumField() {
		p.value(h, v.Field(i))
	}
}

func (p *print) iface(h *maphash.Hash, v reflect.Value) {
	if v.IsNil() {
		maphash.WriteComparable(h, 0)
		return
	}
	maphash.WriteComparable(h, v.Elem().Type())
	p.value(h, v.Elem())
}

func (p *print) reference(h *maphash.Hash, v reflect.Value) {
	o := object{address: v.Pointer(), t: v.Type()}
	if v.Kind() == reflect.Slice {
		o.len = v.Len()
	}
	maphash.WriteComparable(h, o.address)
	maphash.WriteComparable(h, o.len)
	switch {
	case o.address == 0, o.t == locationType: // time.Local is initialized on first use
	case v.Kind() == reflect.Pointer:
		p.refer(o, v.Elem())
	default:
		p.refer(o, v)
	}
}

var locationType = reflect.TypeFor[*time.Location]()
