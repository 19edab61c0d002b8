package transporttest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// model is a minimal implementation of a log with lists that are searched linearly. It
// returns the result of each step, and the observable state when everything is idle
// again.
type model struct {
	config transport.LogConfig
	now    time.Duration // a step takes a millisecond, and a Wait its duration
	step   int

	last    uint64
	stored  []*stored
	waiting []*stored // for their time, in its order
	ids     map[string]remembered
	laterID map[string]remembered // of delayed messages
	groups  []*modelGroup         // in the order of their creation, including deleted ones
	members []*modelMember
	subs    []*modelSubscription

	// ambiguous reports that a message was removed that a member may have fetched: whether it
	// is delivered all the same, and when its key goes on, is not determined.
	ambiguous bool
}

// stored is a message.
type stored struct {
	body, key, id string
	sequence      uint64
	fates         []string
	due, expires  time.Duration // 0: now, never
	rushed        bool          // sent while a process crashed: it may be delivered more often
}

type remembered struct {
	sequence uint64
	until    time.Duration
}

// modelGroup is a group, with its unsettled messages and its deliveries.
type modelGroup struct {
	config    transport.GroupConfig
	number    int
	unsettled []*unsettled
	void      []*unsettled        // removed while a member held it without knowing
	given     map[string]int      // deliveries by body
	keys      map[string][]string // deliveries of an ordered group by key, in order
	endings   int                 // of members; each may have cost attempts
	vague     bool                // began with the last of each subject, some of which are gone
	deleted   bool
}

// unsettled is a message that a group has not yet settled.
type unsettled struct {
	*stored
	times   int   // number of deliveries
	holders []int // members, one of which has it; nil means none
	after   time.Duration
}

type modelMember struct {
	group    *modelGroup
	process  int
	draining bool
	ended    bool // or drained
}

type modelSubscription struct {
	pattern, group string // pattern as in subject
	process        int
	ended          bool
	got            []string
}

func newModel(c transport.LogConfig) *model {
	m := &model{config: c, ids: make(map[string]remembered), laterID: make(map[string]remembered)}
	for _, g := range c.Groups {
		m.addGroup(g)
	}
	return m
}

// do takes a step and returns its expected results.
func (m *model) do(s *Step) []string {
	results := m.take(s)
	m.rest()
	m.step++
	m.now += time.Millisecond
	return results
}

func (m *model) take(s *Step) []string {
	switch s.Do {
	case Append, Publish, Request:
		return m.sends(s)
	case Subscribe:
		m.subs = append(m.subs, &modelSubscription{pattern: pattern(s), group: s.Group, process: s.Process})
	case Unsubscribe:
		m.subs[s.Number].ended = true
	case Join:
		m.members = append(m.members, &modelMember{group: m.group(s.Group), process: s.Process})
	case Drain:
		m.members[s.Number].draining = true
	case Close:
		m.end(s.Number)
	case Crash:
		m.crash(s.Process)
	case Rush:
		results := m.sends(s)
		m.members[s.Number].draining = true
		return results
	case RushCrash:
		results := m.sends(s)
		m.crash(s.Number)
		return results
	case Settle:
		m.settleHeld(s)
	case Remove:
		return []string{m.removes(s.Sequence)}
	case Purge:
		return []string{m.purges(s)}
	case AddGroup:
		m.addGroup(s.groupConfig())
	case DeleteGroup:
		m.deleteGroup(s.Group)
	case Wait:
		m.wait(s.Delay)
	}
	return []string{done}
}

// done is the result of a step without a specific result.
const done = "done"

func pattern(s *Step) string { return cmp.Or(s.Key, "topic."+s.Topic) }

func (s *Step) groupConfig() transport.GroupConfig {
	return transport.GroupConfig{Name: s.Group, Filter: s.Filter, Ordered: s.Ordered, Start: s.Start}
}

func (m *model) sends(s *Step) (results []string) {
	for i := range s.count() {
		e := &stored{body: body(m.step, i), key: s.Key, id: s.ID, fates: s.Fates, rushed: s.Do == RushCrash}
		if s.Do == Append && s.Delay > 0 {
			results = append(results, m.delay(e, s.Delay))
			continue
		}
		m.publish(pattern(s), e.body)
		result := done
		if s.Key != "" {
			result = m.append(e, s)
		}
		if s.Do == Publish {
			result = done
		}
		results = append(results, result)
	}
	return results
}

// publish passes a message to the subscriptions.
func (m *model) publish(subject, body string) {
	served := make(map[string]bool)
	for _, sub := range m.subs {
		if sub.ended || !transport.Match(sub.pattern, subject) || sub.group != "" && served[sub.group] {
			continue
		}
		served[sub.group] = true
		sub.got = append(sub.got, body)
	}
}

