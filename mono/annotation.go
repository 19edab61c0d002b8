package mono

import (
	"fmt"
	"maps"
)

// Annotate attaches a value to a handle, for middleware, observers and packages that build on
// mono. They read it with [Call.Annotation] and [AnnotationOf]; mono itself does nothing with
// it. A package that reads an annotation returns it from a function of its own, and the key
// begins with the path of that package, such as "example.com/billing.Price".
//
//	func Price(cents int) mono.MessageOption { return mono.Annotate("example.com/billing.Price", cents) }
//
// A value that implements [ReceiverChecker] is asked at each start about the receivers of its handle.
//
// An annotation never leaves the process. Describe shows its text, by the rules of fmt.Sprint, so
// it is no place for a secret. The value must not be changed later. Two declarations of a handle
// must have equal annotations, by the rules of reflect.DeepEqual. The key must not be empty, the
// value not nil, and a handle has one value for each key.
func Annotate(key string, value any) interface {
	MessageOption
	ChannelOption
} {
	return option(func(c *config) error {
		switch {
		case key == "":
			return fmt.Errorf("Annotate(%q, …): the key is empty: want one such as %q", key, "example.com/billing.Price")
		case value == nil:
			return fmt.Errorf("Annotate(%q, nil): want a value, such as true", key)
		case c.Annotations[key] != nil:
			return fmt.Errorf("Annotate(%q, …) is given twice: leave one out", key)
		}
		c.Annotations = maps.Clone(c.Annotations)
		if c.Annotations == nil {
			c.Annotations = make(map[string]any)
		}
		c.Annotations[key] = value
		return nil
	})
}

// AnnotationOf returns the value that [Annotate] attached to a handle, nil if there is none.
func AnnotationOf(h Handle, key string) any { return h.declared().config.Annotations[key] }

// Annotation returns the value that [Annotate] attached to the handle of the message, nil if there
// is none.
func (c *Call) Annotation(key string) any {
	if c.decl == nil {
		return nil
	}
	return c.decl.config.Annotations[key]
}

// annotations returns the texts of a handle's annotations, for Describe.
func (c *config) annotations() map[string]string {
	if len(c.Annotations) == 0 {
		return nil
	}
	texts := make(map[string]string, len(c.Annotations))
	for key, value := range c.Annotations {
		texts[key] = fmt.Sprint(value)
	}
	return texts
}
