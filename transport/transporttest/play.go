package transporttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

// Backend is a backend on which programs run.
type Backend struct {
	// Name is its name in reports.
	Name string

	// Open returns the backend for one program: a function that connects to it, and a
	// function that removes the program's log, for backends that all programs share. The
	// latter may be nil.
	Open func() (connect func(context.Context) (transport.Transport, error), forget func(context.Context, transport.Transport, string) error)

	// Kill ends a Transport as the end of its process would: nothing that it holds is
	// handed back. If it is nil, programs have no Crash.
	Kill func(transport.Transport)

	// Bubble runs every program in a separate testing/synctest bubble, so that programs
	// may let minutes pass.
	Bubble bool
}

// outcome is the result of a program: the observable state after each step.
type outcome struct {
	steps []stepOutcome
	err   error // of a program that ended early
}

type stepOutcome struct {
	results []string
	view    view
}

// patienceWith is how long a backend may make no progress towards the state of the model.
// After a failure, smaller programs get less: the shortest AckWait, and the time after
// which a full log looks for room again.
type patienceWith time.Duration

const (
	firstPatience = patienceWith(time.Minute)
	laterPatience = patienceWith(3 * time.Second)
)

// play runs a program on a backend. The model defines the state in which everything is
// idle. It is an error if the backend never reaches it.
func play(ctx context.Context, b *Backend, p *Program, patience patienceWith) (o outcome) {
	y := newPlayer(b, p)
	y.patience = patience
	defer func() {
		if err := y.end(); err != nil && o.err == nil {
			o.err = err
		}
	}()
	if err := y.open(ctx); err != nil {
		return outcome{err: fmt.Errorf("the log cannot be opened: %w", err)}
	}
	m := newModel(p.Log)
	for i := range p.Steps {
		y.step = i
		step, err := y.play(ctx, &p.Steps[i], m)
		if err != nil {
			o.err = fmt.Errorf("step %d, %s on %s: %w", i, p.Steps[i].Do, b.Name, err)
			return o
		}
		o.steps = append(o.steps, step)
	}
	for s := m.farewell(); s != nil; s = m.farewell() {
		step, err := y.play(ctx, s, m)
		if err != nil {
			o.err = fmt.Errorf("at the end, %s of %s%d on %s: %w", s.Do, s.Group, s.Number, b.Name, err)
			return o
		}
		o.steps = append(o.steps, step)
	}
	o.err = y.farewell(ctx)
	return o
}

// player runs one program.
type player struct {
	backend *Backend
	program *Program
	root    string
	connect func(context.Context) (transport.Transport, error)
	forget  func(context.Context, transport.Transport, string) error
	step    int

	patience  patienceWith
	processes map[int]*process

	mu       sync.Mutex
	groups   []*playGroup
	members  []*playMember
	subs     []*playSubscription
	messages map[string]*played // by body
	opened   bool               // the log was opened, with its groups
	last     uint64             // the highest sequence that was seen
	present  map[uint64]bool    // sequences in the log at that time
	broken   error              // the first broken guarantee
}

// process is a Transport and its view of the log.
type process struct {
	tr  transport.Transport
	log transport.Log
}

// played is a message that was sent.
type played struct {
	key, id   string
	fates     []string
	notBefore time.Time
	rushed    bool   // sent while a process crashed
	sequence  uint64 // 0 until it is known
}

type playSubscription struct {
	transport.Receiver
	group string
	got   []string
}

func newPlayer(b *Backend, p *Program) *player {
	y := &player{
		backend: b, program: p, root: "program-" + strconv.FormatUint(rand.Uint64(), 36),
		processes: make(map[int]*process), messages: make(map[string]*played),
	}
	y.connect, y.forget = b.Open()
	for _, g := range p.Log.Groups {
		y.addGroup(g)
	}
	return y
}

func (y *player) open(ctx context.Context) error {
	_, err := y.process(ctx, 0)
	return err
}

