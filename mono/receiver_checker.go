package mono

import (
	"fmt"
	"slices"
)

// A ReceiverChecker has conditions for receivers. It is a [Middleware], which is asked about each
// receiver of its App, or a value of [Annotate], which is asked about each receiver of its handle.
// So a handle that relies on a middleware is not received without it.
type ReceiverChecker interface {
	// CheckReceiver returns an error if a module must not receive like this. The App does not
	// start then, and its start report has the error. CheckReceiver is called by Start and
	// Preflight, for the modules of all roles.
	CheckReceiver(r ReceiverInfo) error
}

// ReceiverInfo describes a receiver of a handle in a module.
type ReceiverInfo struct {
	Handle     Handle
	Module     string
	Batch      bool         // it handles batches, which have the headers of their first message
	Middleware []Middleware // of the App, on either side
	Propagated []string     // the headers of Propagate
}

// askCheckers reports the conditions that a receiver does not meet.
func (b *binder) askCheckers(r *receiver) {
	var checkers []ReceiverChecker
	for _, key := range sortedKeys(r.decl.config.Annotations) {
		if c, ok := r.decl.config.Annotations[key].(ReceiverChecker); ok {
			checkers = append(checkers, c)
		}
	}
	middleware := slices.DeleteFunc(slices.Clone(b.in.app.middleware), func(m Middleware) bool { return isNil(m) })
	for _, m := range middleware {
		if c, ok := m.(ReceiverChecker); ok {
			checkers = append(checkers, c)
		}
	}
	for _, c := range checkers {
		info := ReceiverInfo{Handle: r.decl, Module: r.unit.name, Batch: r.pack != nil, Middleware: slices.Clone(middleware), Propagated: b.in.app.options.propagatedHeaders()}
		err := guard(fmt.Sprintf("CheckReceiver of %T", c), b.in.panicked, func() error { return c.CheckReceiver(info) })
		if err != nil {
			b.report.add(r.unit.name, r.decl, "%v", err)
		}
	}
}
