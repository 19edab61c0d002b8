package codec

import (
	"reflect"
	"sync"
)

// msgpackWith is MessagePack with options. It writes what MessagePack writes.
type msgpackWith struct {
	msgpackCodec
	options
	shapes sync.Map // like known, with the aliases
}

// String returns the content type and the options. Two codecs with the same text are alike.
func (c *msgpackWith) String() string { return c.ContentType() + " with " + c.options.String() }

// Unmarshal decodes as MessagePack does, with the options.
func (c *msgpackWith) Unmarshal(data []byte, v any) error {
	return c.decode(data, v, c.shapeOf, c.strict)
}

// CheckType checks a type as MessagePack does. It also reports an alias that is a name of another field.
func (c *msgpackWith) CheckType(t reflect.Type) error {
	if err := c.msgpackCodec.CheckType(t); err != nil {
		return err
	}
	if _, err := c.shapeOf(t); err != nil {
		return uncarriable(c.ContentType(), t, err)
	}
	return nil
}

func (c *msgpackWith) shapeOf(t reflect.Type) (*shape, error) {
	return remembered(&c.shapes, t, true, &c.options)
}

// addAliases adds the aliases that were declared for a struct to its fields.
func (b *builder) addAliases(s *fieldSet, t reflect.Type) error {
	for _, a := range b.with.of(t) {
		var names []string
		found := false
		for _, f := range s.list {
			names = append(names, f.name)
			if f.name == a.field {
				f.aliases, found = append(f.aliases, a.others...), true
			}
		}
		if !found {
			return noField(t, a, names)
		}
	}
	return nil
}

// registerAliases makes the aliases names of their fields.
func (s *fieldSet) registerAliases(t reflect.Type) error {
	for _, f := range s.list {
		for _, alias := range f.aliases {
			if other := s.names[alias]; other != nil && other != f {
				return nameTaken(t, alias, f.name)
			}
			s.names[alias] = f
		}
	}
	return nil
}