// process returns a process, and starts it if necessary.
func (y *player) process(ctx context.Context, number int) (*process, error) {
	if p := y.processes[number]; p != nil {
		return p, nil
	}
	tr, err := y.connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{tr: tr}
	y.processes[number] = p
	if !y.opened {
		y.opened = true
		if err := y.make(ctx, y.program.Log.Groups...); err != nil {
			return nil, err
		}
	}
	p.log, err = tr.Log(ctx, y.config())
	return p, err
}

// make creates the log, or groups of it, with a separate Transport. A group cannot be
// deleted permanently while a Transport that declared it is open.
func (y *player) make(ctx context.Context, groups ...transport.GroupConfig) error {
	tr, err := y.connect(ctx)
	if err != nil {
		return err
	}
	c := y.config()
	for _, g := range groups {
		c.Groups = append(c.Groups, y.groupConfig(g))
	}
	_, err = tr.Log(ctx, c)
	return errors.Join(err, tr.Close(ctx))
}

// config returns the configuration of the log, with its name and subjects.
func (y *player) config() transport.LogConfig {
	c := y.program.Log
	c.Name, c.Subjects = y.root, []string{y.root + ".*"}
	c.Groups = nil
	return c
}

func (y *player) groupConfig(g transport.GroupConfig) transport.GroupConfig {
	var filter []string
	for _, key := range g.Filter {
		filter = append(filter, y.subject(key))
	}
	g.Filter = filter
	g.AckWait = y.ackWait()
	return g
}

// ackWait is short if a program waits for it, and long if it only has to tolerate a busy
// machine.
func (y *player) ackWait() time.Duration {
	if slices.ContainsFunc(y.program.Steps, func(s Step) bool { return s.Do == Crash || s.Do == RushCrash }) {
		return transport.MinAckWait
	}
	return 10 * transport.MinAckWait
}

func (y *player) subject(rest string) string { return y.root + "." + rest }

// stepTime is the minimum duration of a step in virtual time. Events that are due because
// of one step, with all short delays that follow, happen before those that are due
// because of the next.
const stepTime = 500 * time.Millisecond

// play takes a step, and waits until everything is idle.
func (y *player) play(ctx context.Context, s *Step, m *model) (stepOutcome, error) {
	results, err := y.take(ctx, s)
	if err != nil {
		return stepOutcome{}, err
	}
	want := m.do(s)
	if !slices.Equal(results, want) {
		return stepOutcome{}, fmt.Errorf("it returns %q, and the model returns %q", results, want)
	}
	if y.backend.Bubble {
		<-time.After(stepTime)
	}
	got, err := y.rest(ctx, m.view())
	return stepOutcome{results, got}, err
}

// rest waits until the observable state is the wanted one, and no guarantee is broken.
func (y *player) rest(ctx context.Context, want view) (got view, err error) {
	wanted := want.lines()
	var before []string
	moved := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := y.brokenPromise(); err != nil {
			return got, err
		}
		seen, err := y.view(ctx)
		if err != nil {
			return got, err
		}
		for i := range want.Groups {
			seen.Groups[i].Vague, seen.Groups[i].Keyed = want.Groups[i].Vague, want.Groups[i].Keyed
		}
		lines := seen.lines()
		if slices.Equal(lines, wanted) && !y.waitsForDrain() {
			y.checkSettled()
			return seen, y.brokenPromise()
		}
		if !slices.Equal(lines, before) {
			before, moved = lines, time.Now()
		}
		if time.Since(moved) > time.Duration(y.patience) {
			return got, fmt.Errorf("it does not reach the state of the model:\n%s", differences("is", lines, "want", wanted))
		}
		<-time.After(pause)
	}
}

func (y *player) waitsForDrain() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.ContainsFunc(y.members, (*playMember).leaves)
}

func (y *player) brokenPromise() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.broken
}

