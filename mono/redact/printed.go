package redact

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
)

// printed returns a value that prints like v, by the methods of its parts, without their secrets.
func (w *walk) printed(v any) slog.Value {
	p := printed{w.r, v}
	if len(w.public) > 0 {
		p.r = &Redactor{names: w.r.names, except: maps.Clone(w.r.except)}
		for _, name := range w.public {
			p.r.except[letters(name)] = true
		}
	}
	if t, ok := v.(encoding.TextMarshaler); ok {
		return slog.AnyValue(printedText{p, t})
	}
	return slog.AnyValue(p)
}

// printed is a value with parts that print themselves. The result is searched.
type printed struct {
	r *Redactor
	v any
}

// Format prints the value. fmt contains panics of methods.
func (p printed) Format(s fmt.State, verb rune) {
	_, _ = io.WriteString(s, p.r.text(fmt.Sprintf(fmt.FormatString(s, verb), p.v), 0))
}

// MarshalJSON returns the value as the handler of log/slog prints it.
func (p printed) MarshalJSON() (out []byte, err error) {
	defer p.contain(&err)
	v := p.v
	if e, ok := v.(error); ok {
		if _, ok := v.(json.Marshaler); !ok {
			v = e.Error()
		}
	}
	out, err = marshal(v)
	if err != nil {
		return nil, err
	}
	if len(out) > maxText {
		return []byte(quote(truncated)), nil
	}
	return []byte(p.r.text(string(out), 0)), nil
}

// contain turns a panic into an error, and removes the secrets of the error.
func (p printed) contain(err *error) {
	if x := recover(); x != nil {
		*err = fmt.Errorf("panic: %v", x)
	}
	if *err != nil {
		*err = errors.New(p.r.text((*err).Error(), 0))
	}
}

// printedText is a printed value with the method MarshalText, which the text handler of log/slog uses.
type printedText struct {
	printed
	t encoding.TextMarshaler
}

func (p printedText) MarshalText() (out []byte, err error) {
	defer p.contain(&err)
	out, err = p.t.MarshalText()
	if err != nil {
		return nil, err
	}
	return []byte(p.r.text(string(out), 0)), nil
}
