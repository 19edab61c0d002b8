package transporttest

import (
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

// kinds specifies which programs are generated.
type kinds struct {
	steps      int  // maximum
	crashes    bool // processes may crash
	timed      bool // minutes may pass
	delays     bool // the backend supports delayed messages
	partitions bool // the backend supports partitions
}

// gene determines a step: numbers, whose smallest values mean the least. Not every gene
// makes a step, and none makes one with an ambiguous observable state. So rapid can
// shrink programs.
type gene [6]int

// newGenes draws bits, because rapid prefers small numbers, and an action would be rare
// just because of its place in a list. A rapid generator belongs to one goroutine.
func newGenes() *rapid.Generator[gene] {
	bits := rapid.Bool()
	return rapid.Custom(func(t *rapid.T) (g gene) {
		for i := range g {
			for range 6 {
				g[i] *= 2
				if bits.Draw(t, "") {
					g[i]++
				}
			}
		}
		return g
	})
}

// programs generates Programs.
func programs(k kinds) *rapid.Generator[made] {
	genes := newGenes()
	acts := rapid.SliceOfN(rapid.SliceOfN(genes, 1, -1), 1, -1) // a list of lists is longer than a list, whose length rapid limits
	return rapid.Custom(func(t *rapid.T) made {
		c := &composer{kinds: k}
		c.shape(genes.Draw(t, "log"), genes.Draw(t, "groups"))
		for _, g := range slices.Concat(acts.Draw(t, "acts")...) {
			if s := c.make(g); s != nil && len(c.program.Steps) < k.steps {
				c.add(s)
			}
		}
		return made{c.program}
	})
}

// made is a Program that rapid does not print when it generates it: it is printed when it
// fails.
type made struct{ Program }

// GoString implements fmt.GoStringer.
func (made) GoString() string { return "…" }

// composer makes a program, and uses the model to find possible next steps.
type composer struct {
	kinds
	program Program
	m       *model
}

// add adds a step, unless its result is ambiguous.
func (c *composer) add(s *Step) {
	if c.m.do(s); !c.m.ambiguous {
		c.program.Steps = append(c.program.Steps, *s)
		return
	}
	c.m = newModel(c.program.Log)
	for _, s := range c.program.Steps {
		c.m.do(&s)
	}
}

// pick returns one of several values, the first for 0.
func pick[T any](n int, of ...T) T { return of[n%len(of)] }

var keys = []string{"k0", "k1", "k2"}

// shape makes the configuration of the log.
func (c *composer) shape(g, of gene) {
	l := &c.program.Log
	l.Storage = transport.MemoryStorage
	l.Retention = pick(g[0], transport.LimitsRetention, transport.InterestRetention)
	l.MaxMessages = pick[uint64](g[1], 0, 0, 0, 3, 5)
	l.MaxPerSubject = pick[uint64](g[2], 0, 0, 0, 0, 2)
	l.Full = pick(g[3], transport.Refuse, transport.DropOldest)
	if c.partitions {
		l.Partitions = pick(g[4], 0, 0, 2)
	}
	if c.delays && g[5]%8 == 7 {
		l.Delays, l.MaxDelayed = true, pick[uint64](g[5]/8, 0, 1, 2)
	}
	if c.timed {
		l.MaxAge = pick(of[4], 0, 0, 0, 23*time.Minute)
		l.DedupWindow = pick(of[5], 0, 0, 9*time.Minute)
	}
	for i := range pick(of[0], 0, 1, 2, 2) {
		l.Groups = append(l.Groups, c.group(i, of[i+1]))
	}
	c.m = newModel(*l)
}

// group returns the configuration of the group with a number.
func (c *composer) group(number, n int) transport.GroupConfig {
	return transport.GroupConfig{
		Name:    "g" + strconv.Itoa(number),
		Ordered: n%2 == 1,
		Filter:  pick(n/2, nil, nil, nil, []string{"k0"}, []string{"k1", "k2"}),
	}
}

// make makes a step. It returns nil if the gene makes none now.
func (c *composer) make(g gene) *Step {
	s := &Step{Process: pick(g[0]/24, 0, 1, 2)}
	makers := []func(*Step, gene) bool{
		c.makeAppend, c.makeAppend, c.makeAppend, c.makeAppend, c.makeAppend, c.makeAppend, c.makeAppend,
		c.makeJoin, c.makeJoin, c.makeJoin, c.makeJoin, c.makeSettle, c.makeSettle, c.makeSettle, c.makeSettle,
		c.makePublish, c.makeSubscribe, c.makeRemove, c.makePurge, c.makeAddGroup,
		c.makeDrain, c.makeRush, c.makeRush, c.makeRushCrash, c.makeClose, c.makeClose, c.makeCrash, c.makeWait, c.makeUnsubscribe, c.makeDeleteGroup,
	}
	if !makers[g[0]%len(makers)](s, g) {
		return nil
	}
	return s
}

func (c *composer) makeAppend(s *Step, g gene) bool {
	s.Do, s.Key, s.Fates = Append, pick(g[1], keys...), c.fates(g[2])
	switch how := g[3] % 16; {
	case how < 6:
	case how >= 10 && c.program.Log.Delays:
		s.Delay = pick(g[4], nakDelay, longDelay)
		s.ID = pick(g[5], "", "x")
	case how < 8:
		s.Count = c.burst(g[4])
	case how < 11:
		s.ID = pick(g[4], "x", "y")
	case how < 13:
		s.Expect = c.expectation(s.Key, g[4])
		s.ID = pick(g[5], "", "x", "y")
	case how < 14:
		s.Do = Request
	case c.timed:
		s.TTL = 10 * time.Minute
	}
	return true
}

// burst returns how many messages are sent at once. It is one if the fate of a message
// depends on the settlement of the previous one, or on the instant at which it was
// stored.
func (c *composer) burst(n int) int {
	if l := &c.program.Log; l.MaxMessages > 0 || l.MaxPerSubject > 0 || l.MaxAge > 0 {
		return 0
	}
	return pick(n, 2, 3, 5)
}

// fates returns the fates of a message. In every second group nothing is held, so that
// its members may have little in flight.
func (c *composer) fates(n int) []string {
	if n < 20 {
		return nil
	}
	busy := pick(n, "n", "t", "d", "nd", "nnn", "nt", "r", "rnr")
	held := pick(n, "h", "hh", "nh", "dh", "hnh", "th", "rh")
	if c.timed && n%13 == 0 {
		busy, held = "D", "Dh"
	}
	return []string{held, busy, held, busy}
}

func (c *composer) expectation(key string, n int) *transport.Expectation {
	e := &transport.Expectation{Subject: pick(n, "", key, keys[0])}
	e.Sequence = pick(n/3, c.m.lastOf(e.Subject), c.m.lastOf(e.Subject), c.m.last, 0, c.m.last+1)
	return e
}

func (c *composer) makePublish(s *Step, g gene) bool {
	s.Do = Publish
	if g[1]%2 == 0 {
		s.Topic = pick(g[1]/2, "a", "b", "b.c")
	} else {
		s.Key, s.Fates = pick(g[1]/2, keys...), c.fates(g[2])
	}
	s.Count = c.burst(g[3])
	return true
}

func (c *composer) makeSubscribe(s *Step, g gene) bool {
	s.Do, s.Group = Subscribe, pick(g[2], "", "", "q", "r")
	if g[1]%2 == 0 {
		s.Topic = pick(g[1]/2, "a", "*", "b.>", ">")
	} else {
		s.Key = pick(g[1]/2, "k0", "*", ">")
	}
	return len(c.m.subs) < 6
}

func (c *composer) makeUnsubscribe(s *Step, g gene) bool {
	if len(c.m.subs) == 0 {
		return false
	}
	s.Do, s.Process, s.Number = Unsubscribe, 0, g[1]%len(c.m.subs)
	return !c.m.subs[s.Number].ended
}

// existing returns the groups that exist.
func (c *composer) existing() []*modelGroup {
	return slices.DeleteFunc(slices.Clone(c.m.groups), func(g *modelGroup) bool { return g.deleted })
}

func (c *composer) makeJoin(s *Step, g gene) bool {
	groups := c.existing()
	if len(groups) == 0 || len(c.m.members) > 12 {
		return false
	}
	of := groups[g[1]%len(groups)]
	s.Do, s.Group, s.InFlight = Join, of.config.Name, 100
	if of.number%2 == 1 {
		s.InFlight = pick(g[2], 1, 2, 100)
	}
	return true
}

// member returns a member to end. There must be no doubt about what it holds.
func (c *composer) member(n int) (number int, ok bool) {
	if len(c.m.members) == 0 {
		return 0, false
	}
	number = n % len(c.m.members)
	return number, !c.m.members[number].ended
}

func (c *composer) makeDrain(s *Step, g gene) (ok bool) {
	s.Do = Drain
	s.Process = 0
	s.Number, ok = c.member(g[1])
	return ok && !c.m.members[s.Number].draining
}

func (c *composer) makeClose(s *Step, g gene) (ok bool) {
	s.Do = Close
	s.Process = 0
	s.Number, ok = c.member(g[1])
	return ok && c.certain(func(i int) bool { return i == s.Number })
}

func (c *composer) makeCrash(s *Step, g gene) bool {
	s.Do, s.Process = Crash, pick(g[1], 0, 1, 2)
	ends := func(i int) bool { return c.m.members[i].process == s.Process }
	return c.crashes && slices.ContainsFunc(c.m.members, func(m *modelMember) bool { return m.process == s.Process && !m.ended }) && c.certain(ends)
}

// makeRush makes a step in which other members get the messages that a member leaves.
func (c *composer) makeRush(s *Step, g gene) bool {
	s.Do, s.Key = Rush, pick(g[2], keys...)
	number, ok := c.member(g[1])
	if s.Number = number; !ok || c.m.members[number].draining {
		return false
	}
	s.Count = c.burst(g[3]) * 4
	return s.Count > 0 && len(c.m.taking(c.m.members[number].group)) > 1
}

func (c *composer) makeRushCrash(s *Step, g gene) bool {
	s.Do, s.Key, s.Number = RushCrash, pick(g[2], keys...), pick(g[1], 0, 1, 2)
	ends := func(i int) bool { return c.m.members[i].process == s.Number }
	some := false
	for i, member := range c.m.members {
		if !ends(i) || member.ended {
			continue
		}
		some = true
		if !slices.ContainsFunc(c.m.taking(member.group), func(i int) bool { return !ends(i) }) {
			return false
		}
	}
	for _, sub := range c.m.subs {
		if sub.process == s.Number && !sub.ended {
			return false // its deliveries are not determined
		}
	}
	s.Count = c.burst(g[3]) * 4
	return some && c.crashes && s.Process != s.Number && s.Count > 0 && c.certain(ends)
}

// certain reports whether it is known of each held delivery if one of the members holds
// it.
func (c *composer) certain(ends func(int) bool) bool {
	for _, g := range c.m.groups {
		for _, o := range slices.Concat(g.unsettled, g.void) {
			if slices.ContainsFunc(o.holders, ends) && slices.ContainsFunc(o.holders, func(i int) bool { return !ends(i) }) {
				return false
			}
		}
	}
	return true
}

func (c *composer) makeSettle(s *Step, g gene) bool {
	type held struct {
		g *modelGroup
		o *unsettled
	}
	var all []held
	for _, group := range c.m.groups {
		for _, o := range slices.Concat(group.unsettled, group.void) {
			if o.holders != nil {
				all = append(all, held{group, o})
			}
		}
	}
	if len(all) == 0 {
		return false
	}
	of := all[g[1]%len(all)]
	s.Do, s.Process, s.Group, s.Sequence = Settle, 0, of.g.config.Name, of.o.sequence
	s.Fates = []string{pick(g[2], "a", "n", "t", "d", "r")}
	if c.timed && g[3]%8 == 7 {
		s.Fates = []string{"D"}
	}
	return true
}

func (c *composer) makeRemove(s *Step, g gene) bool {
	s.Do, s.Sequence = Remove, 1+uint64(g[1])%(c.m.last+1)
	return true
}

func (c *composer) makePurge(s *Step, g gene) bool {
	s.Do, s.Key, s.Count = Purge, pick(g[1], "", keys[0], keys[1]), pick(g[2], 0, 0, 1)
	s.Sequence = pick(g[3], 0, 1+uint64(g[4])%(c.m.last+1))
	return s.Key == "" || !c.inFlight(s.Key)
}

// inFlight reports whether a message of a key was delivered and is not settled. If
// several of a key are purged at once, NATS counts those in flight as in flight until
// their members settle them, and may report more as settled than is.
func (c *composer) inFlight(key string) bool {
	return slices.ContainsFunc(c.m.groups, func(g *modelGroup) bool {
		return slices.ContainsFunc(g.unsettled, func(o *unsettled) bool { return o.key == key && o.times > 0 })
	})
}

func (c *composer) makeAddGroup(s *Step, g gene) bool {
	if len(c.m.groups) >= 4 {
		return false
	}
	of := c.group(len(c.m.groups), g[1])
	s.Do, s.Group, s.Filter, s.Ordered = AddGroup, of.Name, of.Filter, of.Ordered
	if gone := slices.IndexFunc(c.m.groups, func(g *modelGroup) bool { return g.deleted }); gone >= 0 && g[2]%2 == 0 {
		if name := c.m.groups[gone].config.Name; c.m.group(name) == nil {
			s.Group = name
		}
	}
	s.Start = pick(g[3], transport.Start{}, transport.Start{New: true}, transport.Start{Sequence: 1 + uint64(g[4])%(c.m.last+1)}, transport.Start{LastPerSubject: true})
	return true
}

func (c *composer) makeDeleteGroup(s *Step, g gene) bool {
	groups := c.existing()
	if len(groups) == 0 {
		return false
	}
	s.Do, s.Group = DeleteGroup, groups[g[1]%len(groups)].config.Name
	return true
}

// makeWait lets time pass. It is never so much that two events due in different minutes
// would be due in the same one, however long a step takes.
func (c *composer) makeWait(s *Step, g gene) bool {
	s.Do, s.Process, s.Delay = Wait, 0, pick(g[1], 6*time.Minute, 11*time.Minute)
	return c.timed
}
