package mono

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// logs holds the logs of the stored handles of an App, and those of their dead letters.
type logs struct {
	transport  transport.Transport
	names      namespace
	generation uint64
	all        sync.Map // name → *storage
}

// storage is the log of one stored handle, or of its dead letters, in one run of
// an App. It is opened when it is first needed, and stays open.
type storage struct {
	transport transport.Transport
	config    transport.LogConfig
	what      string // the handle, for errors

	opening token // held while the log is being opened
	opened  atomic.Pointer[transport.Log]
	claims  atomic.Pointer[claims] // of a queue whose workers have Keys
}

// of returns the storage of a stored handle.
func (ls *logs) of(d *declaration) *storage {
	if s, ok := ls.all.Load(ls.names.log(d)); ok {
		return s.(*storage)
	}
	return ls.storage(d.String(), ls.config(d))
}

// deadLettersOf returns the storage of a handle's dead letters. It exists once the
// first dead letter was stored.
func (ls *logs) deadLettersOf(d *declaration) *storage {
	what := "dead letters of " + d.String()
	return ls.storage(what, transport.LogConfig{
		Name:          ls.names.deadLetterLog(d),
		Subjects:      []string{ls.names.deadLetter(d, "*", "*")},
		Description:   "dead letters of " + d.address().String(),
		MaxPerSubject: 1,
		Full:          transport.DropOldest,
		Metadata:      map[string]string{"mono-dead-letters-of": d.address().String()},
	})
}

func (ls *logs) storage(what string, c transport.LogConfig) *storage {
	if s, ok := ls.all.Load(c.Name); ok {
		return s.(*storage)
	}
	s, _ := ls.all.LoadOrStore(c.Name, &storage{transport: ls.transport, config: c, what: what, opening: newToken()})
	return s.(*storage)
}

// config returns the configuration of a stored handle's log.
func (ls *logs) config(d *declaration) transport.LogConfig {
	can := ls.transport.Capabilities()
	c := transport.LogConfig{
		Name:        ls.names.log(d),
		Subjects:    ls.names.stored(d),
		Retention:   transport.InterestRetention,
		DedupWindow: d.config.DedupWindow,
		Update:      true,
		Sender:      true, // until addGroup
		Generation:  ls.generation,
		Description: d.config.Doc,
		Metadata:    map[string]string{"mono-handle": d.address().String()},
		MaxSize:     max(can.MaxPayload-deadLetterRoom, can.MaxPayload/2), // a message can become a dead letter later
	}
	switch d.kind {
	case KindQueue:
		c.MaxMessages = d.config.MaxPending
		if c.Delays = can.Delays; c.Delays {
			c.MaxDelayed = d.config.MaxDelayed
		}
		for _, group := range d.config.groups() {
			c.Groups = append(c.Groups, ls.group(d, &d.config, group))
		}
	case KindStream:
		c.Retention, c.Full = transport.LimitsRetention, transport.DropOldest
		c.MaxAge, c.MaxMessages, c.MaxBytes = d.config.MaxAge, d.config.MaxMessages, d.config.MaxBytes
		c.MaxPerSubject = d.config.MaxPerKey
		c.Partitions = d.partitions()
	}
	return c
}

// group returns the configuration of a group of a stored handle. A group for all keys
// has no filter, because a backend is fastest without one: it also gets the messages
// replayed to other groups, and skips them.
func (ls *logs) group(d *declaration, c *config, group string) transport.GroupConfig {
	var filter []string
	if len(c.Keys) > 0 && d.kind != KindQueue {
		filter = append(ls.names.patterns(d, c), ls.names.replay(d, group, "*"))
		if d.partitions() == 0 {
			filter = append(filter, ls.names.replay(d, group, ""))
		}
	}
	return transport.GroupConfig{
		Name:       group,
		Filter:     filter,
		Start:      c.From.start,
		AckWait:    c.AckWait,
		Ordered:    d.kind == KindStream && !c.Unordered,
		Generation: ls.generation,
	}
}

// groupOf returns the configuration of the group of a receiver.
func (ls *logs) groupOf(r *receiver) transport.GroupConfig {
	g := ls.group(r.decl, &r.config, r.group())
	if r.decl.kind == KindQueue {
		g.Metadata = keysMetadata(&r.config)
	}
	return g
}

