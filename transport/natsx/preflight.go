package natsx

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	objstore "gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// A preflight opens logs, buckets and stores as a program does, with streams that record changes
// instead of making them. Then it compares the changes with the limits of the account and with
// the permissions of the user. So it shares all rules about changes with them.

// preflight is one comparison of needs with the server.
type preflight struct {
	t       *Transport
	account *jetstream.AccountInfo // nil without JetStream
	user    *userInfo              // nil if the server does not tell
	peers   []peer
	result  transport.Preflight
}

// checked is the result for one need.
type checked struct {
	dryRun
	need      *transport.Need
	state     bool // it is the state stream, which all groups need
	findings  []transport.Finding
	existing  *transport.ExistingLog
	consumers []string // with which the program receives
	keyed     bool     // they are partitions of a group
}

// Preflight implements [transport.Preflighter].
func (c conn) Preflight(ctx context.Context, needs []transport.Need) (transport.Preflight, error) {
	p := &preflight{t: c.t, result: transport.Preflight{Logs: make(map[string]transport.ExistingLog)}}
	if err := c.t.flush(ctx); err != nil {
		return p.result, err
	}
	if err := c.t.permissions.checkReplies(); err != nil { // nothing can be asked
		p.add(driver.Finding("", "replies of the server", err))
		return p.result, nil
	}
	all := make([]*checked, len(needs), len(needs)+1)
	for i := range needs {
		all[i] = &checked{need: &needs[i]}
	}
	if err := p.ask(ctx); err != nil {
		return p.result, err
	}
	p.checkPeers(all)
	if p.account != nil {
		if slices.ContainsFunc(needs, func(n transport.Need) bool { return len(n.Groups) > 0 }) {
			all = append(all, &checked{need: new(transport.Need), state: true})
		}
		p.checkAll(ctx, all)
		p.checkLimits(all)
	}
	p.checkPermissions(all)
	for _, is := range all {
		for _, f := range is.findings {
			p.add(f)
		}
		if is.existing != nil {
			p.result.Logs[is.need.Log.Name] = *is.existing
		}
	}
	return p.result, ctx.Err()
}

func (p *preflight) add(f transport.Finding) { p.result.Findings = append(p.result.Findings, f) }

// ask asks for the account, the user and the other servers.
func (p *preflight) ask(ctx context.Context) (err error) {
	p.user = p.t.askUser(ctx)
	p.peers = p.t.askPeers(ctx)
	if !p.t.account.Load().logs {
		return nil
	}
	p.account, err = callAPI(ctx, p.t, func(ctx context.Context) (*jetstream.AccountInfo, error) { return p.t.api.js(ctx).AccountInfo(ctx) })
	if transport.CodeOf(err) == transport.PermissionDenied {
		p.add(driver.Finding("", "the limits of the account", err))
		return nil
	}
	return err
}

// needsAtOnce bounds the needs that are looked at concurrently.
const needsAtOnce = 8

func (p *preflight) checkAll(ctx context.Context, all []*checked) {
	var wait sync.WaitGroup
	free := make(chan struct{}, needsAtOnce)
	for _, is := range all {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			is.check(ctx, p.t)
		})
	}
	wait.Wait()
}

// lacks adds a finding for an error, if there is one.
func (is *checked) lacks(need string, err error) {
	if err != nil {
		is.findings = append(is.findings, driver.Finding(is.need.Object, need, err))
	}
}

// check opens what a need has.
func (is *checked) check(ctx context.Context, t *Transport) {
	switch {
	case is.state:
		s := &state{stream: stream{t: t, name: stateStream, dry: &is.dryRun}}
		is.note(s.info(ctx))
		_, err := s.open(ctx)
		is.lacks("the stream "+stateStream+", for the groups of all handles", err)
	case is.need.Log != nil:
		is.checkLog(ctx, t)
	}
	switch c := is.need.Stored.(type) {
	case *kv.Config:
		o := &opening{config: *c, t: t, stream: stream{t: t, name: bucketStream + c.Name, dry: &is.dryRun}}
		is.note(o.info(ctx))
		_, err := o.open(ctx)
		is.lacks("the bucket "+c.Name, t.explainBucket(err))
		if limit := t.maxPayload(); c.MaxValue+ownHeader > limit {
			is.lack("values of "+strconv.Itoa(c.MaxValue)+" bytes", "the server carries messages of at most "+strconv.Itoa(limit)+" bytes",
				"raise max_payload of the server, or lower MaxValue")
		}
	case *objstore.Config:
		o := &objectsOpening{config: *c, stream: stream{t: t, name: objectStream + c.Name, dry: &is.dryRun}}
		is.note(o.info(ctx))
		_, err := o.open(ctx)
		is.lacks("the store "+c.Name, t.explainBucket(err))
	}
	is.checkOverlaps(ctx, t)
}

// lack adds a finding.
func (is *checked) lack(need, found, remedy string) {
	is.findings = append(is.findings, transport.Finding{Object: is.need.Object, Need: need, Found: found, Remedy: remedy})
}

