package driver

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

// log is a [transport.Log] on a Log.
type log struct {
	t      *Transport
	driver Log
	name   string
	calls  window    // of Append
	async  window    // of AppendAsync: its callbacks may call Append
	idle   sync.Pool // of *pending
}

func newLog(t *Transport, name string, l Log) *log {
	return &log{t: t, driver: l, name: name, calls: make(window, maxPending), async: make(window, maxPending)}
}

// Append implements [transport.Log].
func (l *log) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (at transport.Appended, err error) {
	if err = l.admit(ctx, m, &o); err == nil {
		err = l.calls.enter(ctx)
	}
	if err == nil {
		defer l.calls.leave()
		at, err = l.driver.Append(ctx, m, o)
	}
	if err != nil {
		return transport.Appended{}, l.appendFailure(ctx, err, m.Subject)
	}
	return at, nil
}

// AppendAsync implements [transport.Log].
func (l *log) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	err := l.admit(ctx, m, &o)
	if err == nil {
		err = l.async.enter(ctx)
	}
	if err == nil {
		p := l.newPending(m.Subject, done)
		if err = l.driver.AppendAsync(ctx, m, o, p.result); err != nil {
			p.leave()
		}
	}
	if err != nil {
		return l.appendFailure(ctx, err, m.Subject)
	}
	return nil
}

// admit returns an error if m cannot be appended now.
func (l *log) admit(ctx context.Context, m *transport.Message, o *transport.AppendOptions) error {
	if err := noReply(m); err != nil {
		return err
	}
	if err := l.t.admit(ctx, m); err != nil {
		return err
	}
	c := l.driver.Config()
	if !o.NotBefore.IsZero() { // the capabilities may have changed since the log was opened
		if has := l.t.Capabilities(); !has.Delays {
			return missing("NotBefore", &has)
		}
	}
	return o.Validate(c, m)
}

func (l *log) appendFailure(ctx context.Context, err error, subject string) error {
	return failure(ctx, err, "append to log %q on %q", l.name, subject)
}

// window holds a token for each append without a result.
type window chan struct{}

// maxPending is the number of appends that may wait for their result before others block.
const maxPending = 4096

// enter waits until fewer than maxPending appends wait for their result.
func (w window) enter(ctx context.Context) error {
	select {
	case w <- struct{}{}:
		return nil
	default:
	}
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while %d others wait for their acknowledgement", ctx.Err(), maxPending)
	}
}

func (w window) leave() { <-w }

// pending is an AppendAsync without a result. It is reused.
type pending struct {
	log     *log
	subject string
	done    func(transport.Appended, error)
	result  func(transport.Appended, error) // finish, made once
}

func (l *log) newPending(subject string, done func(transport.Appended, error)) *pending {
	p, ok := l.idle.Get().(*pending)
	if !ok {
		p = &pending{log: l}
		p.result = p.finish
	}
	p.subject, p.done = subject, done
	return p
}

// finish passes the result to the caller.
func (p *pending) finish(at transport.Appended, err error) {
	l, subject, done := p.log, p.subject, p.done
	p.leave()
	if err != nil {
		err = l.appendFailure(context.Background(), err, subject)
	}
	done(at, err)
}

func (p *pending) leave() {
	l := p.log
	p.subject, p.done = "", nil
	l.idle.Put(p)
	l.async.leave()
}

// Consume implements [transport.Log].
func (l *log) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	valid := c.Validate()
	if valid == nil && h == nil {
		valid = errNoHandler
	}
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 1)
	c.Group.AckWait = cmp.Or(c.Group.AckWait, transport.DefaultAckWait)
	return call(ctx, l.t, valid, func() (transport.Receiver, error) { return l.driver.Consume(ctx, c, h) },
		"consume group %q of log %q", c.Group.Name, l.name)
}

// Read implements [transport.Log].
func (l *log) Read(ctx context.Context, r transport.ReadConfig) iter.Seq2[*transport.Delivery, error] {
	return func(yield func(*transport.Delivery, error) bool) {
		more := true
		_, err := call(ctx, l.t, r.Validate(), func() (none, error) {
			return none{}, l.driver.Read(ctx, r, func(d *transport.Delivery) bool {
				more = yield(d, nil)
				return more
			})
		}, "read log %q", l.name)
		if err != nil && more && !(r.Follow && ctx.Err() != nil) {
			yield(nil, err)
		}
	}
}

// Remove implements [transport.Log].
func (l *log) Remove(ctx context.Context, sequence uint64) error {
	return l.t.do(ctx, func() error { return l.driver.Remove(ctx, sequence) }, "remove message %d of log %q", sequence, l.name)
}

// Cancel implements [transport.Log].
func (l *log) Cancel(ctx context.Context, id string) error {
	var valid error
	if id == "" {
		valid = transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "the id is empty: give that of a message")
	}
	_, err := call(ctx, l.t, valid, func() (none, error) { return none{}, l.driver.Cancel(ctx, id) }, "cancel message %q of log %q", id, l.name)
	return err
}

// Purge implements [transport.Log].
func (l *log) Purge(ctx context.Context, p transport.PurgeConfig) (uint64, error) {
	return call(ctx, l.t, p.Validate(), func() (uint64, error) { return l.driver.Purge(ctx, p) }, "purge log %q", l.name)
}

// Info implements [transport.Log].
func (l *log) Info(ctx context.Context) (transport.LogInfo, error) {
	return call(ctx, l.t, nil, func() (transport.LogInfo, error) { return l.driver.Info(ctx) }, "info of log %q", l.name)
}

// Groups implements [transport.Log].
func (l *log) Groups(ctx context.Context) ([]transport.GroupInfo, error) {
	groups, err := call(ctx, l.t, nil, func() ([]transport.GroupInfo, error) { return l.driver.Groups(ctx) }, "groups of log %q", l.name)
	slices.SortFunc(groups, func(a, b transport.GroupInfo) int { return strings.Compare(a.Config.Name, b.Config.Name) })
	return groups, err
}

// DeleteGroup implements [transport.Log].
func (l *log) DeleteGroup(ctx context.Context, name string) error {
	return l.t.do(ctx, func() error { return l.driver.DeleteGroup(ctx, name) }, "delete group %q of log %q", name, l.name)
}

// PauseGroup implements [transport.Log].
func (l *log) PauseGroup(ctx context.Context, name string, until time.Time) error {
	return l.t.do(ctx, func() error { return l.driver.PauseGroup(ctx, name, until) }, "pause group %q of log %q", name, l.name)
}
