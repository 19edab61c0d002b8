package mono

import (
	"context"
	"slices"
	"sync"

	"gomono.dev/transport"
)

// logsAtOnce is the number of logs that a start opens at once.
const logsAtOnce = 32

// opening is one log that a start opens.
type opening struct {
	*storage
	decl  *declaration
	users []string // modules

	err      error
	unused   []transport.GroupInfo // undeclared groups
	unlisted error                 // why unused is incomplete
}

// openLogs opens the logs of all stored handles of the modules, with the groups of the
// receivers. Errors appear in the start report. No message is sent before the groups
// exist.
func (in *instance) openLogs(ctx context.Context) {
	in.declareGroups()
	openings := in.openings()
	openAll(ctx, openings)
	for _, o := range openings {
		for _, u := range o.users {
			if o.err != nil {
				in.report.add(u, o.decl, "its log cannot be opened: %v", o.err)
			}
		}
		o.reportUnused()
	}
}

// declareGroups adds the groups of receivers to the configurations of their logs.
func (in *instance) declareGroups() {
	for _, u := range in.units {
		for _, r := range u.receivers {
			if r.decl.stored() {
				in.storageOf(r.decl).receive(in.groupConfig(r.decl, &r.config, r.group()))
			}
		}
	}
}

// receive adds the group of a receiver. If two receivers share a group, the last one
// determines its configuration, as in different processes.
func (s *storage) receive(g transport.GroupConfig) {
	c := &s.config
	c.Update = true
	i := slices.IndexFunc(c.Groups, func(other transport.GroupConfig) bool { return other.Name == g.Name })
	if i < 0 {
		c.Groups = append(c.Groups, g)
		return
	}
	c.Groups[i] = g
}

// openings lists the logs of the modules, each once, in the order of the modules.
func (in *instance) openings() (all []*opening) {
	known := make(map[*storage]*opening)
	for _, u := range in.units {
		for _, d := range u.messages() {
			if !d.stored() {
				continue
			}
			s := in.storageOf(d)
			if known[s] == nil {
				known[s] = &opening{storage: s, decl: d}
				all = append(all, known[s])
			}
			known[s].users = append(known[s].users, u.name)
		}
	}
	return all
}

// openAll opens logs concurrently, at most logsAtOnce at once.
func openAll(ctx context.Context, openings []*opening) {
	var wait sync.WaitGroup
	free := make(chan struct{}, logsAtOnce)
	for _, o := range openings {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			o.open(ctx)
		})
	}
	wait.Wait()
}

func (o *opening) open(ctx context.Context) {
	what := "opening the log of " + o.what
	o.err = goexitError(what)
	o.err = guard(what, o.in.panicked, func() error {
		log, err := o.log(ctx)
		if err == nil && o.config.Update {
			o.unused, o.unlisted = o.in.unusedGroups(ctx, o.decl, log)
		}
		return err
	})
}
