package testkit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"gomono.dev/mono"
)

// diagram is a Mermaid sequence diagram of a journal.
type diagram struct {
	h            *Harness
	entries      []entry
	participants []string
	arrows       []arrow
}

// arrow is one line of the diagram, and its place in the history.
type arrow struct {
	place int
	text  string
}

// diagram draws the history.
func (h *Harness) diagram() string {
	d := &diagram{h: h, entries: h.journal.all(func(*entry) bool { return true })}
	d.name(nil, "")
	for _, e := range d.entries {
		d.draw(&e)
	}
	slices.SortStableFunc(d.arrows, func(a, b arrow) int { return cmp.Compare(a.place, b.place) })
	return d.String()
}

func (d *diagram) draw(e *entry) {
	switch {
	case e.deadLetter != nil:
		d.add(e.begun, "Note over %s: gives up %s", d.name(e.process, e.module), e.handle.name)
	case e.isOperation():
		if e.operation.writes {
			d.add(e.begun, "Note over %s: %s %s", allParticipants, e.operation.verb, e.handle)
		}
	case e.side == "":
		text, _, _ := strings.Cut(e.text, ":")
		d.add(e.begun, "Note over %s: %s", allParticipants, text)
	case e.side == mono.SideSender && e.handle.kind == mono.KindService:
		d.drawCall(e)
	case e.side == mono.SideSender && !slices.ContainsFunc(d.entries, e.isReceived):
		d.add(e.begun, "Note over %s: %s %s", d.name(e.process, e.module), sendVerb(e.handle.kind), e.handle.name)
	case e.side == mono.SideReceiver && e.handle.kind != mono.KindService:
		d.drawHandled(e)
	}
}

func (d *diagram) drawCall(e *entry) {
	from, to := d.name(e.process, e.module), d.provider(e)
	d.add(e.begun, "%s->>%s: %s", from, to, e.handle.name)
	switch {
	case e.ended && e.err != nil:
		d.add(e.over, "%s--x%s: %s", to, from, mono.CodeOf(e.err))
	case e.ended:
		d.add(e.over, "%s-->>%s: reply", to, from)
	}
}

func (d *diagram) drawHandled(e *entry) {
	text := e.handle.name
	if e.attempt > 1 {
		text += fmt.Sprintf(", attempt %d", e.attempt)
	}
	if result := d.h.journal.resultOf(e, e.id, e.err); result != ResultDone {
		text += ", " + string(result)
	}
	d.add(e.begun, "%s-)%s: %s", d.sender(e), d.name(e.process, e.module), text)
}

func (d *diagram) add(place int, format string, args ...any) {
	d.arrows = append(d.arrows, arrow{place, fmt.Sprintf(format, args...)})
}

// provider returns the name of the module that serves a call, or that would have.
func (d *diagram) provider(call *entry) string {
	if i := slices.IndexFunc(d.entries, call.isReceived); i >= 0 {
		return d.name(d.entries[i].process, d.entries[i].module)
	}
	return d.name(call.process, d.h.allPrograms().provider(call.process, call.handle))
}

// sender returns the name of the module that sent a message.
func (d *diagram) sender(received *entry) string {
	var by *process
	if sent := d.h.journal.sender(messageKey{received.handle, received.id}); sent != nil {
		by = sent.process
	}
	return d.name(by, received.from)
}

// name returns the diagram's name of a module of a process, which takes part in it from then on.
func (d *diagram) name(of *process, module string) string {
	switch program := of.programName(); {
	case module == "":
		module = "test"
	case program != "":
		module = program + "/" + module
	}
	if !slices.Contains(d.participants, module) {
		d.participants = append(d.participants, module)
	}
	return identifier(module)
}

// identifier returns the name of a participant as Mermaid requires it.
func identifier(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '_'
	}, name)
}

// allParticipants stands for all participants until they are known.
const allParticipants = "*"

// span returns the first and the last of the participants.
func (d *diagram) span() string {
	first, last := identifier(d.participants[0]), identifier(d.participants[len(d.participants)-1])
	if first == last {
		return first
	}
	return first + "," + last
}

func (d *diagram) String() string {
	var b strings.Builder
	b.WriteString("sequenceDiagram\n")
	for _, p := range d.participants {
		fmt.Fprintf(&b, "    participant %s as %s\n", identifier(p), p)
	}
	for _, a := range d.arrows {
		b.WriteString("    " + strings.Replace(a.text, "over "+allParticipants, "over "+d.span(), 1) + "\n")
	}
	return b.String()
}

// isReceived reports whether other is a handler that got the message of e.
func (e *entry) isReceived(other entry) bool {
	return other.side == mono.SideReceiver && other.handle == e.handle && other.id == e.id
}
