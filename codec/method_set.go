package codec

import "reflect"

// methodSet is the methods that a codec prefers to the fields of a type, in order of
// preference.
type methodSet struct {
	encode, decode []*method
	pair           string                         // the methods to recommend
	leavesOut      func(reflect.StructField) bool // because of its tag
}

// preferred returns the first method that a type has, nil if it has none.
func preferred(methods []*method, t reflect.Type) *method {
	for _, m := range methods {
		if t.Implements(m.iface) {
			return m
		}
	}
	return nil
}

// has reports whether a type or a pointer to it has any of the methods.
func (s *methodSet) has(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return preferred(s.encode, p) != nil || preferred(s.decode, p) != nil
}

// checkEncoder reports a type that a method does not encode in full.
func (s *methodSet) checkEncoder(m *method, t reflect.Type, path string) error {
	return s.checkSource(m, t, path, s.pair)
}

// checkDecoder reports a type that a method does not fill in full.
func (s *methodSet) checkDecoder(m *method, t reflect.Type, path string) error {
	if err := s.checkSource(m, t, path, s.pair); err != nil {
		return err
	}
	for f, ok := m.source(t); ok; f, ok = m.source(t) {
		path += "." + f.Name
		if k := f.Type.Kind(); k == reflect.Pointer || k == reflect.Interface {
			return problemf("%s: %v has %s from this embedded %v, which is nil in a value to be filled: embed a struct by value, or give %[2]v its own %[5]s", path, t, m.name, f.Type, s.pair)
		}
		t = f.Type
	}
	if t.Size() > 0 && t.Implements(m.iface) {
		return problemf("%s: %v has %s on its values, which fills a copy: declare it on *%[2]v", path, t, m.name)
	}
	return nil
}

// checkSource reports a struct that has a method from an embedded type, and another field that
// this method does not include.
func (s *methodSet) checkSource(m *method, t reflect.Type, path, remedy string) error {
	f, ok := m.source(t)
	if !ok {
		return nil
	}
	for g := range t.Fields() {
		if g.Index[0] != f.Index[0] && s.sends(g, 0) {
			return problemf("%s.%s: %v has %s from the embedded %v, which leaves this field out: make %[5]v a named field, or give %[3]v its own %[6]s", path, g.Name, t, m.name, f.Type, remedy)
		}
	}
	return s.checkSource(m, indirect(f.Type), path+"."+f.Name, remedy)
}

// checkZero reports a type with an IsZero that does not include all of its fields: an option of
// the tag leaves out the value if IsZero returns true.
func (s *methodSet) checkZero(t reflect.Type, path, option string) error {
	t = indirect(t)
	if err := s.checkSource(isZero, t, path, "IsZero"); err != nil {
		return problemf("%v, or leave out the option %s", err, option)
	}
	return nil
}

// sends reports whether a codec would send a part of a struct's field without the method.
func (s *methodSet) sends(f reflect.StructField, depth int) bool {
	inner := indirect(f.Type)
	switch {
	case s.leavesOut(f), depth == maxEmbedding:
		return false
	case !f.Anonymous || inner.Kind() != reflect.Struct:
		return f.IsExported()
	case f.IsExported() && s.has(inner):
		return true
	}
	return s.sendsAny(inner, depth+1)
}

func (s *methodSet) sendsAny(t reflect.Type, depth int) bool {
	for f := range t.Fields() {
		if s.sends(f, depth) {
			return true
		}
	}
	return false
}

// hides reports a struct with unexported fields.
func hides(t reflect.Type) bool {
	for f := range t.Fields() {
		if !f.IsExported() && !f.Anonymous && f.Name != "_" {
			return true
		}
	}
	return false
}
