package mono

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// Finding is one thing that an App needs of its server and that the server does not have: see
// [App.Preflight]. Object is a handle or a component, "" for the server or the account. A
// Warning does not keep the App from starting.
type Finding = transport.Finding

// Preflight lists everything that the App needs of its server and does not find: features of
// its release, permissions, limits, servers for replicas, and logs, groups and buckets that
// exist in another form or are left by earlier releases. It returns nothing if all is well.
//
// It only reads. It binds and checks the modules as Start does, and starts none. Call it
// before Start, or in a separate process before a deploy. docs/preflight.md lists what it
// compares on NATS, and what an account cannot know.
//
// The error reports that the App itself has mistakes (the *StartError of Start, beside the
// findings about the rest), that the server cannot be asked, or that the transport is no
// [transport.Preflighter]. ctx and StartTimeout bound the call.
func (a *App) Preflight(ctx context.Context) ([]Finding, error) {
	if err := a.lifecycle.acquire(ctx, lifecycleBusy); err != nil {
		return nil, err
	}
	defer a.lifecycle.release()
	if state := a.State(); state != StateCreated {
		return nil, notDone(FailedPrecondition, "mono: the App is %s: call Preflight before Start", state)
	}
	to, ok := a.transport.(transport.Preflighter)
	if !ok {
		return nil, notDone(Unimplemented, "mono: the transport %T cannot compare needs: use one of packages natsx and inproc", a.transport)
	}
	ctx, cancel := context.WithTimeout(ctx, a.options.startTimeout)
	defer cancel()
	p := &preflight{in: newInstance(a), needs: make(map[identity]*transport.Need)}
	defer p.in.giveUp(nil)
	err := guard("the preflight", a.panicked, func() error { return p.run(ctx, to) })
	return p.findings, err
}

// preflight compares the plan of an instance that is never started with its server.
type preflight struct {
	in       *instance
	needs    map[identity]*transport.Need
	order    []identity
	findings []Finding
}

func (p *preflight) run(ctx context.Context, to transport.Preflighter) error {
	in := p.in
	in.codecs = newCodecs(in.app.options.codec, in.panicked)
	b := &binder{in, &in.plan, in.report}
	b.bindAll()
	mistakes := b.check()
	for _, u := range in.plan.units {
		in.plan.receivers = append(in.plan.receivers, u.receivers...)
	}
	logs, left := p.collect()
	var needs []transport.Need
	for _, id := range p.order {
		needs = append(needs, *p.needs[id])
	}
	is, err := to.Preflight(ctx, needs)
	if err != nil {
		return errors.Join(mistakes, err)
	}
	p.findings = is.Findings
	for _, o := range logs {
		p.checkLog(o, is.Logs)
	}
	for _, l := range left {
		if log, ok := is.Logs[l.name]; ok {
			l.info = log.Info
			if l.count(log.Groups); !l.removed || l.members == 0 {
				p.findings = append(p.findings, l.finding())
			}
		}
	}
	p.sort()
	return mistakes
}

// need returns what a handle or a component needs, to be completed.
func (p *preflight) need(id identity, object string) *transport.Need {
	if p.needs[id] == nil {
		p.needs[id] = &transport.Need{Object: object}
		p.order = append(p.order, id)
	}
	return p.needs[id]
}