func (m *model) append(e *stored, s *Step) string {
	if s.Expect != nil {
		if last := m.lastOf(s.Expect.Subject); last != s.Expect.Sequence {
			if i := m.index(last); i >= 0 && e.id != "" && m.stored[i].id == e.id {
				return fmt.Sprintf("duplicate of %d", last)
			}
			return string(transport.Aborted)
		}
	}
	if was, ok := m.ids[e.id]; ok && e.id != "" && m.now < was.until {
		return fmt.Sprintf("duplicate of %d", was.sequence)
	}
	if !m.put(e) {
		return string(transport.ResourceExhausted)
	}
	if e.id != "" {
		m.ids[e.id] = remembered{e.sequence, m.now + m.config.Window()}
	}
	if s.TTL > 0 {
		e.expires = m.now + s.TTL
	}
	return fmt.Sprintf("stored as %d", e.sequence)
}

// lastOf returns the last sequence of a key, or of all.
func (m *model) lastOf(key string) uint64 {
	if key == "" {
		return m.last
	}
	for _, e := range slices.Backward(m.stored) {
		if e.key == key {
			return e.sequence
		}
	}
	return 0
}

func (m *model) index(sequence uint64) int {
	return slices.IndexFunc(m.stored, func(e *stored) bool { return e.sequence == sequence })
}

// put stores a message if there is room, and, if retention requires it, a group that
// wants it.
func (m *model) put(e *stored) bool {
	wanted := slices.ContainsFunc(m.groups, func(g *modelGroup) bool { return !g.deleted && g.matches(e.key) })
	if m.config.Retention == transport.InterestRetention && !wanted {
		m.last++
		e.sequence = m.last
		return true
	}
	for full := m.full(e.key); full >= 0; full = m.full(e.key) {
		if m.config.Full == transport.Refuse {
			return false
		}
		m.remove(full)
	}
	m.last++
	e.sequence = m.last
	if m.config.MaxAge > 0 {
		e.expires = m.now + m.config.MaxAge
	}
	m.stored = append(m.stored, e)
	for _, g := range m.groups {
		if !g.deleted && g.matches(e.key) {
			g.unsettled = append(g.unsettled, &unsettled{stored: e})
		}
	}
	return true
}

// full returns the index of the message that prevents another one of a key, or -1.
func (m *model) full(key string) int {
	is := func(e *stored) bool { return e.key == key }
	var ofKey uint64
	for _, e := range m.stored {
		if is(e) {
			ofKey++
		}
	}
	switch {
	case m.config.MaxPerSubject > 0 && ofKey >= m.config.MaxPerSubject:
		return slices.IndexFunc(m.stored, is)
	case m.config.MaxMessages > 0 && uint64(len(m.stored)) >= m.config.MaxMessages:
		return 0
	}
	return -1
}

func (m *model) delay(e *stored, d time.Duration) string {
	if was, ok := m.laterID[e.id]; ok && e.id != "" && m.now < was.until {
		return "duplicate of 0"
	}
	if m.config.MaxDelayed > 0 && m.delayed() >= m.config.MaxDelayed {
		return string(transport.ResourceExhausted)
	}
	if e.id != "" {
		m.laterID[e.id] = remembered{0, m.now + m.config.Window()}
	}
	if e.due = m.now; d >= longDelay {
		e.due += d
	}
	m.waiting = append(m.waiting, e)
	slices.SortStableFunc(m.waiting, func(a, b *stored) int { return cmp.Compare(a.due, b.due) })
	return "stored as 0"
}

// delayed returns the number of messages that wait for their time, and not for room.
func (m *model) delayed() (n uint64) {
	for _, e := range m.waiting {
		if e.due > m.now {
			n++
		}
	}
	return n
}

// remove deletes a message, which settles it.
func (m *model) remove(i int) {
	e := m.stored[i]
	m.stored = slices.Delete(m.stored, i, i+1)
	for _, g := range m.groups {
		g.vague = g.vague || g.config.Start.LastPerSubject
		g.unsettled = slices.DeleteFunc(g.unsettled, func(o *unsettled) bool {
			if o.stored == e && o.holders != nil {
				g.void = append(g.void, o)
			}
			if o.stored == e && g.keyed(m) && slices.ContainsFunc(m.members, func(of *modelMember) bool { return of.group == g && !of.ended }) {
				m.ambiguous = true
			}
			return o.stored == e
		})
	}
}

func (m *model) removes(sequence uint64) string {
	i := m.index(sequence)
	if i < 0 {
		return string(transport.NotFound)
	}
	m.remove(i)
	return done
}