// breaks records that a guarantee is broken. The caller holds the lock.
func (y *player) breaks(format string, args ...any) {
	if y.broken == nil {
		y.broken = fmt.Errorf(format, args...)
	}
}

// view queries the complete observable state.
func (y *player) view(ctx context.Context) (v view, err error) {
	log, err := y.anyLog(ctx)
	if err != nil {
		return v, err
	}
	if v.Log, err = y.logView(ctx, log); err != nil {
		return v, err
	}
	infos, err := log.Groups(ctx)
	if err != nil {
		return v, fmt.Errorf("querying the groups: %w", err)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, g := range y.groups {
		gv := g.view(y.present, func(body string) bool { return y.messages[body].rushed })
		for _, info := range infos {
			if info.Config.Name == gv.Name && !gv.Deleted {
				gv.Undelivered, gv.InFlight = int(info.Undelivered), int(info.InFlight)
				g.info = info
			}
		}
		v.Groups = append(v.Groups, gv)
	}
	shared := make(map[string][]string)
	for _, sub := range y.subs {
		if sub.group != "" {
			shared[sub.group] = append(shared[sub.group], sub.got...)
			continue
		}
		v.Subscriptions = append(v.Subscriptions, slices.Clone(sub.got))
	}
	for _, group := range slices.Sorted(maps.Keys(shared)) {
		v.Shared = append(v.Shared, group+": "+strings.Join(slices.Sorted(slices.Values(shared[group])), " "))
	}
	return v, nil
}

// anyLog returns the log of any running process.
func (y *player) anyLog(ctx context.Context) (transport.Log, error) {
	for _, number := range slices.Sorted(maps.Keys(y.processes)) {
		return y.processes[number].log, nil
	}
	p, err := y.process(ctx, 0)
	if err != nil {
		return nil, err
	}
	return p.log, nil
}

func (y *player) logView(ctx context.Context, log transport.Log) (v logView, err error) {
	info, err := log.Info(ctx)
	if err != nil {
		return v, fmt.Errorf("querying the info: %w", err)
	}
	v.First, v.Last, v.Delayed = info.First, info.Last, info.Delayed
	present := make(map[uint64]bool)
	for d, err := range log.Read(ctx, transport.ReadConfig{}) {
		if err != nil {
			return v, fmt.Errorf("reading: %w", err)
		}
		present[d.Sequence] = true
		v.Holds = append(v.Holds, fmt.Sprintf("%d: %s on %s id %q", d.Sequence, d.Body, strings.TrimPrefix(d.Subject, y.root+"."), d.ID))
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if info.Last < y.last {
		y.breaks("the last sequence of the log is %d and was %d: sequences must never go back", info.Last, y.last)
	}
	y.last, y.present = info.Last, present
	return v, nil
}

// take takes a step.
func (y *player) take(ctx context.Context, s *Step) ([]string, error) {
	p, err := y.process(ctx, s.Process)
	if err != nil {
		return nil, err
	}
	switch s.Do {
	case Append:
		return y.append(ctx, p, s)
	case Publish:
		return y.publish(ctx, p, s)
	case Request:
		return y.request(ctx, p, s)
	case Subscribe:
		err = y.subscribe(ctx, p, s)
	case Unsubscribe:
		err = y.subs[s.Number].Drain(ctx)
	case Join:
		err = y.join(ctx, p, s)
	case Drain:
		y.members[s.Number].drain(ctx)
	case Close:
		err = y.members[s.Number].close(ctx)
	case Crash:
		err = y.crash(ctx, s.Process)
	case Rush:
		return y.rush(ctx, p, s, func() error {
			y.members[s.Number].drain(ctx)
			return nil
		})
	case RushCrash:
		return y.rush(ctx, p, s, func() error { return y.crash(ctx, s.Number) })
	case Settle:
		err = y.settle(ctx, s)
	case Remove:
		err = p.log.Remove(ctx, s.Sequence)
	case Purge:
		return y.purge(ctx, p, s)
	case AddGroup:
		err = y.addGroupLater(ctx, s)
	case DeleteGroup:
		err = y.deleteGroup(ctx, p, s)
	case Wait:
		<-time.After(s.Delay)
	}
	result, err := resultOf(done, err)
	return []string{result}, err
}

// resultOf returns the code of an error that a step may return, or its result.
func resultOf(result string, err error) (string, error) {
	switch code := transport.CodeOf(err); {
	case err == nil:
		return result, nil
	case code == transport.Aborted, code == transport.ResourceExhausted, code == transport.NotFound:
		if e, ok := errors.AsType[*transport.Error](err); !ok || e.Outcome != transport.OutcomeNotDone {
			return "", fmt.Errorf("%w: want an Error with OutcomeNotDone", err)
		}
		return string(code), nil
	}
	return "", err
}

// message creates the ith message of a step, and records it before it is sent.
func (y *player) message(s *Step, i int) (*transport.Message, *played) {
	m := &transport.Message{Subject: y.subject(pattern(s)), Body: []byte(body(y.step, i))}
	m.Header.Set("Key", s.Key)
	sent := &played{key: s.Key, id: s.ID, fates: s.Fates, rushed: s.Do == RushCrash}
	if s.Do == Append && s.Delay > 0 {
		sent.notBefore = time.Now().Add(s.Delay)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.messages[string(m.Body)] = sent
	return m, sent
}

// append stores one message, or several without waiting in between.
func (y *player) append(ctx context.Context, p *process, s *Step) (results []string, err error) {
	answers := make([]answer, s.count())
	if len(answers) == 1 {
		m, o := y.appending(s, 0)
		answers[0].at, answers[0].err = p.log.Append(ctx, m, o)
	} else {
		y.appendAll(ctx, p, s, answers)
	}
	for i, a := range answers {
		result, err := resultOf(y.appended(body(y.step, i), a.at), a.err)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// answer is the result of an append.
type answer struct {
	at  transport.Appended
	err error
}

func (y *player) appendAll(ctx context.Context, p *process, s *Step, answers []answer) {
	var all sync.WaitGroup
	all.Add(len(answers))
	for i := range answers {
		m, o := y.appending(s, i)
		err := p.log.AppendAsync(ctx, m, o, func(at transport.Appended, err error) {
			answers[i] = answer{at, err}
			all.Done()
		})
		if err != nil {
			answers[i].err = err
			all.Done()
		}
	}
	all.Wait()
}

// appending returns the ith message of a step and its options.
func (y *player) appending(s *Step, i int) (*transport.Message, transport.AppendOptions) {
	m, sent := y.message(s, i)
	o := transport.AppendOptions{ID: s.ID, TTL: s.TTL, NotBefore: sent.notBefore}
	if s.Expect != nil {
		expect := *s.Expect
		if expect.Subject != "" {
			expect.Subject = y.subject(expect.Subject)
		}
		o.Expect = &expect
	}
	return m, o
}

// appended describes where a message was stored.
func (y *player) appended(body string, at transport.Appended) string {
	if at.Duplicate {
		return fmt.Sprintf("duplicate of %d", at.Sequence)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.located(body, at.Sequence)
	return fmt.Sprintf("stored as %d", at.Sequence)
}

// located records the sequence of a message.
func (y *player) located(body string, sequence uint64) {
	m := y.messages[body]
	if m.sequence != 0 && sequence != 0 && m.sequence != sequence {
		y.breaks("message %s is at %d and at %d", body, m.sequence, sequence)
	}
	m.sequence = max(m.sequence, sequence)
}

// publish sends plain messages. A rejected append behind them shows when the log has
// handled them.
func (y *player) publish(ctx context.Context, p *process, s *Step) (results []string, err error) {
	for i := range s.count() {
		m, _ := y.message(s, i)
		if err := p.tr.Publish(ctx, m); err != nil {
			return nil, err
		}
		results = append(results, done)
	}
	if s.Key == "" {
		return results, p.tr.Ping(ctx)
	}
	_, err = p.log.Append(ctx, &transport.Message{Subject: y.subject(barrier)}, transport.AppendOptions{Expect: &transport.Expectation{Sequence: 1 << 60}})
	if transport.CodeOf(err) != transport.Aborted {
		return nil, fmt.Errorf("an append with an expectation that cannot hold returns %v", err)
	}
	return results, nil
}

// barrier is the key of messages that are not part of the program.
const barrier = "barrier"

// request asks the log to store messages, as a plain client does. The reply is specific
// to the backend.
func (y *player) request(ctx context.Context, p *process, s *Step) (results []string, err error) {
	for i := range s.count() {
		m, _ := y.message(s, i)
		reply, err := p.tr.Request(ctx, m)
		if err != nil {
			return nil, err
		}
		result, err := y.acknowledged(body(y.step, i), reply.Body)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

func (y *player) subscribe(ctx context.Context, p *process, s *Step) (err error) {
	sub := &playSubscription{group: s.Group}
	sub.Receiver, err = p.tr.Subscribe(ctx, transport.Subscription{Subject: y.subject(pattern(s)), Group: s.Group}, transport.Serial(func(m *transport.Message) {
		y.mu.Lock()
		defer y.mu.Unlock()
		if m.Subject != y.subject(barrier) {
			sub.got = append(sub.got, string(m.Body))
		}
	}))
	y.mu.Lock()
	defer y.mu.Unlock()
	y.subs = append(y.subs, sub)
	return err
}

func (y *player) purge(ctx context.Context, p *process, s *Step) ([]string, error) {
	c := transport.PurgeConfig{Before: s.Sequence, Keep: uint64(s.Count)}
	if s.Key != "" {
		c.Subject = y.subject(s.Key)
	}
	n, err := p.log.Purge(ctx, c)
	return []string{fmt.Sprintf("%d purged", n)}, err
}

// rush appends while something else happens.
func (y *player) rush(ctx context.Context, p *process, s *Step, meanwhile func() error) (results []string, err error) {
	begun := make(chan struct{})
	other := make(chan error, 1)
	go func() {
		<-begun
		other <- meanwhile()
	}()
	close(begun)
	results, err = y.append(ctx, p, s)
	return results, errors.Join(err, <-other)
}

// crash ends a process. Its later settlements have no effect.
func (y *player) crash(ctx context.Context, number int) error {
	p := y.processes[number]
	delete(y.processes, number)
	var held []*transport.Delivery
	for _, m := range y.membersOf(p) {
		held = append(held, m.giveUp(y.ackWait()/2)...)
	}
	y.backend.Kill(p.tr)
	for _, d := range held {
		if err := d.Ack(ctx); transport.CodeOf(err) != transport.Unavailable {
			return fmt.Errorf("an Ack of %s by a process that has ended returns %v", d.Body, err)
		}
	}
	_ = p.tr.Close(ctx) // only to leave nothing behind in this process
	return nil
}

func (y *player) membersOf(p *process) []*playMember {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(y.members), func(m *playMember) bool { return m.process != p })
}

// farewell waits for the members, which drain and hold nothing.
func (y *player) farewell(ctx context.Context) error {
	for _, m := range y.members {
		if err := m.left(ctx); err != nil {
			return fmt.Errorf("at the end, member %d: %w", m.number, err)
		}
	}
	return y.brokenPromise()
}

// end closes everything and removes the log.
func (y *player) end() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if y.forget != nil && len(y.processes) > 0 {
		p, _ := y.anyProcess()
		err = y.forget(ctx, p.tr, y.root)
	}
	for _, p := range y.processes {
		err = errors.Join(err, p.tr.Close(ctx))
	}
	return err
}

func (y *player) anyProcess() (*process, bool) {
	for _, p := range y.processes {
		return p, true
	}
	return nil, false
}
