package redact

import (
	"log/slog"
	"reflect"
	"sync"
)

// Mark is the text of a redacted value.
const Mark = "[REDACTED]"

// truncated is the text of a part that exceeds a limit.
const truncated = "[TRUNCATED]"

// A Redactor removes secrets from values and log records. It may be used by any number of
// goroutines at once.
type Redactor struct {
	names  map[string]bool // their letters and digits
	except map[string]bool
	secret []reflect.Type

	types sync.Map // reflect.Type → *typeInfo
}

// New returns a Redactor with the default names and opts.
func New(opts ...Option) *Redactor {
	r := &Redactor{names: make(map[string]bool), except: make(map[string]bool)}
	for _, o := range opts {
		if o == nil {
			panic("redact.New: an option is nil: leave it out")
		}
		o.apply(r)
	}
	return r
}

// Handler returns a handler that passes records to h without their secrets. It is
// New(opts...).Handler(h).
func Handler(h slog.Handler, opts ...Option) slog.Handler { return New(opts...).Handler(h) }

var defaults = New()

// Value returns v without its secrets, by the default names. It is New().Value(v).
func Value(v any) any { return defaults.Value(v) }

// Value returns v without its secrets. The result is for fmt, encoding/json and log/slog, which
// print it like v. It has the type of v, unless a part of v prints itself. If v has no secrets,
// the result is v, or a value that prints like it.
func (r *Redactor) Value(v any) any {
	w := walk{r: r, left: maxParts}
	x, changed := w.value(slog.AnyValue(v), verdict{}, 0)
	if !changed {
		return v
	}
	return x.Any()
}

// Text returns s without its secrets.
func (r *Redactor) Text(s string) string { return r.text(s, 0) }