func (m *model) purges(s *Step) string {
	var doomed []uint64
	for _, e := range m.stored {
		if (s.Key == "" || s.Key == e.key) && (s.Sequence == 0 || e.sequence < s.Sequence) {
			doomed = append(doomed, e.sequence)
		}
	}
	doomed = doomed[:max(len(doomed)-s.Count, 0)]
	for _, sequence := range doomed {
		m.remove(m.index(sequence))
	}
	return fmt.Sprintf("%d purged", len(doomed))
}

func (m *model) addGroup(c transport.GroupConfig) {
	g := &modelGroup{config: c, number: len(m.groups), given: make(map[string]int), keys: make(map[string][]string)}
	latest := make(map[string]uint64)
	for _, e := range m.stored {
		latest[e.key] = e.sequence
	}
	for _, e := range m.stored {
		switch s := c.Start; {
		case m.config.Retention == transport.InterestRetention, s.New, e.sequence < s.Sequence:
		case s.LastPerSubject && latest[e.key] != e.sequence:
		case g.matches(e.key):
			g.unsettled = append(g.unsettled, &unsettled{stored: e})
		}
	}
	m.groups = append(m.groups, g)
}

func (g *modelGroup) matches(key string) bool {
	return len(g.config.Filter) == 0 || slices.Contains(g.config.Filter, key)
}

// group returns the existing group of a name.
func (m *model) group(name string) *modelGroup {
	for _, g := range m.groups {
		if g.config.Name == name && !g.deleted {
			return g
		}
	}
	return nil
}

func (m *model) deleteGroup(name string) {
	g := m.group(name)
	g.deleted, g.unsettled, g.void = true, nil, nil
	for _, member := range m.members {
		member.ended = member.ended || member.group == g
	}
}

