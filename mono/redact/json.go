package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"unsafe"
)

// maxTexts is the number of JSON texts in strings of JSON texts that are searched as JSON.
const maxTexts = 8

// json returns a JSON text without its secrets, the same string if there are none. It reports false if
// the text is not an object, an array or a string in JSON.
func (r *Redactor) json(s string, depth int) (string, bool) {
	start := strings.TrimLeft(s, " \t\r\n")
	if start == "" || strings.IndexByte(`{["`, start[0]) < 0 || depth > maxTexts {
		return "", false
	}
	if !json.Valid(unsafe.Slice(unsafe.StringData(s), len(s))) {
		return "", false
	}
	j := document{r: r, s: s, depth: depth}
	j.value(verdict{})
	if j.out == nil {
		return s, true
	}
	return string(append(j.out, s[j.done:]...)), true
}

// document is a valid JSON text, which is copied without its secrets.
type document struct {
	r     *Redactor
	s     string
	depth int
	i     int    // the position
	out   []byte // the text up to done, without its secrets
	done  int
}

func (j *document) replace(from, to int, by string) {
	if j.s[from:to] != by {
		j.out = append(append(j.out, j.s[j.done:from]...), by...)
		j.done = to
	}
}

// next moves to the next byte that is not a space, and returns it.
func (j *document) next() byte {
	for strings.IndexByte(" \t\r\n", j.s[j.i]) >= 0 {
		j.i++
	}
	return j.s[j.i]
}

// value copies the value at the position.
func (j *document) value(v verdict) {
	c := j.next()
	from := j.i
	switch {
	case v.secret:
		j.skip()
		if raw := j.s[from:j.i]; isNothing(raw) || v.counted && isCount(raw) || isRedacted(strings.Trim(raw, `"`)) {
			return
		}
		j.replace(from, j.i, `"`+Mark+`"`)
	case c == '{':
		j.object()
	case c == '[':
		j.array()
	case c == '"':
		j.skip()
		s := unquote(j.s[from:j.i])
		if clean := j.r.text(s, j.depth+1); clean != s {
			j.replace(from, j.i, quote(clean))
		}
	default:
		j.skip()
	}
}

func (j *document) object() {
	j.i++
	for {
		switch j.next() {
		case '}':
			j.i++
			return
		case ',':
			j.i++
		default:
			from := j.i
			j.skip()
			v := j.r.name(unquote(j.s[from:j.i]))
			j.next()
			j.i++ // the colon
			j.value(v)
		}
	}
}

func (j *document) array() {
	j.i++
	for {
		switch j.next() {
		case ']':
			j.i++
			return
		case ',':
			j.i++
		default:
			j.value(verdict{})
		}
	}
}

// skip moves behind the value at the position.
func (j *document) skip() {
	open := 0
	for j.i < len(j.s) {
		switch c := j.s[j.i]; c {
		case '{', '[':
			open++
		case '}', ']', ',', ' ', '\t', '\r', '\n':
			if open == 0 {
				return
			}
			if c == '}' || c == ']' {
				if open--; open == 0 {
					j.i++
					return
				}
			}
		case '"':
			for j.i++; j.s[j.i] != '"'; j.i++ {
				if j.s[j.i] == '\\' {
					j.i++
				}
			}
			if open == 0 {
				j.i++
				return
			}
		}
		j.i++
	}
}

// unquote returns the text of a JSON string.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return raw
	}
	return s
}

// quote returns a text as a JSON string.
func quote(s string) string {
	out, err := marshal(s)
	if err != nil {
		return `"` + Mark + `"`
	}
	return string(out)
}

// marshal returns v as JSON, like the handler of log/slog.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
