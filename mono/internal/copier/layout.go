package copier

import (
	"fmt"
	"reflect"
	"slices"
)

// place is the place of a part in a program's value.
type place struct {
	offset    uintptr
	level     int
	omitEmpty bool
	omitZero  bool
	quoted    bool
	whole     bool // the value is everything that the plan copies
}

// layout collects the steps of one program.
type layout struct {
	*compiler
	once   bool // as in purpose
	steps  []step
	sealed bool // the last step must not be extended, since something is omitted after it
	gaps   bool // something is omitted
}

func (l *layout) add(at place, s step) {
	s.offset, s.level = at.offset, at.level
	l.steps = append(l.steps, s)
	l.sealed = false
}

// bytes copies a number or a boolean, in one step with the one before it if possible.
func (l *layout) bytes(t reflect.Type, at place) {
	if n := len(l.steps); n > 0 && !l.sealed && l.steps[n-1].do == actBytes {
		last := &l.steps[n-1]
		align := uintptr(t.Align())
		if end := last.offset + last.size; (end+align-1)/align*align == at.offset {
			last.size = at.offset + t.Size() - last.offset
			return
		}
	}
	l.add(at, step{do: actBytes, size: t.Size()})
}

// shorten replaces steps by faster ones with the same effect.
func (l *layout) shorten() {
	for i := range l.steps {
		switch s := &l.steps[i]; {
		case s.do != actBytes:
		case s.size == 1:
			s.do = actByte
		case s.size == 8:
			s.do = actWord
		}
	}
}

// value adds the steps for a value of a type. If they cannot be proved to match the
// codec's result, the codec copies that part, if there is only one of it.
func (l *layout) value(t reflect.Type, at place) error {
	if t == timeType {
		l.time(at)
		return nil
	}
	if t == reflect.PointerTo(timeType) && (at.omitEmpty && !l.json || at.omitZero) {
		return l.timePointer(t, at)
	}
	if at.omitEmpty && !l.json && t.Implements(isZeroer) || at.omitZero && (t.Implements(isZeroer) || reflect.PointerTo(t).Implements(isZeroer)) {
		return fmt.Errorf("%v has an IsZero method", t)
	}
	steps, sealed, gaps := slices.Clone(l.steps), l.sealed, l.gaps
	err := l.prove(t, at)
	if err != nil && l.trips(t, at) {
		l.steps, l.sealed, l.gaps = steps, sealed, gaps
		l.add(at, step{do: actPart, part: l.trip(t, at)})
		return nil
	}
	return err
}

func (l *layout) time(at place) {
	if l.json {
		l.add(at, step{do: actPart, part: rfc3339Part{omitZero: at.omitZero}})
	} else {
		l.add(at, step{do: actPart, part: timePart{}})
	}
}

// timePointer copies a pointer to a time that is omitted when the time is zero,
// although the pointer is not nil.
func (l *layout) timePointer(t reflect.Type, at place) error {
	elem, err := l.elem(t.Elem(), l.once)
	if err == nil {
		l.add(at, step{do: actPart, part: &timePointerPart{pointerPart{elem: elem}}})
	}
	return err
}

// trips reports whether the codec may copy a part. The part must be outside of slices,
// arrays and maps, must not have an option of MessagePack that tripPart does not know,
// and must not be the whole value. A struct type without a name is decoded differently
// as a part: encoding/json calls its methods only through a pointer.
func (l *layout) trips(t reflect.Type, at place) bool {
	if l.json && t.Kind() == reflect.Struct && t.Name() == "" {
		return false
	}
	if !l.once || at.whole || at.quoted || at.omitEmpty && !l.json {
		return false
	}
	l.parts++
	return l.parts <= maxTrips
}

func (l *layout) trip(t reflect.Type, at place) *tripPart {
	return &tripPart{t: t, codec: l.codec, omitEmpty: at.omitEmpty, omitZero: at.omitZero}
}

func (l *layout) prove(t reflect.Type, at place) error {
	if l.methods(t) {
		return fmt.Errorf("%v has encoding methods", t)
	}
	switch t.Kind() {
	case reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		l.bytes(t, at)
	case reflect.Float32, reflect.Float64:
		l.float(t, at)
	case reflect.String:
		if l.json {
			l.add(at, step{do: actText})
		} else {
			l.add(at, step{do: actString})
		}
	case reflect.Slice:
		return l.slice(t, at)
	case reflect.Array:
		return l.array(t, at)
	case reflect.Struct:
		return l.structure(t, at)
	case reflect.Pointer:
		return l.pointer(t, at)
	case reflect.Map:
		return l.mapping(t, at)
	case reflect.Interface:
		return l.iface(t, at)
	default:
		return fmt.Errorf("%v has no encoding", t)
	}
	return nil
}

