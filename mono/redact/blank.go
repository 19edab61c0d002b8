package redact

import "reflect"

// mark returns the text for a secret.
func (v verdict) mark(s string) string {
	const shown, least = 4, 12
	if !v.last4 || len(s) < least {
		return Mark
	}
	end := s[len(s)-shown:]
	for i := range len(end) {
		if end[i] >= 0x80 {
			return Mark
		}
	}
	return Mark + end
}

// isHarmless reports a value that is not a secret in spite of its name.
func isHarmless(v reflect.Value, of verdict) bool {
	if t := v.Type(); t == timeType || t == spanType {
		return true
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return true
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || isHarmless(v.Elem(), of)
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return of.counted && (v.CanInt() || v.CanUint() || v.CanFloat())
}

// blank replaces a part by a value of its type that shows Mark where it can.
func (w *walk) blank(v reflect.Value, of verdict) {
	w.changed = true
	blank(v, of)
}

func blank(v reflect.Value, of verdict) {
	switch v.Kind() {
	case reflect.String:
		blankString(v, of)
	case reflect.Interface:
		blankInterface(v, of)
	case reflect.Pointer:
		blankPointer(v, of)
	case reflect.Slice:
		blankSlice(v)
	case reflect.Array:
		for i := range v.Len() {
			blank(v.Index(i), verdict{})
		}
	case reflect.Map:
		blankMap(v)
	case reflect.Struct:
		blankStruct(v)
	default:
		v.SetZero()
	}
}

func blankString(v reflect.Value, of verdict) {
	if v.Type() == numberType {
		v.SetZero()
		return
	}
	v.SetString(of.mark(v.String()))
}

func blankInterface(v reflect.Value, of verdict) {
	if v.IsNil() {
		return
	}
	s := Mark
	if v.Elem().Kind() == reflect.String {
		s = of.mark(v.Elem().String())
	}
	if text := reflect.ValueOf(s); text.Type().AssignableTo(v.Type()) {
		v.Set(text)
		return
	}
	v.SetZero()
}

func blankPointer(v reflect.Value, of verdict) {
	if v.IsNil() {
		return
	}
	clean := reflect.New(v.Type().Elem())
	if v.Type().Elem().Kind() == reflect.String {
		clean.Elem().Set(v.Elem())
	}
	blank(clean.Elem(), of)
	v.Set(clean)
}

func blankSlice(v reflect.Value) {
	switch {
	case v.Len() == 0:
	case v.Type() == rawJSON:
		v.SetBytes([]byte(quote(Mark)))
	case v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(Mark))
	default:
		clean := reflect.MakeSlice(v.Type(), 1, 1)
		blank(clean.Index(0), verdict{})
		v.Set(clean)
	}
}

func blankMap(v reflect.Value) {
	if v.Len() == 0 {
		return
	}
	key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	blank(key, verdict{})
	blank(elem, verdict{})
	clean := reflect.MakeMap(v.Type())
	clean.SetMapIndex(key, elem)
	v.Set(clean)
}

func blankStruct(v reflect.Value) {
	if v.Type() == timeType {
		v.SetZero()
		return
	}
	for i := range v.NumField() {
		blank(settable(v.Field(i)), verdict{})
	}
}

// cut removes a part that exceeds a limit.
func (w *walk) cut(v reflect.Value) {
	w.changed = true
	text := reflect.ValueOf(truncated)
	switch {
	case v.Kind() == reflect.String:
		v.SetString(truncated)
	case v.Kind() == reflect.Interface && !v.IsNil() && text.Type().AssignableTo(v.Type()):
		v.Set(text)
	default:
		v.SetZero()
	}
}