// storeDeadLetter stores a dead letter. Storing it twice stores it once, because of its
// subject. A log of dead letters that was deleted is created again.
func (ls *logs) storeDeadLetter(d *declaration, deadLetter *transport.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadLetterTimeout)
	defer cancel()
	s := ls.deadLettersOf(d)
	err := s.appendDeadLetter(ctx, deadLetter)
	if CodeOf(err) == NotFound {
		s.reopen()
		err = s.appendDeadLetter(ctx, deadLetter)
	}
	return err
}

// deadLetterTimeout bounds the storing of a dead letter.
const deadLetterTimeout = 10 * time.Second

func (s *storage) appendDeadLetter(ctx context.Context, deadLetter *transport.Message) error {
	log, err := s.log(ctx)
	if err != nil {
		return err
	}
	_, err = log.Append(ctx, deadLetter, transport.AppendOptions{Expect: &transport.Expectation{Subject: deadLetter.Subject}})
	if CodeOf(err) == Aborted {
		return nil // it is stored already
	}
	return err
}

// log returns the log, and opens it if necessary.
func (s *storage) log(ctx context.Context) (transport.Log, error) {
	if log := s.opened.Load(); log != nil {
		return *log, nil
	}
	if err := s.opening.acquire(ctx, s.what+": waited for its log to be opened"); err != nil {
		return nil, err
	}
	defer s.opening.release()
	if log := s.opened.Load(); log != nil {
		return *log, nil
	}
	log, err := s.transport.Log(ctx, s.config)
	if err != nil {
		return nil, about(s.what, err)
	}
	s.opened.Store(&log)
	return log, nil
}

// reopen makes the next call of log open the log again, and create it if it is gone.
func (s *storage) reopen() { s.opened.Store(nil) }

// idOf returns the id of a stored message. For a message of a plain client without an
// id it returns one made of its position, the same at each attempt.
func (s *storage) idOf(d *transport.Delivery) string {
	if d.ID != "" {
		return d.ID
	}
	if id := d.Header.Get(transport.HeaderID); id != "" {
		return id
	}
	return s.config.Name + "-" + strconv.FormatUint(d.Sequence, 10)
}

// addGroup adds the group of a receiver. If two receivers share a group, the last one
// determines its configuration, as in different processes.
func (s *storage) addGroup(g transport.GroupConfig) {
	c := &s.config
	c.Sender = false
	i := slices.IndexFunc(c.Groups, func(other transport.GroupConfig) bool { return other.Name == g.Name })
	if i < 0 {
		c.Groups = append(c.Groups, g)
		return
	}
	c.Groups[i] = g
}

// keepGroup adds the group of a receiver that another process runs.
func (s *storage) keepGroup(g transport.GroupConfig) {
	if !slices.ContainsFunc(s.config.Groups, func(other transport.GroupConfig) bool { return other.Name == g.Name }) {
		s.config.Groups = append(s.config.Groups, g)
	}
}

// logsAtOnce is the number of logs that a start opens at once.
const logsAtOnce = 32

// opening is one log that a start opens.
type opening struct {
	*storage
	decl  *declaration
	users []string // modules

	err      error
	unused   []transport.GroupInfo // neither declared here nor consumed
	unlisted error                 // why unused is incomplete
}

// openLogs opens the logs of all stored handles of the modules, with the groups of the
// receivers. Errors appear in the start report. No message is sent before the groups
// exist.
func (in *instance) openLogs(ctx context.Context) {
	in.checkGeneration()
	in.addGroups()
	all := in.logs.openings(&in.plan)
	var wait sync.WaitGroup
	free := make(chan struct{}, logsAtOnce)
	for _, o := range all {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			what := "opening the log of " + o.what
			o.err = goexitError(what)
			o.err = guard(what, in.panicked, func() error { return o.open(ctx, in) })
		})
	}
	wait.Wait()
	for _, o := range all {
		o.report(in)
	}
}

// addGroups adds the groups of the receivers to their logs.
func (in *instance) addGroups() {
	for _, r := range in.plan.receivers {
		if r.decl.stored() {
			in.logs.of(r.decl).addGroup(in.logs.groupOf(r))
		}
	}
	for _, u := range in.plan.inactive {
		for _, r := range u.receivers {
			if r.decl.stored() {
				in.logs.of(r.decl).keepGroup(in.logs.groupOf(r))
			}
		}
	}
}

