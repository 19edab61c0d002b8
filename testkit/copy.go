package testkit

import (
	"reflect"
	"unsafe"
)

// copyOf returns a copy of a payload that shares nothing changeable with it through exported
// fields. Unexported fields belong to their type. A reference that occurs twice in the payload
// occurs twice in the copy, so a tree may refer back to its root.
func copyOf(v any) any {
	if v == nil {
		return nil
	}
	c := copier{made: make(map[referent]reflect.Value)}
	return c.value(reflect.ValueOf(v), maxDepth).Interface()
}

// maxDepth bounds the depth of a copy. It is deeper than any value that a codec accepts.
const maxDepth = 50_000

// copier makes one copy.
type copier struct {
	made map[referent]reflect.Value
}

// referent is the target of a pointer, slice or map.
type referent struct {
	at  unsafe.Pointer
	len int
	t   reflect.Type
}

func (c *copier) value(v reflect.Value, depth int) reflect.Value {
	if depth == 0 {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return c.reference(v, depth)
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		to := reflect.New(v.Type()).Elem()
		to.Set(c.value(v.Elem(), depth-1))
		return to
	case reflect.Array, reflect.Struct:
		return c.parts(v, depth)
	}
	return v
}

// reference copies the target of v, once.
func (c *copier) reference(v reflect.Value, depth int) reflect.Value {
	if v.IsNil() {
		return v
	}
	of := referent{at: v.UnsafePointer(), t: v.Type()}
	if v.Kind() == reflect.Slice {
		of.len = v.Len()
	}
	if to, ok := c.made[of]; ok {
		return to
	}
	switch v.Kind() {
	case reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		c.made[of] = to.Convert(v.Type())
		to.Elem().Set(c.value(v.Elem(), depth-1))
	case reflect.Slice:
		to := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		c.made[of] = to
		reflect.Copy(to, v)
		if holdsReferences(v.Type().Elem()) {
			for i := range v.Len() {
				to.Index(i).Set(c.value(v.Index(i), depth-1))
			}
		}
	case reflect.Map:
		to := reflect.MakeMapWithSize(v.Type(), v.Len())
		c.made[of] = to
		for entries := v.MapRange(); entries.Next(); {
			to.SetMapIndex(entries.Key(), c.value(entries.Value(), depth-1))
		}
	}
	return c.made[of]
}

// parts copies an array or a struct.
func (c *copier) parts(v reflect.Value, depth int) reflect.Value {
	if !holdsReferences(v.Type()) {
		return v
	}
	to := reflect.New(v.Type()).Elem()
	to.Set(v)
	if v.Kind() == reflect.Array {
		for i := range v.Len() {
			to.Index(i).Set(c.value(v.Index(i), depth-1))
		}
		return to
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			to.Field(i).Set(c.value(v.Field(i), depth-1))
		}
	}
	return to
}

// holdsReferences reports whether values of the type can share memory.
func holdsReferences(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return true
	case reflect.Array:
		return holdsReferences(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && holdsReferences(f.Type) {
				return true
			}
		}
	}
	return false
}
