package testkit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gomono.dev/mono"
)

// maxLines is the number of lines of a history that are printed. They fit on one screen.
const maxLines = 30

// history returns the history as text, in order.
func (h *Harness) history() string {
	lines := h.journal.lines()
	var b strings.Builder
	fmt.Fprintf(&b, "what happened, in order (seed %d):\n", h.seed)
	if len(lines) == 0 {
		b.WriteString("\tnothing\n")
	}
	if skipped := len(lines) - maxLines; skipped > 0 {
		head := maxLines / 3
		for _, l := range lines[:head] {
			b.WriteString("\t" + l + "\n")
		}
		fmt.Fprintf(&b, "\t… %d more …\n", skipped)
		lines = lines[head+skipped:]
	}
	for _, l := range lines {
		b.WriteString("\t" + l + "\n")
	}
	return b.String()
}

// lines returns the journal, a line for each entry.
func (j *journal) lines() []string {
	var lines []string
	for _, e := range j.all(func(*entry) bool { return true }) {
		lines = append(lines, cut(fmt.Sprintf("%8s  %s", clock(e.at), j.line(&e)), maxLine))
	}
	return lines
}

// maxLine bounds a line, in bytes.
const maxLine = 160

func clock(d time.Duration) string {
	if d < time.Millisecond {
		return d.String()
	}
	return d.Round(time.Millisecond).String()
}

func (j *journal) line(e *entry) string {
	switch {
	case e.deadLetter != nil:
		return fmt.Sprintf("%s gives up %s after %s: %s", e.actor(), e.handle, plural(e.attempt, "attempt"), e.deadLetter.Reason)
	case e.isOperation():
		return e.operationLine()
	case e.side == mono.SideSender:
		return fmt.Sprintf("%s %s %s %s%s", e.actor(), sendVerb(e.handle.kind), e.handle.name, show(e.value), e.resultText())
	case e.side == mono.SideReceiver:
		return j.handledLine(e)
	}
	return "— " + e.text
}

func (j *journal) handledLine(e *entry) string {
	attempt := ""
	if e.attempt > 1 {
		attempt = fmt.Sprintf(", attempt %d", e.attempt)
	}
	verb := "consumes"
	switch e.handle.kind {
	case mono.KindService:
		return fmt.Sprintf("%s serves %s%s", e.actor(), e.handle.name, e.resultText())
	case mono.KindQueue:
		verb = "works on"
	}
	line := fmt.Sprintf("%s %s %s %s%s: %s", e.actor(), verb, e.handle.name, cut(show(e.value), maxHandled), attempt, j.resultOf(e, e.id, e.err))
	if f := j.decisionAfter(e, e.id, e.err); f.result == ResultRetried {
		line += fmt.Sprintf(" in %v", f.wait)
	}
	if e.err != nil {
		line += ": " + e.err.Error()
	}
	return line
}

func (e *entry) actor() string {
	name, program := e.module, e.process.programName()
	switch {
	case name == "" && program == "":
		name = "the test"
	case name == "":
		name = "the test in " + program
	case program != "":
		name = program + "/" + name
	}
	if e.process != nil && e.process.instance.number > 1 {
		name += fmt.Sprintf("#%d", e.process.instance.number)
	}
	return name
}

// resultText describes the result of a send or a call.
func (e *entry) resultText() string {
	switch {
	case !e.ended:
		return " … has not ended"
	case e.err != nil:
		return " → " + e.err.Error()
	case e.handle.kind == mono.KindService:
		return " → " + show(e.reply)
	}
	return ""
}

func sendVerb(k mono.Kind) string {
	switch k {
	case mono.KindEvent:
		return "publishes"
	case mono.KindQueue:
		return "enqueues"
	case mono.KindStream:
		return "appends"
	}
	return "calls"
}

// show returns a short text of a payload.
func show(v any) string {
	b, err := inJSON(v)
	switch {
	case err == nil:
		return cut(string(b), maxValue)
	case holdsReferences(reflect.TypeOf(v)): // it may contain itself
		return cut(fmt.Sprintf("%T: %v", v, err), maxValue)
	}
	return cut(fmt.Sprintf("%+v", v), maxValue)
}

// inJSON is json.Marshal for a value whose methods may panic.
func inJSON(v any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	return json.Marshal(v)
}

// Bytes of a payload in a line, at the sender and at the handler.
const (
	maxValue   = 72
	maxHandled = 32
)

func cut(s string, n int) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