// openings lists the logs of the modules, each once, in the order of the modules.
func (ls *logs) openings(p *plan) (all []*opening) {
	known := make(map[*storage]*opening)
	for _, u := range p.units {
		for _, d := range u.messages {
			if !d.stored() {
				continue
			}
			s := ls.of(d)
			if known[s] == nil {
				known[s] = &opening{storage: s, decl: d}
				all = append(all, known[s])
			}
			known[s].users = append(known[s].users, u.name)
		}
	}
	return all
}

// open opens the log. It also finds the groups that are not declared here and have no
// member. Their messages are kept until the groups are deleted. A sender looks too: the
// last receiver may have been removed.
func (o *opening) open(ctx context.Context, in *instance) error {
	log, err := o.log(ctx)
	if err != nil {
		return err
	}
	o.unused, o.unlisted = log.Groups(ctx)
	o.unused = in.unusedOf(o.decl, o.unused)
	if o.config.Sender && CodeOf(o.unlisted) == PermissionDenied {
		o.unlisted = nil // the account may send, and no more
	}
	return nil
}

// unusedOf returns those groups of a handle that this program does not declare and that have no
// member.
func (in *instance) unusedOf(d *declaration, groups []transport.GroupInfo) []transport.GroupInfo {
	known := append(in.plan.groupsOf(d), in.app.remoteGroups[d.address()]...)
	return slices.DeleteFunc(groups, func(g transport.GroupInfo) bool {
		return g.Members > 0 || slices.Contains(known, g.Config.Name)
	})
}

// report reports a log that cannot be opened, and undeclared groups.
func (o *opening) report(in *instance) {
	for _, u := range o.users {
		if o.err != nil {
			in.report.add(u, o.decl, "its log cannot be opened: %s", reasonOf(o.decl, o.err))
		}
	}
	if o.unlisted != nil {
		in.log.Warn("mono: groups not listed", "handle", o.decl.name, "error", o.unlisted)
	}
	for _, g := range o.unused {
		in.log.Warn("mono: group not declared by this program and without a waiting member: "+o.advice(in, &g),
			"handle", o.decl.name, "kind", o.decl.kind, "group", g.Config.Name, "undelivered", g.Undelivered, "in_flight", g.InFlight)
		in.observe(GroupUnused{Handle: o.decl, Group: g.Config.Name})
	}
}

// advice says what to do about a group that is not declared.
func (o *opening) advice(in *instance, g *transport.GroupInfo) string {
	remote := "; if another program declares it, name it with App.RemoteGroups"
	if modules := in.plan.namedGroups(o.decl); len(modules) > 0 {
		remote = fmt.Sprintf("; if module %s had the name %q, give it the method Formerly() string, which returns that name", strings.Join(modules, " or "), g.Config.Name) + remote
	}
	switch {
	case g.InFlight > 0:
		return fmt.Sprintf("%d of its messages are held, so a member may be at work; if none is, they return when its AckWait has passed", g.InFlight) + remote
	case g.Undelivered == 0:
		return "it keeps messages until mono.DeleteGroup removes it" + remote
	case o.decl.kind == KindQueue:
		return fmt.Sprintf("its jobs wait: to finish them, add %q to mono.Groups and handle the queue with mono.Group(%[1]q) too until none is left; mono.DeleteGroup throws them away", g.Config.Name) + remote
	}
	return fmt.Sprintf("its messages wait: to finish them, receive with mono.Group(%q) until none is left; mono.DeleteGroup removes them", g.Config.Name) + remote
}

// reasonOf describes the error of opening a log. It names settings as a declaration does.
func reasonOf(d *declaration, err error) string {
	e, ok := errors.AsType[*transport.SettingError](err)
	switch {
	case ok && e.Setting == "Subjects":
		return err.Error() + " (its key, mono.Partitions or mono.Unordered differs)"
	case !ok || e.Setting != "Partitions":
		return err.Error()
	}
	is := fmt.Sprintf("mono.Partitions(%v)", e.Is)
	if e.Is == 0 {
		is = "mono.Unordered(), or without a key"
	}
	want := fmt.Sprintf("mono.Partitions(%v) is", e.Want)
	switch {
	case d.key == nil:
		want = "no key is"
	case e.Want == 0:
		want = "mono.Unordered() is"
	}
	return fmt.Sprintf("it exists with %s, and %s declared here, which cannot be changed: declare it as it exists, or choose another name, or delete the log with its messages", is, want)
}
