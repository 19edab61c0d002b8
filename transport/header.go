package transport

import "strings"

// Header is a list of named values. A message has few of them: finding one in a list
// costs less than hashing its name, and building a list allocates once.
type Header []Field

// Field is one named value.
type Field struct {
	Name, Value string
}

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether name has a value.
func (h Header) Has(name string) bool {
	for i := range h {
		if h[i].Name == name {
			return true
		}
	}
	return false
}

// Values returns all values of name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}

// Add appends a value.
func (h *Header) Add(name, value string) {
	*h = append(*h, Field{name, value})
}

// Set replaces every value of name by one.
func (h *Header) Set(name, value string) {
	h.Del(name)
	h.Add(name, value)
}

// Del removes every value of name.
func (h *Header) Del(name string) {
	if !h.Has(name) {
		return
	}
	kept := (*h)[:0]
	for _, f := range *h {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
}

// Validate returns an InvalidArgument for a field that cannot be carried unchanged: a
// name that is not an HTTP token (RFC 9110, section 5.1), a value with a control
// character or with white space at either end, or a name that belongs to the backend.
func (h Header) Validate() error {
	for i := range h {
		f := &h[i]
		if err := f.validate(); err != nil {
			return err
		}
		if !isCommon(f.Name) && Reserved(f.Name) {
			return invalid("header %q belongs to the transport: choose another name", f.Name)
		}
	}
	return nil
}

// Reserved reports whether a header name belongs to the backend.
func Reserved(name string) bool {
	return strings.HasPrefix(name, "Nats-") || name == "Status" || name == "Description"
}

// isCommon reports whether name is a header that most messages have. These names are known
// to be valid.
func isCommon(name string) bool {
	switch name {
	case HeaderID, HeaderSender, HeaderTimeout, HeaderContentType:
		return true
	}
	return false
}

func (f *Field) validate() error {
	if !isCommon(f.Name) && (f.Name == "" || !isToken(f.Name)) {
		return invalid("header name %q: use letters, digits and !#$%%&'*+-.^_`|~", f.Name)
	}
	if hasControl(f.Value) {
		return invalid("header %q has a control character in its value: encode it first", f.Name)
	}
	if n := len(f.Value); n > 0 && (isBlank(f.Value[0]) || isBlank(f.Value[n-1])) {
		return invalid("header %q has white space at an end of its value, which would be lost in transit: trim or encode it", f.Name)
	}
	return nil
}

// tokenBytes is the set of bytes allowed in an HTTP token.
var tokenBytes = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	n := len(s)
	if n < 8 {
		return hasControlByte(s)
	}
	for i := 0; i < n; i += 8 {
		if w := wordAt(s, min(i, n-8)); anyBelow(w, ' ')|anyIs(w, 0x7f) != 0 {
			return hasControlByte(s)
		}
	}
	return false
}

func hasControlByte(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// size returns the length of the header block as NATS writes it (ADR-4): a version line,
// "name: value" lines, an empty line. Without fields there is no block.
func (h Header) size() int {
	if len(h) == 0 {
		return 0
	}
	n := len("NATS/1.0\r\n") + len("\r\n")
	for i := range h {
		n += len(h[i].Name) + len(": ") + len(h[i].Value) + len("\r\n")
	}
	return n
}
