package testkit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

// faults decides at each point of inproc what happens to a message.
type faults struct {
	h *Harness

	mu       sync.Mutex
	declared []*Injection
	inboxes  map[string]string // subject of the reply → the id of the request
	seen     map[string]uint64 // number of visits to a point, for the seed's decisions
	dropped  map[messageKey]bool
}

func newFaults(h *Harness) *faults {
	return &faults{h: h, inboxes: make(map[string]string), seen: make(map[string]uint64), dropped: make(map[messageKey]bool)}
}

// crashes reports whether a fault ends a process.
func (f *faults) crashes() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.declared {
		if in.fault.crash {
			return true
		}
	}
	return false
}

// ask implements inproctest's Options.Fault.
func (f *faults) ask(p inproctest.Point) inproctest.FaultAction {
	if isBucketStep(p.Action) {
		return f.askBucket(&p)
	}
	declared := f.any()
	if !declared && !isSend(p.Action) {
		return inproctest.FaultAction{}
	}
	k, ok := f.handleOf(p.Subject)
	if !ok || f.h.over() {
		return inproctest.FaultAction{}
	}
	var v inproctest.FaultAction
	if declared {
		v = f.decide(&p, f.passing(&p, k), k)
	}
	id, _ := identityAt(&p)
	f.follow(&p, messageKey{k, id}, &v)
	return v
}

// any reports whether any fault is declared.
func (f *faults) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.declared) > 0 || f.h.set.doubled
}

// follow records whether the transport has taken a sent message.
func (f *faults) follow(p *inproctest.Point, k messageKey, v *inproctest.FaultAction) {
	if !isSend(p.Action) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Phase == inproctest.Before {
		f.dropped[k] = v.Drop || v.Err != nil || v.Run != nil
		return
	}
	if !f.dropped[k] {
		f.h.journal.took(k)
	}
	delete(f.dropped, k)
}

// handleOf finds the handle of a subject: <kind>s.<name>, after the namespace and before a
// token that begins with "_".
func (f *faults) handleOf(subject string) (handleKey, bool) {
	if namespace := f.h.allPrograms().prefix(); namespace != "" {
		subject = strings.TrimPrefix(subject, namespace+".")
	}
	kind, name, ok := strings.Cut(subject, "s.")
	switch k := mono.Kind(kind); k {
	case mono.KindService, mono.KindQueue, mono.KindEvent, mono.KindStream:
		name, _, _ = strings.Cut(name, "._")
		return handleKey{k, name}, ok
	}
	return handleKey{}, false
}

// passing describes the message at a point.
func (f *faults) passing(p *inproctest.Point, k handleKey) *Passing {
	by := f.h.processOf(p.By)
	m := &Passing{Handle: k.String(), Program: by.programName(), Group: p.Group, Attempt: p.Attempt, Sequence: p.Sequence}
	m.ID, m.From = identityAt(p)
	switch {
	case p.Action == inproctest.Reply:
		m.ID = f.requestOf(p.Message.Subject)
	case p.Action == inproctest.Deliver && p.Message.Reply != "":
		f.remember(p.Message.Reply, m.ID)
	}
	if sent := f.h.journal.sender(messageKey{k, m.ID}); sent != nil {
		m.From, m.Value = sent.module, sent.value
	}
	if k.kind == mono.KindService {
		m.To = f.h.allPrograms().provider(by, k)
	} else if m.Group != "" {
		m.To = f.h.allPrograms().member(by, k, m.Group)
	}
	return m
}

// identityAt returns the id and the sender of a message. The dead letter and the replay of a stored
// message have its id in their header.
func identityAt(p *inproctest.Point) (id, from string) {
	id, from = identityOf(p.Message)
	return cmp.Or(id, p.ID), from
}

func (f *faults) requestOf(inbox string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inboxes[inbox]
}

func (f *faults) remember(inbox, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inboxes[inbox] = id
}

// decide returns the action of the first fault that is for this point.
func (f *faults) decide(p *inproctest.Point, m *Passing, k handleKey) inproctest.FaultAction {
	in := f.trigger(func() string { return fmt.Sprint(p.Phase, " ", p.Step) }, func(in *Injection) bool { return in.matches(p, m, k) })
	switch {
	case in == nil && f.h.set.doubled && p.Action == inproctest.Deliver && p.Phase == inproctest.Before && p.Log != "":
		return inproctest.FaultAction{Duplicate: true}
	case in == nil:
		return inproctest.FaultAction{}
	}
	if !in.fault.crash { // a crash has its own note
		f.h.journal.note(nil, "%s%s", in.fault.name, about(m))
	}
	v := in.fault.action
	switch {
	case in.fault.crash:
		process := f.h.processOf(p.By)
		v.Run = func() {
			process.crash(strings.TrimSuffix(strings.TrimPrefix(in.fault.name, "Crash("), ")") + about(m))
		}
	case in.fault.code != "":
		v.Err = transport.Errorf(in.fault.code, transport.OutcomeNotDone, "%s, a fault of the test", in.fault.name)
	}
	return v
}

