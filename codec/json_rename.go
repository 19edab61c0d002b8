package codec

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// renamer replaces the aliases in a well-formed message. It copies the message at the first one.
type renamer struct {
	data  []byte
	pos   int // of the next byte
	out   []byte
	done  int // the number of bytes of data that are in out
	edits []edit
}

// edit is a replaced name: its end in the result, and in the message.
type edit struct{ made, given int }

func (r *renamer) result() []byte {
	if len(r.edits) == 0 {
		return r.data
	}
	return append(r.out, r.data[r.done:]...)
}

// original returns the place in the message of a place in the result.
func (r *renamer) original(offset int64) int64 {
	for i := len(r.edits) - 1; i >= 0; i-- {
		if e := r.edits[i]; offset >= int64(e.made) {
			return offset + int64(e.given-e.made)
		}
	}
	return offset
}

// value passes the next value. A nil renaming has no aliases in it.
func (r *renamer) value(names *renaming) {
	begin := r.space()
	switch {
	case names == nil:
		r.skip()
	case begin == '{':
		r.items('}', func() {
			within := names.elem
			if names.exact != nil {
				within = r.name(names)
			} else {
				r.skip()
			}
			r.space()
			r.pos++ // the colon
			r.value(within)
		})
	case begin == '[':
		r.items(']', func() { r.value(names.elem) })
	default:
		r.skip()
	}
}

// items calls item at the start of each item of a list or an object.
func (r *renamer) items(end byte, item func()) {
	r.pos++
	for r.space() != end {
		item()
		if r.space() == ',' {
			r.pos++
		}
	}
	r.pos++
}

// name passes the name of a field, and returns the renaming of its value.
func (r *renamer) name(names *renaming) *renaming {
	r.space()
	begin := r.pos
	r.skip()
	quoted := r.data[begin:r.pos]
	f, alias := names.find(unquote(quoted))
	if f == nil {
		return nil
	}
	if alias {
		r.out = append(append(r.out, r.data[r.done:begin]...), f.quoted...)
		r.done = r.pos
		r.edits = append(r.edits, edit{len(r.out), r.pos})
	}
	return f.within
}

// unquote returns the text of a string in JSON.
func unquote(quoted []byte) []byte {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return plain
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is well formed
	return []byte(text)
}

// space passes white space, and returns the next byte.
func (r *renamer) space() byte {
	for {
		switch b := r.data[r.pos]; b {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return b
		}
	}
}

// skip passes the value at hand.
func (r *renamer) skip() {
	for depth := 0; r.pos < len(r.data); {
		switch r.data[r.pos] {
		case '"':
			r.skipString()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // behind a number or a literal
			}
			if depth--; depth == 0 {
				r.pos++
				return
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return
			}
		}
		r.pos++
	}
}

func (r *renamer) skipString() {
	for r.pos++; r.data[r.pos] != '"'; r.pos++ {
		if r.data[r.pos] == '\\' {
			r.pos++
		}
	}
	r.pos++
}