// collect sets the needs of the plan. It returns the logs of the plan, and possible logs of
// earlier releases.
func (p *preflight) collect() ([]*opening, []*leftover) {
	in := p.in
	in.addGroups()
	var logs []*opening
	if in.app.transport.Capabilities().Logs {
		logs = in.logs.openings(&in.plan)
	}
	for _, o := range logs {
		p.need(o.decl.identity(), o.decl.String()).Log = &o.config
	}
	for _, u := range in.plan.units {
		for _, r := range u.receivers {
			p.receives(r)
		}
		for _, id := range u.order {
			p.sends(u.senders[id])
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(in.plan.components), compareIdentity) {
		c := in.plan.components[id]
		if c.Needs != nil {
			n := p.need(id, id.String())
			_ = guard("the needs of "+n.Object, in.panicked, func() error { n.Stored = c.Needs(in.environment()); return nil })
		}
	}
	left := in.mayBeLeft()
	for _, l := range left {
		c := l.config()
		id := l.decl.identity()
		if l.dead {
			id.kind = "dead letters of " + id.kind
		}
		p.need(id, id.String()).Log = &c
	}
	return logs, left
}

// receives adds the needs of a receiver. Its dead letters have a separate log.
func (p *preflight) receives(r *receiver) {
	d, n := r.decl, p.need(r.decl.identity(), r.decl.String())
	if !d.stored() {
		n.Replies = r.replies() || d.nonPersistent()
		group := r.group()
		if r.replies() {
			group = serviceGroup
		}
		for _, subject := range (&subscriber{r: r}).subjects() {
			n.Subscribe = append(n.Subscribe, transport.Subscription{Subject: subject, Group: group})
		}
		return
	}
	n.Groups = append(n.Groups, r.group())
	if p.in.app.transport.Capabilities().Logs {
		s := p.in.logs.deadLettersOf(d)
		letters := p.need(identity{"dead letters", d.String()}, s.what)
		letters.Log, letters.Publish = &s.config, s.config.Subjects
	}
}

// sends adds the needs of a sender. A call of a local provider needs nothing.
func (p *preflight) sends(s *sender) {
	d, in := s.decl, p.in
	local := in.plan.providers[d.identity()]
	if d.kind == KindService && !in.app.options.noLocalCalls && !d.config.LoadBalanced && local.service != nil && !local.unit.inactive {
		return
	}
	subjects := []string{in.names.prefix(d)}
	switch {
	case d.key != nil:
		subjects[0] += keyToken + "*"
	case d.nonPersistent():
		if d.config.AssumeAccepted == 0 {
			subjects = nil
		}
		for _, group := range d.config.groups() {
			subjects = append(subjects, in.names.ask(d, group))
		}
	}
	n := p.need(d.identity(), d.String())
	n.Replies = n.Replies || d.kind == KindService || d.nonPersistent()
	for _, subject := range subjects {
		if !slices.Contains(n.Publish, subject) {
			n.Publish = append(n.Publish, subject)
		}
	}
}

// checkLog adds the unused groups of a log, and the lack of delays.
func (p *preflight) checkLog(o *opening, logs map[string]transport.ExistingLog) {
	if can := p.in.app.transport.Capabilities(); o.decl.kind == KindQueue && !can.Delays {
		p.findings = append(p.findings, Finding{
			Object: o.decl.String(), Need: "delayed jobs, for mono.Delay and mono.At", Found: can.Name + " does not support them",
			Remedy: cmp.Or(can.Advice, "use another transport, or send no job with a delay"), Warning: o.decl.config.MaxDelayed == 0,
		})
	}
	for _, g := range p.in.unusedOf(o.decl, logs[o.config.Name].Groups) {
		p.findings = append(p.findings, Finding{
			Object: o.decl.String(), Need: "no groups except the declared ones", Remedy: o.advice(p.in, &g), Warning: true,
			Found: fmt.Sprintf("this program does not declare the group %q, which has no waiting member", g.Config.Name),
		})
	}
}

// sort sorts the findings by the order of their objects, and names settings as declarations do.
func (p *preflight) sort() {
	place := map[string]int{"": -1}
	decl := make(map[string]*declaration)
	for i, id := range p.order {
		place[p.needs[id].Object] = i
		decl[p.needs[id].Object] = p.in.plan.handles[id]
	}
	slices.SortStableFunc(p.findings, func(a, b Finding) int { return cmp.Compare(place[a.Object], place[b.Object]) })
	for i := range p.findings {
		f := &p.findings[i]
		if e, ok := errors.AsType[*transport.SettingError](f.Err); ok && e.Setting == "Partitions" && decl[f.Object] != nil {
			f.Need = "its log as it is declared"
			f.Found, f.Remedy, _ = strings.Cut(reasonOf(decl[f.Object], f.Err), ": ")
		}
		f.Warning = f.Warning || strings.HasPrefix(f.Object, "dead letters of ") // they are stored when they occur
	}
}

// finding is the finding for a log that an earlier release has left.
func (l *leftover) finding() Finding {
	f := Finding{Object: l.decl.String(), Remedy: l.remedy(), Warning: true}
	switch {
	case l.removed:
		f.Need = "no log " + l.name + ", since the handle is removed"
		f.Found = fmt.Sprintf("an earlier release has left it with %d messages", l.waiting())
	case l.decl.kind == KindEvent:
		f.Need = "no log " + l.name + ", since the event is not Durable"
		f.Found = fmt.Sprintf("an earlier release has left it with %d messages, and it goes on storing every event", l.waiting())
	default:
		f.Need, f.Warning = "no log "+l.name+", since it is NonPersistent", false
		f.Found = fmt.Sprintf("an earlier release has left it with %d jobs, and it would accept further jobs without a worker", l.waiting())
	}
	return f
}