func (is *checked) checkLog(ctx context.Context, t *Transport) {
	l, need := newLog(t, *is.need.Log), "the log "+is.need.Log.Name
	l.dry, l.delayed.dry = &is.dryRun, &is.dryRun
	found, err := l.info(ctx)
	if missing(err) && l.config.Existing || l.config.Existing && transport.CodeOf(err) == transport.PermissionDenied {
		return
	}
	is.note(found, err)
	stream, made, err := l.openStream(ctx)
	if err != nil {
		is.lacks(need, err)
		return
	}
	l.adopt(stream)
	if found != nil {
		is.existing = new(transport.ExistingLog)
		is.existing.Info, _ = l.Info(ctx) // without Delayed if it fails
		is.existing.Groups, _ = l.Groups(ctx)
	}
	if is.need.Log.Existing {
		return
	}
	opened := l.groups.open(ctx, l.config.Groups, made)
	for i, g := range l.config.Groups {
		is.checkGroup(l, &g, &opened[i])
	}
}

// checkGroup reports what keeps the program from opening a group, or from receiving with it.
func (is *checked) checkGroup(l *log, g *transport.GroupConfig, opened *openedGroup) {
	receives := slices.Contains(is.need.Groups, g.Name)
	switch err := opened.err; {
	case errors.Is(err, jetstream.ErrNotPullConsumer):
		is.lack("the pull consumer "+g.Name+" of the stream "+l.name, "another client has made a push consumer of this name",
			"choose another mono.Group, or delete the consumer (nats consumer rm "+l.name+" "+g.Name+")")
	case err != nil && (g.Update || receives || !errors.Is(err, errOrdered)):
		is.lacks("the group "+g.Name, aboutGroup(g.Name, err))
	}
	if receives {
		names, _, _ := l.groups.consumers(g) // its error is that of opened
		is.consumers = append(is.consumers, names...)
		is.keyed = is.keyed || g.Ordered && l.partitions.n > 0
	}
}

// checkOverlaps reports streams of other names that store the subjects.
func (is *checked) checkOverlaps(ctx context.Context, t *Transport) {
	own, subjects := "", []string(nil)
	if is.need.Log != nil {
		own = is.need.Log.Name
	}
	for _, s := range is.streams {
		for _, subject := range s.config.Subjects {
			is.checkOverlap(ctx, t, s.config.Name, subject, "a separate stream, "+s.config.Name+", for "+strconv.Quote(subject))
		}
	}
	if is.need.Replies {
		for _, s := range is.need.Subscribe {
			subjects = append(subjects, s.Subject)
		}
		for _, subject := range append(subjects, is.need.Publish...) {
			is.checkOverlap(ctx, t, own, subject, "requests on "+strconv.Quote(subject)+" that no stream stores and answers")
		}
	}
}

func (is *checked) checkOverlap(ctx context.Context, t *Transport, own, subject, need string) {
	names, err := t.namesOf(ctx, subject)
	if err != nil {
		return // the opening of the stream has the same error
	}
	for _, name := range names {
		found := "the stream " + name + " stores this subject"
		if name == own || slices.ContainsFunc(is.findings, func(f transport.Finding) bool { return f.Found == found }) {
			continue
		}
		is.lack(need, found, "remove the subject from it (nats stream edit), or delete it (nats stream rm), or use another mono.Namespace")
	}
}

// namesOf returns the names of the streams that store a part of a subject or pattern.
func (t *Transport) namesOf(ctx context.Context, subject string) ([]string, error) {
	return callAPI(ctx, t, func(ctx context.Context) (names []string, err error) {
		var page struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		for more := true; more && err == nil; more = len(page.Streams) > 0 && len(names) < page.Total {
			page.Streams = nil
			err = t.api.request(ctx, "STREAM.NAMES", map[string]any{"offset": len(names), "subject": subject}, &page)
			names = append(names, page.Streams...)
		}
		return names, err
	})
}

// dryRun holds the changes that an opening would make.
type dryRun struct {
	mu        sync.Mutex
	found     map[string]*jetstream.StreamInfo
	streams   []plannedStream
	consumers []plannedConsumer
}

// plannedStream is a stream that would be created or updated.
type plannedStream struct {
	config    jetstream.StreamConfig
	was       *jetstream.StreamInfo // nil: created
	automatic bool                  // it has fewer replicas if the cluster is too small
}

// plannedConsumer is a consumer that would be created or updated.
type plannedConsumer struct {
	stream  string
	config  jetstream.ConsumerConfig
	created bool
}

// note records an existing stream.
func (d *dryRun) note(is *jetstream.StreamInfo, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found == nil {
		d.found = make(map[string]*jetstream.StreamInfo)
	}
	if err == nil {
		d.found[is.Config.Name] = is
	}
}

func (d *dryRun) set(c jetstream.StreamConfig, automatic bool) *jetstream.StreamInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams = append(d.streams, plannedStream{c, d.found[c.Name], automatic})
	return &jetstream.StreamInfo{Config: c}
}

func (d *dryRun) setConsumer(stream string, c jetstream.ConsumerConfig, created bool) *jetstream.ConsumerInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.consumers = append(d.consumers, plannedConsumer{stream, c, created})
	return &jetstream.ConsumerInfo{Stream: stream, Name: c.Name, Config: c}
}
