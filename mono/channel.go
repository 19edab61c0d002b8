package mono

import (
	"reflect"
	"slices"
)

// Channel is one Go channel per App, shared by name. Values pass without a copy and
// never leave the process.
//
// Receivers compete for values. With FanOut each receiver gets all values, and the
// slowest one sets the pace. The App closes the channel once every module that sends on
// it has stopped, so a receiver can range over it. A module must not send after its
// Stop has returned.
type Channel[T any] struct{ handle }

// NewChannel declares a channel. It panics on a bad name or option.
func NewChannel[T any](name string, opts ...ChannelOption) Channel[T] {
	return Channel[T]{handle{declare(KindChannel, name, opts, reflect.TypeFor[T]())}}
}

// Send declares that the module sends on the channel, and returns the sending end. The
// module starts after the receiving modules, unless it must start earlier, and so stops
// before them.
func (c Channel[T]) Send(s *Scope) chan<- T {
	ch, h := c.join("Send", s)
	if ch == nil {
		return make(chan T)
	}
	ch.senders = append(ch.senders, s.unit)
	s.unit.sends = append(s.unit.sends, ch)
	return h.in
}

// Receive declares that the module receives from the channel, and returns the receiving
// end.
func (c Channel[T]) Receive(s *Scope) <-chan T {
	ch, h := c.join("Receive", s)
	if ch == nil {
		return make(chan T)
	}
	ch.receivers = append(ch.receivers, s.unit)
	s.unit.receives = append(s.unit.receives, ch)
	if !c.decl.config.FanOut {
		return h.in
	}
	out := make(chan T, c.decl.config.Capacity)
	h.outs = append(h.outs, out)
	return out
}

// join returns the channel in the App that is being bound, and creates it for the first
// module. It returns nil if the declarations of two modules contradict each other,
// which the start report contains.
func (c Channel[T]) join(what string, s *Scope) (*channel, *hub[T]) {
	s.declare(what, c.decl)
	ch, ok := s.in.plan.channels[c.decl.identity()]
	if !ok {
		ch = &channel{decl: c.decl, hub: &hub[T]{in: make(chan T, c.decl.config.Capacity)}}
		s.in.plan.channels[c.decl.identity()] = ch
	}
	h, ok := ch.hub.(*hub[T])
	if !ok {
		return nil, nil
	}
	return ch, h
}

// channel is a channel in an instance, without its type.
type channel struct {
	decl      *declaration
	senders   []*unit // modules that have not stopped
	receivers []*unit
	closed    bool
	hub       interface {
		copy(quit <-chan struct{})
		close()
	}
}

// hub is the typed part of a channel.
type hub[T any] struct {
	in   chan T
	outs []chan T
}

func (h *hub[T]) close() { close(h.in) }

// copy sends each value to every receiver until the channel is closed. It also ends at
// quit, so that a receiver that has stopped reading does not block it forever.
func (h *hub[T]) copy(quit <-chan struct{}) {
	defer func() {
		for _, out := range h.outs {
			close(out)
		}
	}()
	for {
		select {
		case v, ok := <-h.in:
			if !ok || !h.hand(v, quit) {
				return
			}
		case <-quit:
			return
		}
	}
}

// hand sends one value to every receiver. It reports whether all have received it.
func (h *hub[T]) hand(v T, quit <-chan struct{}) bool {
	for _, out := range h.outs {
		select {
		case out <- v:
		case <-quit:
			return false
		}
	}
	return true
}

// leaveChannels closes each channel whose last sender was the unit. It is called when
// the unit has stopped.
func (u *unit) leaveChannels() {
	for _, c := range u.sends {
		c.senders = slices.DeleteFunc(c.senders, func(s *unit) bool { return s == u })
		c.closeUnsent()
	}
}

// closeUnsent closes the channels without a sender: no module declares one, or none was
// started. It is called when a stop begins.
func (p *plan) closeUnsent() {
	for _, u := range p.units {
		if !u.entered {
			u.leaveChannels()
		}
	}
	for _, c := range p.channels {
		c.closeUnsent()
	}
}

func (c *channel) closeUnsent() {
	if len(c.senders) == 0 && !c.closed {
		c.closed = true
		c.hub.close()
	}
}