// about describes the message that a fault affected.
func about(m *Passing) string {
	text := " of " + m.Handle
	if m.Key != "" {
		text += fmt.Sprintf(", key %q", m.Key)
	}
	if m.Chunk > 0 {
		text += fmt.Sprintf(", chunk %d", m.Chunk)
	}
	if m.From != "" {
		text += " from " + m.From
	}
	if m.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", m.Attempt)
	}
	return text
}

// trigger finds the first fault that is for a point, and counts it as triggered. point names
// the point, for the seed's decision.
func (f *faults) trigger(point func() string, matches func(*Injection) bool) *Injection {
	f.mu.Lock()
	declared := f.declared
	f.mu.Unlock()
	for _, in := range declared {
		if f.allowed(in) && matches(in) && f.take(in, point) {
			return in
		}
	}
	return nil
}

// allowed reports whether a fault may still be triggered.
func (f *faults) allowed(in *Injection) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return in.remaining != 0
}

func (f *faults) take(in *Injection, point func() string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.remaining == 0 {
		return false
	}
	if in.sometimes && !f.draw(in, point()) {
		return false
	}
	in.triggered++
	if in.remaining > 0 {
		in.remaining--
	}
	return true
}

// draw lets the seed decide. The decision depends on the point and on the number of visits to
// it, not on the order of two points.
func (f *faults) draw(in *Injection, point string) bool {
	key := fmt.Sprint(in.number, " ", point) // not the place of the declaration: lines move
	f.seen[key]++
	x := mix(f.h.seed ^ mix(f.seen[key]^hashOf(key)))
	return float64(x>>11)/(1<<53) < in.chance
}

// hashOf is FNV-1a, which is the same in every process.
func hashOf(s string) uint64 {
	x := uint64(14695981039346656037)
	for i := range len(s) {
		x = (x ^ uint64(s[i])) * 1099511628211
	}
	return x
}

// mix is the end of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// slow lets a handler take longer.
func (f *faults) slow(ctx context.Context, e *entry) {
	m := &Passing{Handle: e.handle.String(), Program: e.process.programName(), From: e.from, To: e.module, Group: e.group, Attempt: e.attempt, Sequence: e.sequence, ID: e.id, Value: e.value}
	in := f.trigger(func() string { return fmt.Sprint("slow ", e.handle, e.module, e.attempt) }, func(in *Injection) bool { return in.fault.slow > 0 && in.isFor(m, e.handle) })
	if in == nil {
		return
	}
	f.h.journal.note(nil, "%s%s", in.fault.name, about(m))
	wait(ctx, in.fault.slow)
}

// checkTriggered reports faults that were never triggered.
func (f *faults) checkTriggered() {
	f.h.t.Helper()
	for _, in := range f.untriggered() {
		f.h.t.Errorf("testkit: the fault %s was never triggered: send a message that it applies to, remove it, or add Sometimes", in)
	}
}

// untriggered lists the faults that should have been triggered and were not.
func (f *faults) untriggered() []*Injection {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Injection
	for _, in := range f.declared {
		if in.triggered == 0 && !in.sometimes {
			all = append(all, in)
		}
	}
	return all
}

// checkDeclared reports faults that can never be triggered.
func (f *faults) checkDeclared() {
	f.h.t.Helper()
	f.mu.Lock()
	declared := f.declared
	f.mu.Unlock()
	for _, in := range declared {
		in.check()
	}
}

// check reports a fault that can never be triggered.
func (in *Injection) check() {
	h := in.h
	h.t.Helper()
	programs, complete := h.allPrograms(), h.allStarted()
	known := programs.moduleNames()
	d, _ := in.narrowed()
	for _, module := range []string{d.from, d.to} {
		if complete && module != "" && !slices.Contains(known, module) {
			h.t.Fatalf("testkit: the fault %s: no module %q uses a handle: the modules are %s", in, module, strings.Join(known, ", "))
		}
	}
	k := in.of
	switch {
	case k == handleKey{}:
	case k.isState() && d != direction{}:
		h.t.Fatalf("testkit: the fault %s: the modules of an App share its %ss: narrow it with When instead of From and To", in, k.kind)
	case k.isState() && !in.fault.isForBuckets():
		h.t.Fatalf("testkit: the fault %s: a %s has writes and reads, and no handlers: use Drop, AmbiguousSend, Late, Fail, Stale, or Crash at a point of sending", in, k.kind)
	case !k.isState() && in.fault.name == Stale.name:
		h.t.Fatalf("testkit: the fault %s: only reads of a bucket or a store are stale: declare it with testkit.FaultBucket or testkit.FaultObjects", in)
	case k.isState():
	case k.kind == mono.KindChannel || k.kind == mono.KindResource || k.kind == mono.KindFailure:
		h.t.Fatalf("testkit: the fault %s: a %s carries no messages: declare it for a service, event, queue or stream", in, k.kind)
	case k.kind == mono.KindService && h.set.localCalls && in.fault.slow == 0:
		h.t.Fatalf("testkit: the fault %s: faults need calls over the transport: remove LocalCalls, or let a Fake fail", in)
	case in.fault.name == LoseAck.name && k.kind != mono.KindService && complete && !programs.isStored(k):
		h.t.Fatalf("testkit: the fault %s: messages that are not stored have no acknowledgement: use Drop, or declare the %s mono.Durable", in, k.kind)
	}
}
