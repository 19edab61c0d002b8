package copier_test

import (
	"fmt"
	"math"
	"reflect"
	"time"
)

// different returns the path of the first difference of two values of a type, or "". It
// compares the bits of floats, unlike reflect.DeepEqual, so a NaN equals itself.
// Unexported fields count.
func different(a, b reflect.Value) string {
	return (&comparison{seen: make(map[[2]any]bool)}).value(a, b, "value")
}

type comparison struct{ seen map[[2]any]bool }

func (c *comparison) value(a, b reflect.Value, path string) string {
	if a.IsValid() != b.IsValid() {
		return path
	}
	if !a.IsValid() {
		return ""
	}
	if a.Type() != b.Type() {
		return path
	}
	switch a.Kind() {
	case reflect.Pointer:
		return c.pointer(a, b, path)
	case reflect.Interface:
		return c.value(a.Elem(), b.Elem(), path)
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return path
		}
		return c.elements(a, b, path)
	case reflect.Array:
		return c.elements(a, b, path)
	case reflect.Map:
		return c.mapping(a, b, path)
	case reflect.Struct:
		for i := range a.NumField() {
			if at := c.value(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); at != "" {
				return at
			}
		}
		return ""
	}
	if !scalarsEqual(a, b) {
		return path
	}
	return ""
}

func scalarsEqual(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32:
		return float32Bits(a) == float32Bits(b)
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Complex64, reflect.Complex128:
		return a.Complex() == b.Complex()
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return a.Pointer() == b.Pointer()
	}
	return a.Equal(b)
}

// float32Bits avoids the conversion to float64, which changes some NaNs.
func float32Bits(v reflect.Value) uint32 {
	switch {
	case v.CanAddr():
		return *(*uint32)(v.Addr().UnsafePointer())
	case v.CanInterface():
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		return *(*uint32)(p.UnsafePointer())
	}
	return math.Float32bits(float32(v.Float()))
}

func (c *comparison) pointer(a, b reflect.Value, path string) string {
	if a.IsNil() != b.IsNil() {
		return path
	}
	pair := [2]any{a.Pointer(), b.Pointer()}
	if a.IsNil() || pair[0] == pair[1] || c.seen[pair] {
		return ""
	}
	c.seen[pair] = true
	return c.value(a.Elem(), b.Elem(), "(*"+path+")")
}

func (c *comparison) elements(a, b reflect.Value, path string) string {
	for i := range a.Len() {
		if at := c.value(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); at != "" {
			return at
		}
	}
	return ""
}

// mapping compares two maps. It only counts keys that are not equal to their copies.
func (c *comparison) mapping(a, b reflect.Value, path string) string {
	if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
		return path
	}
	for i := a.MapRange(); i.Next(); {
		key := i.Key()
		if !key.Equal(key) || refers(key) {
			continue
		}
		if at := c.value(i.Value(), b.MapIndex(key), fmt.Sprintf("%s[%v]", path, key)); at != "" {
			return at
		}
	}
	return ""
}

// shared returns the path of mutable memory that two values share, or "".
func shared(a, b reflect.Value) string {
	mine := make(map[uintptr]string)
	memory(a, "value", func(at uintptr, path string) bool {
		_, seen := mine[at]
		mine[at] = path
		return !seen
	})
	found, seen := "", make(map[uintptr]bool)
	memory(b, "value", func(at uintptr, path string) bool {
		if with, ok := mine[at]; ok {
			found = path + " with " + with
		}
		fresh := !seen[at]
		seen[at] = true
		return fresh
	})
	return found
}

// memory visits the memory that a value refers to. It descends if visit returns true.
func memory(v reflect.Value, path string, visit func(at uintptr, path string) bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]() && v.Type().Elem().Size() > 0 && visit(v.Pointer(), path) {
			memory(v.Elem(), "(*"+path+")", visit)
		}
	case reflect.Interface:
		memory(v.Elem(), path, visit)
	case reflect.Slice:
		if v.Cap() == 0 || v.Type().Elem().Size() == 0 || !visit(v.Pointer(), path) {
			return
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			memory(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.Map:
		if v.IsNil() || !visit(v.Pointer(), path) {
			return
		}
		for i := v.MapRange(); i.Next(); {
			memory(i.Key(), path+"[key]", visit)
			memory(i.Value(), fmt.Sprintf("%s[%v]", path, i.Key()), visit)
		}
	case reflect.Struct:
		if v.Type().PkgPath() == "unique" {
			return // shared on purpose
		}
		for i := range v.NumField() {
			memory(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
	}
}

// refers reports whether a key holds a pointer, whose copy differs.
func refers(key reflect.Value) bool {
	switch key.Kind() {
	case reflect.Pointer:
		return !key.IsNil()
	case reflect.Interface:
		return refers(key.Elem())
	case reflect.Struct:
		for i := range key.NumField() {
			if refers(key.Field(i)) {
				return true
			}
		}
	case reflect.Array:
		for i := range key.Len() {
			if refers(key.Index(i)) {
				return true
			}
		}
	}
	return false
}

// folded reports whether a value shares so much within itself that encoding it would take
// too long. A value that contains itself is rejected earlier.
func folded(v reflect.Value) bool {
	f := folding{room: 20_000}
	f.visit(v, 0)
	return f.room <= 0
}

type folding struct{ room int }

// visit walks a value like an encoder. It returns false if the value is too large or too deep.
func (f *folding) visit(v reflect.Value, depth int) bool {
	if f.room--; f.room <= 0 || depth > 1100 {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || f.visit(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !f.visit(v.Index(i), depth+1) {
				return false
			}
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			if !f.visit(i.Key(), depth+1) || !f.visit(i.Value(), depth+1) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !f.visit(v.Field(i), depth) {
				return false
			}
		}
	}
	return true
}
