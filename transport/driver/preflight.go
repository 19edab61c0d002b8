package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

var _ transport.Preflighter = (*Transport)(nil)

// Preflight implements [transport.Preflighter], if the Conn does. The Conn gets only valid needs,
// with defaults, that its Capabilities allow.
func (t *Transport) Preflight(ctx context.Context, needs []transport.Need) (transport.Preflight, error) {
	conn, ok := t.conn.(transport.Preflighter)
	if !ok {
		has := t.conn.Capabilities()
		return transport.Preflight{}, missing("Preflight", &transport.Capabilities{Name: has.Name})
	}
	var refused []transport.Finding
	needs = slices.Clone(needs)
	for i := range needs {
		n := &needs[i]
		if n.Log == nil {
			continue
		}
		c, err := t.complete(*n.Log)
		if n.Log = &c; err != nil {
			n.Log = nil
			if !c.Existing {
				refused = append(refused, Finding(n.Object, "the log "+c.Name, err))
			}
		}
	}
	result, err := call(ctx, t, nil, func() (transport.Preflight, error) { return conn.Preflight(ctx, needs) }, "preflight")
	result.Findings = append(refused, result.Findings...)
	return result, err
}

// Finding returns the finding for an error that the program would get. The text of an error
// ends in a colon and the remedy.
func Finding(object, need string, err error) transport.Finding {
	f := transport.Finding{Object: object, Need: need, Err: err, Found: err.Error(), Remedy: "see the error"}
	if e, ok := err.(*transport.Error); ok {
		f.Found = e.Message
	}
	if s, ok := errors.AsType[*transport.SettingError](err); ok {
		f.Need += fmt.Sprintf(" with %s %v", s.Setting, s.Want)
	}
	if at := strings.LastIndex(f.Found, ": "); at >= 0 {
		f.Found, f.Remedy = f.Found[:at], f.Found[at+len(": "):]
	}
	return f
}
