package testkit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gomono.dev/mono"
)

// RequirePublished returns the one event that was published and for which all conditions are
// true. If there is none, or more than one, the test fails, and logs the history.
func RequirePublished[T any](t testing.TB, h *Harness, e mono.Event[T], where ...func(T) bool) T {
	t.Helper()
	return requireSent(t, h, e, "published", Published(h, e), where)
}

// RequireEnqueued is RequirePublished for a job.
func RequireEnqueued[T any](t testing.TB, h *Harness, q mono.Queue[T], where ...func(T) bool) T {
	t.Helper()
	return requireSent(t, h, q, "enqueued", Enqueued(h, q), where)
}

// RequireAppended is RequirePublished for a message of a stream.
func RequireAppended[T any](t testing.TB, h *Harness, s mono.Stream[T], where ...func(T) bool) T {
	t.Helper()
	return requireSent(t, h, s, "appended", Appended(h, s), where)
}

func requireSent[T any](t testing.TB, h *Harness, handle mono.Handle, verb string, all []Sent[T], where []func(T) bool) T {
	t.Helper()
	return only(t, h, handle, verb, all, func(s Sent[T]) T { return s.Value }, where).Value
}

// RequireCalled returns the one call of a service for whose request all conditions are true.
func RequireCalled[Req, Resp any](t testing.TB, h *Harness, s mono.Service[Req, Resp], where ...func(Req) bool) Exchange[Req, Resp] {
	t.Helper()
	return only(t, h, s, "called", Called(h, s), func(x Exchange[Req, Resp]) Req { return x.Request }, where)
}

// RequireConsumed returns the one successful attempt at a message for which all conditions are
// true. Failed attempts before it do not count; a second successful one, also of another group,
// does.
func RequireConsumed[T any](t testing.TB, h *Harness, m Messages[T], where ...func(T) bool) Delivery[T] {
	t.Helper()
	done := slices.DeleteFunc(Consumed(h, m), func(d Delivery[T]) bool { return d.Result != ResultDone })
	return only(t, h, m, "consumed", done, func(d Delivery[T]) T { return d.Value }, where)
}

// RequireDeadLettered returns the one dead letter for whose message all conditions are true.
func RequireDeadLettered[T any](t testing.TB, h *Harness, m Messages[T], where ...func(T) bool) DeadLetter[T] {
	t.Helper()
	return only(t, h, m, "given up as a dead letter", DeadLettered(h, m), func(d DeadLetter[T]) T { return d.Value }, where)
}

// RequireNone fails the test if anything was sent through one of these handles.
func RequireNone(t testing.TB, h *Harness, handles ...mono.Handle) {
	t.Helper()
	for _, handle := range handles {
		sent := h.query(handle, isSent(keyOf(handle)))
		if len(sent) > 0 {
			h.failWithHistory(t, "%s was %s, and should not have been", keyOf(handle), countText(len(sent), verbOf(handle.Kind())))
		}
	}
}

func verbOf(k mono.Kind) string {
	switch k {
	case mono.KindEvent:
		return "published"
	case mono.KindQueue:
		return "enqueued"
	case mono.KindStream:
		return "appended to"
	}
	return "called"
}

// only returns the one element whose value matches.
func only[E, T any](t testing.TB, h *Harness, handle mono.Handle, verb string, all []E, value func(E) T, where []func(T) bool) E {
	t.Helper()
	fits := func(e E) bool {
		return !slices.ContainsFunc(where, func(is func(T) bool) bool { return !is(value(e)) })
	}
	var fit []E
	for _, e := range all {
		if fits(e) {
			fit = append(fit, e)
		}
	}
	if len(fit) == 1 {
		return fit[0]
	}
	which := ""
	if len(where) > 0 {
		which = fmt.Sprintf(" such that the conditions hold (%s in all)", times(len(all)))
	}
	h.failWithHistory(t, "%s was %s%s, and should have been once", keyOf(handle), countText(len(fit), verb), which)
	panic("unreachable")
}

func countText(n int, verb string) string {
	if n == 0 {
		return "never " + verb
	}
	return verb + " " + times(n)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// failWithHistory fails the test, and logs the history.
func (h *Harness) failWithHistory(t testing.TB, format string, args ...any) {
	t.Helper()
	h.reported = true
	t.Fatalf("testkit: %s\n%s", fmt.Sprintf(format, args...), h.history())
}

// requireUsed fails the test if no module uses a handle.
func (h *Harness) requireUsed(handle mono.Handle) {
	h.t.Helper()
	k := keyOf(handle)
	if len(h.processes) == 0 {
		h.t.Fatalf("testkit: asked about %s before the App was started: call h.MustStart first", k)
	}
	if !h.allPrograms().uses(k) && !h.journal.has(k) {
		h.t.Fatalf("testkit: asked about %s, which no module uses and which has no messages: add the module that binds it; handles in use:\n\t%s",
			k, strings.Join(h.allPrograms().usedHandles(), "\n\t"))
	}
}
