package mono

import (
	"fmt"
	"slices"
	"strings"
)

// StartError lists everything that is wrong with an App. Start returns it before
// anything was started.
type StartError struct {
	Problems []Problem
}

// Problem is one mistake in the construction of an App.
type Problem struct {
	Module string // "" if it is the App's
	Handle string // kind and name, "" if it concerns no handle
	Text   string // the mistake, and how to correct it
}

// Error returns all problems, one per line.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mono: the App cannot start, %d problem(s):", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  - " + p.String())
	}
	return b.String()
}

// Is makes a StartError match ErrFailedPrecondition.
func (e *StartError) Is(target error) bool { return target == ErrFailedPrecondition }

// ErrorCode returns FailedPrecondition, for CodeOf.
func (e *StartError) ErrorCode() Code { return FailedPrecondition }

// String returns the problem on one line.
func (p Problem) String() string {
	var parts []string
	if p.Module != "" {
		parts = append(parts, "module "+p.Module)
	}
	if p.Handle != "" {
		parts = append(parts, p.Handle)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// report collects problems in the order in which they are found, without duplicates.
type report struct {
	problems []Problem
}

func (r *report) add(module string, d *declaration, format string, args ...any) {
	p := Problem{Module: module, Text: fmt.Sprintf(format, args...)}
	if d != nil {
		p.Handle = d.String()
	}
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &StartError{Problems: r.problems}
}
