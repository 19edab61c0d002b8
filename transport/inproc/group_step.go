package inproc

// propose proposes a step to the scheduler if something can be delivered.
func (g *group) propose() {
	if g.proposed || g.possibilities() == 0 {
		return
	}
	g.proposed = true
	g.log.backend.scheduler.propose(&candidate{
		step:    Step{Action: Deliver, Log: g.log.name, Group: g.name},
		choices: g.choices,
		take:    g.pick,
	})
}

// possibilities returns the number of possible deliveries now. Each goes to any idle member. It is
// any of the redeliveries that are due at the same time, or otherwise the oldest message
// of any free lane.
func (g *group) possibilities() int {
	if g.gone {
		return 0
	}
	if due := len(g.dueTogether()); due > 0 {
		return due * len(g.idle)
	}
	return len(g.ready) * len(g.idle)
}

// dueTogether returns the redeliveries that are due and have the same time as the first
// one.
func (g *group) dueTogether() []*hold {
	if len(g.redeliveries) == 0 || g.redeliveries[0].due > g.log.now {
		return nil
	}
	return together(g.redeliveries, func(h *hold) bool { return h.due == g.redeliveries[0].due })
}

func (g *group) choices() int {
	g.log.lock()
	defer g.log.unlock()
	n := g.possibilities()
	if n == 0 {
		g.proposed = false
	}
	return n
}

// pick makes one of the possible deliveries.
func (g *group) pick(choice int) Step {
	g.log.lock()
	defer g.log.unlock()
	g.proposed = false
	what, who := choice/len(g.idle), choice%len(g.idle)
	var h *hold
	if due := g.dueTogether(); len(due) > 0 {
		h = g.takeRedelivery(due[what])
	} else {
		h = g.takeNext(sorted(g.ready)[what])
	}
	m := g.busy(who)
	g.deliver(m, h)
	g.propose()
	return m.assigned.step(Deliver)
}