func (l *layout) iface(t reflect.Type, at place) error {
	if t.NumMethod() > 0 {
		return fmt.Errorf("%v may hold anything", t)
	}
	part := &anyPart{json: l.json}
	if l.once {
		part.trip = l.trip(t, at)
	}
	l.add(at, step{do: actPart, part: part})
	return nil
}

func (l *layout) float(t reflect.Type, at place) {
	single := t.Kind() == reflect.Float32
	if at.omitEmpty || at.omitZero {
		if single {
			l.add(at, step{do: actSigned32})
		} else {
			l.add(at, step{do: actSigned64})
		}
	}
	switch {
	case l.json && single:
		l.add(at, step{do: actFloat32})
	case l.json:
		l.add(at, step{do: actFloat64})
	case single:
		l.add(at, step{do: actNumber32})
	default:
		l.bytes(t, at)
	}
}

func (l *layout) slice(t reflect.Type, at place) error {
	elem, err := l.elem(t.Elem(), false)
	if err != nil {
		return err
	}
	l.add(at, step{do: actPart, part: &slicePart{
		t: t, elem: elem, size: t.Elem().Size(),
		empty:     reflect.MakeSlice(t, 0, 0).UnsafePointer(),
		omitEmpty: at.omitEmpty,
	}})
	return nil
}

func (l *layout) array(t reflect.Type, at place) error {
	elem, err := l.elem(t.Elem(), false)
	switch {
	case err != nil:
		return err
	case t.Size() == 0:
	case at.omitZero:
		whole, err := l.program(t, l.once, place{})
		if err != nil {
			return err
		}
		l.add(at, step{do: actPart, part: &valuePart{elem: whole}})
	case elem.bytes:
		l.bytes(t, at)
	default:
		l.add(at, step{do: actPart, part: &arrayPart{elem: elem, size: t.Elem().Size(), len: uintptr(t.Len())}})
	}
	return nil
}

func (l *layout) pointer(t reflect.Type, at place) error {
	elem, err := l.elem(t.Elem(), l.once)
	if err != nil {
		return err
	}
	part := &pointerPart{elem: elem}
	switch t.Elem().Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		part.hollow = true
	}
	l.add(at, step{do: actPart, part: part})
	return nil
}

func (l *layout) mapping(t reflect.Type, at place) error {
	switch k := t.Key().Kind(); {
	case k == reflect.String, reflect.Int <= k && k <= reflect.Uintptr:
	case k == reflect.Bool && !l.json:
	default:
		return fmt.Errorf("%v may be the same key as another once it is encoded", t.Key())
	}
	if part := labels(t, l.json, at.omitEmpty); part != nil {
		l.add(at, step{do: actPart, part: part})
		return nil
	}
	key, err := l.elem(t.Key(), false)
	if err != nil {
		return err
	}
	elem, err := l.elem(t.Elem(), false)
	if err != nil {
		return err
	}
	l.add(at, step{do: actPart, part: &mapPart{t: t, key: key, elem: elem, omitEmpty: at.omitEmpty}})
	return nil
}

// structure copies the fields of a struct, and of structs within it, as if they were
// fields of the program's value.
func (l *layout) structure(t reflect.Type, at place) error {
	if at.omitZero {
		whole, err := l.program(t, l.once, place{})
		if err != nil {
			return err
		}
		l.add(at, step{do: actPart, part: &valuePart{elem: whole}})
		return nil
	}
	return l.fields(t, at)
}

func (l *layout) fields(t reflect.Type, at place) error {
	for f := range t.Fields() {
		sent, err := l.field(f)
		if err != nil {
			return fmt.Errorf("%v.%s: %w", t, f.Name, err)
		}
		inside := place{
			offset: at.offset + f.Offset, level: at.level + 1,
			omitEmpty: sent.omitEmpty, omitZero: sent.omitZero, quoted: sent.quoted,
		}
		switch {
		case !sent.yes:
			l.gaps = l.gaps || f.Type.Size() > 0
			l.sealed = true
			continue
		case sent.inlined:
			err = l.fields(f.Type, inside)
		default:
			err = l.value(f.Type, inside)
		}
		if err != nil {
			return fmt.Errorf("%v.%s: %w", t, f.Name, err)
		}
	}
	return nil
}
