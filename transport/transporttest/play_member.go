package transporttest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"gomono.dev/transport"
)

// playGroup is a group of a player, with the state of its messages.
type playGroup struct {
	config        transport.GroupConfig // of the program
	number        int
	deleted       bool
	endings       int // of members; each may have cost a message an attempt
	joins         int
	info          transport.GroupInfo   // at the last query
	states        map[string]*playState // by body
	keys          map[string][]string
	fencingTokens map[string]uint64 // by key
	highest       uint64            // highest sequence that was delivered
}

// playState is the state of a message in a group.
type playState struct {
	times      int
	handedBack int       // number of times
	attempt    int       // of the last delivery that was not handed back
	settled    bool      // acknowledged or terminated
	notBefore  time.Time // of the next delivery
	held       *transport.Delivery
	by         *playMember // the member that holds it, or settled it
	key        string      // within which it is in order
	endings    int         // of the group, at its first delivery
}

// playMember is a member of a group.
type playMember struct {
	transport.Receiver
	y       *player
	group   *playGroup
	process *process
	number  int

	busy    bool // the handler is running
	ended   bool
	drains  bool       // its Drain has begun
	drained chan error // of capacity 1: the result of Drain
}

func (y *player) addGroup(c transport.GroupConfig) *playGroup {
	g := &playGroup{
		config: c, number: len(y.groups),
		states: make(map[string]*playState), keys: make(map[string][]string), fencingTokens: make(map[string]uint64),
	}
	y.groups = append(y.groups, g)
	return g
}

// addGroupLater adds a group to an existing log.
func (y *player) addGroupLater(ctx context.Context, s *Step) error {
	if err := y.make(ctx, s.groupConfig()); err != nil {
		return err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.addGroup(s.groupConfig())
	return nil
}

func (y *player) group(name string) *playGroup {
	for _, g := range y.groups {
		if g.config.Name == name && !g.deleted {
			return g
		}
	}
	return nil
}

func (y *player) deleteGroup(ctx context.Context, p *process, s *Step) error {
	y.mu.Lock()
	g := y.group(s.Group)
	g.deleted = true
	y.mu.Unlock()
	if err := p.log.DeleteGroup(ctx, s.Group); err != nil {
		return err
	}
	for _, d := range y.voids(g) {
		_ = d.Ack(ctx) // so that its Receiver comes to its end
	}
	return nil
}

// voids removes the deliveries of a deleted group's members, and returns them.
func (y *player) voids(g *playGroup) (held []*transport.Delivery) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, state := range g.states {
		if state.held != nil {
			held = append(held, state.held)
			state.held = nil
		}
	}
	return held
}

func (y *player) join(ctx context.Context, p *process, s *Step) (err error) {
	y.mu.Lock()
	m := &playMember{y: y, group: y.group(s.Group), process: p, number: len(y.members)}
	m.group.joins++
	y.members = append(y.members, m)
	y.mu.Unlock()
	c := transport.ConsumeConfig{Group: y.groupConfig(m.group.config), MaxInFlight: s.InFlight}
	m.Receiver, err = p.log.Consume(ctx, c, transport.Serial(m.handle))
	return err
}

// handle is the handler of a member.
func (m *playMember) handle(d *transport.Delivery) {
	f, counts := m.received(d)
	if !counts {
		return
	}
	err := perform(context.Background(), d, f)
	m.y.mu.Lock()
	defer m.y.mu.Unlock()
	if err != nil && !m.ended && !m.group.deleted {
		m.y.breaks("%s cannot be settled: %v", d.Body, err)
	}
	m.busy = false
}

func perform(ctx context.Context, d *transport.Delivery, f fate) error {
	switch f {
	case terminates:
		return d.Terminate(ctx, "as the program specifies")
	case naks:
		return d.Nak(ctx, 0)
	case delays:
		return d.Nak(ctx, nakDelay)
	case postpones:
		return d.Nak(ctx, longDelay)
	case releases:
		return d.Release(ctx)
	case holds:
		return nil
	}
	return d.Ack(ctx)
}

// received records a delivery, checks it, and returns its fate. A delivery to a member
// that was ended from outside does not count: it is handed back, or lost with its process
// or group.
func (m *playMember) received(d *transport.Delivery) (fate, bool) {
	y, g := m.y, m.group
	y.mu.Lock()
	defer y.mu.Unlock()
	if m.ended || g.deleted {
		return holds, false
	}
	sent := y.messages[string(d.Body)]
	if sent == nil {
		y.breaks("%q was delivered but never sent", d.Body)
		return holds, false
	}
	state := g.states[string(d.Body)]
	if state == nil {
		state = &playState{key: orderKey(&y.program.Log, sent.key), endings: g.endings}
		g.states[string(d.Body)] = state
	}
	state.times++
	m.check(d, sent, state)
	state.attempt = d.Attempt
	if g.config.Ordered && !sent.rushed {
		g.keys[state.key] = append(g.keys[state.key], fmt.Sprintf("%s×%d", d.Body, state.times))
	}
	f := fateOf(sent.fates, g.number, state.times)
	m.decided(d, state, f)
	m.busy = true
	return f, true
}

// decided records the fate of a delivery before its settlement can have an effect.
func (m *playMember) decided(d *transport.Delivery, state *playState, f fate) {
	state.held, state.by = nil, nil
	switch f {
	case acks, terminates:
		state.settled, state.by = true, m
	case delays:
		state.notBefore = time.Now().Add(nakDelay)
	case postpones:
		state.notBefore = time.Now().Add(longDelay)
	case releases:
		state.takenBack()
	case holds:
		state.held, state.by = d, m
	}
}