// taking returns the members of a group that accept deliveries.
func (m *model) taking(g *modelGroup) (numbers []int) {
	for i, member := range m.members {
		if member.group == g && !member.draining && !member.ended {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// end hands back the messages of a member. The program leaves no doubt which they are.
func (m *model) end(number int) {
	member := m.members[number]
	member.ended = true
	member.group.endings++
	holds := func(o *unsettled) bool { return slices.Contains(o.holders, number) }
	for _, o := range member.group.unsettled {
		if holds(o) {
			o.holders = nil
		}
	}
	member.group.void = slices.DeleteFunc(member.group.void, holds)
}

func (m *model) crash(process int) {
	for i, member := range m.members {
		if member.process == process && !member.ended {
			m.end(i)
		}
	}
	for _, sub := range m.subs {
		sub.ended = sub.ended || sub.process == process
	}
}

func (m *model) settleHeld(s *Step) {
	g := m.group(s.Group)
	for _, o := range g.unsettled {
		if o.sequence == s.Sequence {
			m.settle(g, o, fate(s.Fates[0][0]))
			return
		}
	}
	g.void = slices.DeleteFunc(g.void, func(o *unsettled) bool { return o.sequence == s.Sequence })
}

func (m *model) settle(g *modelGroup, o *unsettled, f fate) {
	switch f {
	case acks, terminates:
		g.done(o)
	case naks, delays, releases:
		o.holders = nil
	case postpones:
		o.holders, o.after = nil, m.now+longDelay
	case holds:
		o.holders = m.taking(g)
	}
}

func (g *modelGroup) done(o *unsettled) {
	g.unsettled = slices.DeleteFunc(g.unsettled, func(other *unsettled) bool { return other == o })
}

// rest does everything that can happen.
func (m *model) rest() {
	for moved := true; moved; {
		moved = m.expire() || m.removeSettled() || m.release()
		for _, g := range m.groups {
			moved = m.deliver(g) || moved
		}
	}
}

// wait lets time pass, from one due event to the next.
func (m *model) wait(d time.Duration) {
	for end := m.now + d; m.now < end; m.rest() {
		at := end
		for _, e := range slices.Concat(m.stored, m.waiting) {
			at = m.sooner(at, e.expires, e.due)
		}
		for _, g := range m.groups {
			for _, o := range g.unsettled {
				at = m.sooner(at, o.after)
			}
		}
		m.now = at
	}
}

// sooner returns the earliest of several future times.
func (m *model) sooner(times ...time.Duration) time.Duration {
	return slices.Min(slices.DeleteFunc(times, func(at time.Duration) bool { return at <= m.now }))
}

// expire removes an expired message.
func (m *model) expire() bool {
	i := slices.IndexFunc(m.stored, func(e *stored) bool { return e.expires > 0 && e.expires <= m.now })
	if i >= 0 {
		m.remove(i)
	}
	return i >= 0
}

// removeSettled removes a message that no group needs any more, if the retention requires it.
func (m *model) removeSettled() bool {
	if m.config.Retention != transport.InterestRetention {
		return false
	}
	i := slices.IndexFunc(m.stored, func(e *stored) bool {
		return !slices.ContainsFunc(m.groups, func(g *modelGroup) bool { return g.needs(e) })
	})
	if i >= 0 {
		m.remove(i)
	}
	return i >= 0
}

func (g *modelGroup) needs(e *stored) bool {
	return slices.ContainsFunc(g.unsettled, func(o *unsettled) bool { return o.stored == e })
}

// release stores a message that is due, if there is room.
func (m *model) release() bool {
	if len(m.waiting) == 0 || m.waiting[0].due > m.now || !m.put(m.waiting[0]) {
		return false
	}
	m.waiting = m.waiting[1:]
	return true
}

// deliver makes the next delivery of a group, if there is one.
func (m *model) deliver(g *modelGroup) bool {
	takers := m.taking(g)
	if len(takers) == 0 {
		return false
	}
	for _, o := range g.unsettled {
		if o.holders != nil || o.after > m.now || g.blocked(o, m) {
			continue
		}
		o.times++
		g.given[o.body] = o.times
		if g.config.Ordered && !o.rushed {
			key := orderKey(&m.config, o.key)
			g.keys[key] = append(g.keys[key], fmt.Sprintf("%s×%d", o.body, o.times))
		}
		m.settle(g, o, fateOf(o.fates, g.number, o.times))
		return true
	}
	return false
}

// orderKey returns the key within which messages are in order. Without Partitions, it is the same
// for all.
func orderKey(c *transport.LogConfig, key string) string {
	if c.Partitions == 0 {
		return ""
	}
	return transport.KeyOf(key)
}

// keyed reports whether the group keeps the order of keys.
func (g *modelGroup) keyed(m *model) bool { return g.config.Ordered && m.config.Partitions > 0 }

// blocked reports whether a message of an ordered group waits for a previous one.
func (g *modelGroup) blocked(o *unsettled, m *model) bool {
	if !g.config.Ordered {
		return false
	}
	key := orderKey(&m.config, o.key)
	return slices.ContainsFunc(g.unsettled, func(other *unsettled) bool {
		return other != o && orderKey(&m.config, other.key) == key && (other.times > 0 || other.sequence < o.sequence)
	})
}

// farewell returns a step towards an end at which no member holds anything and all
// members drain. It returns nil at that end.
func (m *model) farewell() *Step {
	for _, g := range m.groups {
		for _, o := range slices.Concat(g.unsettled, g.void) {
			if o.holders != nil {
				return &Step{Do: Settle, Group: g.config.Name, Sequence: o.sequence, Fates: []string{"a"}}
			}
		}
	}
	for i, member := range m.members {
		if !member.draining && !member.ended {
			return &Step{Do: Drain, Number: i}
		}
	}
	return nil
}

// view returns the current observable state.
func (m *model) view() view {
	v := view{Log: logView{Last: m.last, First: m.last + 1, Delayed: m.delayed(), Holds: []string{}}}
	for i, e := range m.stored {
		if i == 0 {
			v.Log.First = e.sequence
		}
		v.Log.Holds = append(v.Log.Holds, fmt.Sprintf("%d: %s on %s id %q", e.sequence, e.body, e.key, e.id))
	}
	for _, g := range m.groups {
		v.Groups = append(v.Groups, m.groupView(g))
	}
	shared := make(map[string][]string)
	for _, sub := range m.subs {
		if sub.group != "" {
			shared[sub.group] = append(shared[sub.group], sub.got...)
			continue
		}
		v.Subscriptions = append(v.Subscriptions, slices.Clone(sub.got))
	}
	for _, group := range slices.Sorted(maps.Keys(shared)) {
		v.Shared = append(v.Shared, group+": "+strings.Join(slices.Sorted(slices.Values(shared[group])), " "))
	}
	return v
}

func (m *model) groupView(g *modelGroup) groupView {
	v := groupView{Name: g.config.Name, Deleted: g.deleted, Vague: g.vague, Keyed: g.keyed(m), Held: []string{}, Keys: maps.Clone(g.keys), Given: maps.Clone(g.given)}
	for _, o := range g.unsettled {
		switch {
		case o.times == 0:
			v.Undelivered++
		default:
			v.InFlight++
		}
		if o.holders != nil {
			v.Held = append(v.Held, fmt.Sprintf("%s×%d", o.body, o.times))
		}
	}
	return v
}
