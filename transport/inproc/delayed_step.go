package inproc

// proposeRelease proposes a step to the scheduler if delayed messages are due and there
// is room.
func (l *log) proposeRelease() {
	if l.delayed.proposed || len(l.releasable()) == 0 {
		return
	}
	l.delayed.proposed = true
	l.backend.scheduler.propose(&candidate{step: Step{Action: Due, Log: l.name}, choices: l.releases, take: l.releaseOne})
}

// releasable returns the delayed messages with the earliest due time, if there is room
// for them.
func (l *log) releasable() []*waiting {
	d := &l.delayed
	if len(d.waiting) == 0 || d.waiting[0].at > l.now {
		return nil
	}
	return together(d.waiting, func(w *waiting) bool { return w.at == d.waiting[0].at && l.fits(&w.entry) })
}

func (l *log) releases() int {
	l.lock()
	defer l.unlock()
	n := len(l.releasable())
	if n == 0 {
		l.delayed.proposed = false
	}
	return n
}

// releaseOne stores one of the messages that are due.
func (l *log) releaseOne(choice int) Step {
	l.lock()
	defer l.unlock()
	l.delayed.proposed = false
	w := l.releasable()[choice]
	l.delayed.waiting.remove(w)
	sequence, _ := l.put(&w.entry)
	l.alarm.set(l.delayed.due(l.now), l.now)
	return Step{Action: Due, Log: l.name, Subject: w.subject, Sequence: sequence}
}
