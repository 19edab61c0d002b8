package testkit

import "reflect"

// copyOf returns a copy of a payload that shares nothing that can be changed with
// it, as far as exported fields lead: what is behind others is its type's own.
func copyOf(v any) any {
	if v == nil {
		return nil
	}
	return copyValue(reflect.ValueOf(v), maxDepth).Interface()
}

// maxDepth bounds how deep a copy goes. What is deeper was never encoded either.
const maxDepth = 100

func copyValue(v reflect.Value, depth int) reflect.Value {
	if depth == 0 {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(copyValue(v.Elem(), depth-1))
		return c.Convert(v.Type())
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(copyValue(v.Elem(), depth-1))
		return c
	case reflect.Slice:
		return copySlice(v, depth)
	case reflect.Map:
		return copyMap(v, depth)
	case reflect.Array, reflect.Struct:
		return copyParts(v, depth)
	}
	return v
}

func copySlice(v reflect.Value, depth int) reflect.Value {
	if v.IsNil() {
		return v
	}
	c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(c, v)
	if holdsReferences(v.Type().Elem()) {
		for i := range v.Len() {
			c.Index(i).Set(copyValue(v.Index(i), depth-1))
		}
	}
	return c
}

func copyMap(v reflect.Value, depth int) reflect.Value {
	if v.IsNil() {
		return v
	}
	c := reflect.MakeMapWithSize(v.Type(), v.Len())
	for entries := v.MapRange(); entries.Next(); {
		c.SetMapIndex(entries.Key(), copyValue(entries.Value(), depth-1))
	}
	return c
}

func copyParts(v reflect.Value, depth int) reflect.Value {
	if !holdsReferences(v.Type()) {
		return v
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	if v.Kind() == reflect.Array {
		for i := range v.Len() {
			c.Index(i).Set(copyValue(v.Index(i), depth-1))
		}
		return c
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			c.Field(i).Set(copyValue(v.Field(i), depth-1))
		}
	}
	return c
}

// holdsReferences reports whether values of the type can share something.
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