// takenBack records that the last delivery was handed back and does not count as an
// attempt.
func (s *playState) takenBack() {
	s.handedBack++
	s.attempt--
}

// settle ends a held delivery.
func (y *player) settle(ctx context.Context, s *Step) error {
	y.mu.Lock()
	var held *transport.Delivery
	f := fate(s.Fates[0][0])
	for _, state := range y.group(s.Group).states {
		if state.held != nil && state.held.Sequence == s.Sequence {
			held = state.held
			state.by.decided(held, state, f)
			break
		}
	}
	y.mu.Unlock()
	if held == nil {
		return fmt.Errorf("message %d is not held", s.Sequence)
	}
	return perform(ctx, held, f)
}

// holds returns what a member holds. The caller holds the lock.
func (m *playMember) holds() (states []*playState) {
	for _, state := range m.group.states {
		if state.held != nil && state.by == m {
			states = append(states, state)
		}
	}
	return states
}

// drain begins to drain a member, and waits until that has begun or is over.
func (m *playMember) drain(ctx context.Context) {
	m.y.mu.Lock()
	m.group.endings++
	m.drained = make(chan error, 1)
	m.y.mu.Unlock()
	go func() {
		err := m.Drain(ctx)
		m.y.mu.Lock()
		defer m.y.mu.Unlock()
		if err == nil && len(m.holds()) > 0 && !m.ended && !m.group.deleted {
			m.y.breaks("a Drain has returned while the member held %d deliveries", len(m.holds()))
		}
		m.drained <- err
	}()
	m.awaitDrain(ctx)
	m.y.mu.Lock()
	defer m.y.mu.Unlock()
	m.drains = true
}

// awaitDrain waits until a Drain is over or has certainly begun. There is no signal for
// the latter: a goroutine that became ready after that of the Drain has run many times.
// After the reply to the Ping the backend has everything that the Drain has sent.
func (m *playMember) awaitDrain(ctx context.Context) {
	turns := time.NewTicker(5 * time.Millisecond)
	defer turns.Stop()
	for range 20 {
		select {
		case err := <-m.drained:
			m.drained <- err
			return
		case <-turns.C:
		}
	}
	_ = m.process.tr.Ping(ctx)
}

// leaves reports whether a member drains and Drain has not returned although nothing is
// held. The caller holds the lock.
func (m *playMember) leaves() bool {
	return m.drained != nil && len(m.drained) == 0 && len(m.holds()) == 0 && !m.ended
}

// left waits until a draining member has left.
func (m *playMember) left(ctx context.Context) error {
	if m.drained == nil {
		return nil
	}
	select {
	case err := <-m.drained:
		m.y.mu.Lock()
		defer m.y.mu.Unlock()
		if m.ended || m.group.deleted {
			return nil // and Drain may return an error
		}
		m.ended = true
		return err
	case <-ctx.Done():
		return fmt.Errorf("its Drain does not return although it holds nothing: %w", ctx.Err())
	}
}

// close ends a member. It no longer owns the deliveries that it holds.
func (m *playMember) close(ctx context.Context) error {
	held := m.giveUp(0)
	m.Close()
	for _, d := range held {
		if err := d.Ack(ctx); transport.CodeOf(err) != transport.FailedPrecondition {
			return fmt.Errorf("an Ack of %s after Close returns %v", d.Body, err)
		}
	}
	return nil
}

// giveUp takes the deliveries of a member away, and returns them. They come again after a
// delay. After the end of a process that delay is less than the AckWait: the last
// extension may have been a quarter of the AckWait ago.
func (m *playMember) giveUp(delay time.Duration) (held []*transport.Delivery) {
	m.y.mu.Lock()
	defer m.y.mu.Unlock()
	if m.ended {
		return nil
	}
	m.ended = true
	m.group.endings++
	for _, state := range m.holds() {
		held = append(held, state.held)
		state.held, state.by = nil, nil
		state.notBefore = time.Now().Add(delay)
		if delay == 0 {
			state.takenBack()
		}
	}
	return held
}

// view returns the observable state of a group that needs no query to the backend.
func (g *playGroup) view(present map[uint64]bool, rushed func(body string) bool) groupView {
	v := groupView{Name: g.config.Name, Deleted: g.deleted, Given: make(map[string]int), Keys: maps.Clone(g.keys)}
	for key := range v.Keys {
		v.Keys[key] = slices.Clone(v.Keys[key])
	}
	for body, state := range g.states {
		if v.Given[body] = state.times; rushed(body) {
			v.Given[body] = 1 // or more
		}
		if state.held != nil && present[state.held.Sequence] {
			v.Held = append(v.Held, fmt.Sprintf("%s×%d", body, state.times))
		}
	}
	return v
}

// acknowledged reads the reply to a plain client's message.
func (y *player) acknowledged(body string, reply []byte) (string, error) {
	var ack struct {
		Sequence  uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
		Error     any    `json:"error"`
	}
	if err := json.Unmarshal(reply, &ack); err != nil {
		return "", fmt.Errorf("a plain request got the reply %q: %w", reply, err)
	}
	if ack.Error != nil {
		return string(transport.ResourceExhausted), nil
	}
	return y.appended(body, transport.Appended{Sequence: ack.Sequence, Duplicate: ack.Duplicate}), nil
}
