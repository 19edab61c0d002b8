package codec

import "reflect"

// depth is the depth of a survey below the root of a value. Pointers and interfaces leave no
// trace in the message, so they are counted separately: a pointer to an interface that holds
// that pointer nests nothing, for ever.
type depth struct {
	nested, steps int
}

// maxSteps is the limit of steps for MaxDepth levels: each level, through an interface and two
// pointers.
const maxSteps = 4 * MaxDepth

// survey walks a value before the library does. It fails if the value nests too deep or
// contains itself, or if an interface holds a type that cannot be encoded. The library would
// recurse until the process dies. It takes at most as long as encoding.
func (n *node) survey(v reflect.Value, at depth) error {
	if n.opaque || n.scalar() || isNil(v) {
		return nil
	}
	at.steps++
	if n.decode != decodePointer && n.decode != decodeAny {
		at.nested++
	}
	if at.nested > MaxDepth || at.steps > maxSteps {
		return tooDeep + ", or a value that contains itself: break the cycle, or flatten the type"
	}
	switch v.Kind() {
	case reflect.Pointer:
		return n.elem.survey(v.Elem(), at)
	case reflect.Interface:
		return surveyInterface(v, at)
	case reflect.Slice, reflect.Array:
		return n.surveySequence(v, at)
	case reflect.Map:
		return n.surveyMap(v, at)
	}
	return n.surveyStruct(v, at)
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return v.IsNil()
	}
	return false
}

// scalar reports a type whose values contain no others.
func (n *node) scalar() bool {
	switch n.t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Struct:
		return n.decode == decodeTime || n.decode == decodeError
	case reflect.Slice, reflect.Array:
		return n.elem == nil
	}
	return true
}

func surveyInterface(v reflect.Value, at depth) error {
	inside, err := shapeInside(v.Elem().Type())
	if err != nil {
		return err
	}
	return inside.root.survey(v.Elem(), at)
}

func (n *node) surveySequence(v reflect.Value, at depth) error {
	if n.elem.scalar() {
		return nil
	}
	for i := range v.Len() {
		if err := n.elem.survey(v.Index(i), at); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) surveyMap(v reflect.Value, at depth) error {
	for entries := v.MapRange(); entries.Next(); {
		if err := n.key.survey(entries.Key(), at); err != nil {
			return err
		}
		if err := n.elem.survey(entries.Value(), at); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) surveyStruct(v reflect.Value, at depth) error {
	for _, f := range n.fields {
		if target, ok := reach(v, f.index, false); ok {
			if err := f.node.survey(target, at); err != nil {
				return err
			}
		}
	}
	return nil
}
