package mono

import (
	"log/slog"

	"gomono.dev/transport"
)

// Binder gives a handle its App. It is the Scope of a module, an *App for code outside
// modules, or the harness of a test.
type Binder interface {
	Scope() *Scope
}

// Scope is the place of a module in a running App. Bind receives it, and the module may
// keep it for later sends.
//
// A module declares in Bind what it uses, by asking for a bound sender (Client,
// Publisher, …), by Handle, or by Use. A send through a handle that was not declared
// there fails with FailedPrecondition.
//
// A Scope is valid for one attempt to run the App; after that every send through it
// fails with Unavailable. It may be used concurrently once Bind has returned.
type Scope struct {
	in   *instance // nil: the App has not been started
	unit *unit     // nil: outside any module
}

// Scope returns s, so that a Scope is a Binder.
func (s *Scope) Scope() *Scope { return s }

// Module returns the name of the module, "" outside any.
func (s *Scope) Module() string {
	if s.unit == nil {
		return ""
	}
	return s.unit.name
}

// Logger returns the App's logger, with the module's name.
func (s *Scope) Logger() *slog.Logger {
	if s.in == nil {
		return slog.Default()
	}
	if s.unit == nil {
		return s.in.log
	}
	return s.in.log.With("module", s.unit.name)
}

// Use declares that the module sends through these handles. It is for a module that
// keeps its Scope instead of bound senders, for example because it calls AppendAfter.
func (s *Scope) Use(handles ...Handle) {
	for _, h := range handles {
		s.declareSender("Use", h.declared())
	}
}

// sender returns the sender of a handle that the module has declared. Code outside
// modules needs no declaration.
func (s *Scope) sender(d *declaration) (*sender, error) {
	if s.in == nil {
		return nil, notDone(Unavailable, "%s: the App has not been started", d)
	}
	return s.in.senderOf(s.unit, d)
}

// bind returns the sender of a handle for a Scope in Bind. It returns nil for any other
// Binder, whose Scope must be looked up at each send.
func bind(b Binder, d *declaration) *sender {
	s, ok := b.(*Scope)
	if !ok || s.unit == nil {
		return nil
	}
	return s.declareSender("a sender", d)
}

// Raw returns the App's transport, for uses that handles do not cover: subjects with
// wildcards, foreign subjects, log administration. A module that subscribes there must
// drain its subscriptions in its Stop. The App closes the transport. Raw returns nil
// before the App was started.
func Raw(b Binder) transport.Transport {
	if s := b.Scope(); s.in != nil {
		return s.in.app.transport
	}
	return nil
}
