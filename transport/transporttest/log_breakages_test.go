package transporttest_test

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

var brokenLogs = map[string]breakage{
	"rejects nothing when it is full": {
		alteration{log: func(c *transport.LogConfig) { c.Full = transport.DropOldest }}.broken,
		"log/full/refuse-messages", "At MaxMessages, Refuse rejects messages",
	},
	"rejects instead of dropping": {
		alteration{log: func(c *transport.LogConfig) { c.Full = transport.Refuse }}.broken,
		"log/full/drop-oldest", "DropOldest removes the oldest message",
	},
	"stores messages that are too large": {
		alteration{log: func(c *transport.LogConfig) { c.MaxSize = 0 }}.broken,
		"log/full/max-size", "A larger message is InvalidArgument",
	},
	"delays any number of messages": {
		alteration{log: func(c *transport.LogConfig) { c.MaxDelayed = 0 }}.broken,
		"log/delayed/max", "MaxDelayed limits the number of messages that wait",
	},
	"keeps settled messages": {
		alteration{log: func(c *transport.LogConfig) { c.Retention = transport.LimitsRetention }}.broken,
		"log/retention/interest", "InterestRetention removes a message",
	},
	"keeps expired messages": {
		alteration{log: func(c *transport.LogConfig) { c.MaxAge = 0 }}.broken,
		"log/retention/max-age", "MaxAge is how long a message is kept after it was",
	},
	"lets an older binary undo": {
		alteration{log: func(c *transport.LogConfig) { c.Generation = 0 }}.broken,
		"log/config/generation", "A log that was last updated with a higher Generation",
	},
	"forgets the metadata of groups": {
		alteration{log: func(c *transport.LogConfig) {
			c.Groups = slices.Clone(c.Groups)
			for i := range c.Groups {
				c.Groups[i].Metadata = nil
			}
		}}.broken,
		"log/config/group-metadata", "An update of a group sets the Metadata entries",
	},
	"changes a log without Update": {
		alteration{log: func(c *transport.LogConfig) { c.Update = true }}.broken,
		"log/config/sender", "Without Update",
	},
	"lets a sender undo a receiver": {
		alteration{log: func(c *transport.LogConfig) { c.Sender = false }}.broken,
		"log/config/sender-updates", "A Sender changes the log only if",
	},
	"adapts to other subjects": {
		rewired(func(r *rewiring) {
			r.log = func(ctx context.Context, c transport.LogConfig, then opener) (transport.Log, error) {
				l, err := then(ctx, c)
				if e, ok := errors.AsType[*transport.SettingError](err); ok && e.Setting == "Subjects" {
					c.Update = false
					return then(ctx, c)
				}
				return l, err
			}
		}),
		"log/config/subjects", "that does not store all Subjects",
	},
	"cancels nothing": {
		replacing(func(l transport.Log) transport.Log { return uncancelled{l} }),
		"log/cancel/waiting", "Cancel removes the message with an id that waits",
	},
	"cancels what a member has received": {
		replacing(func(l transport.Log) transport.Log { return removing{l} }),
		"log/cancel/received", "Cancel: FailedPrecondition if a member",
	},
	"cancels twice": {
		replacing(func(l transport.Log) transport.Log { return repeating{l} }),
		"log/cancel/missing", "Cancel: InvalidArgument for an empty id, NotFound",
	},
	"resumes groups when it cancels": {
		replacing(func(l transport.Log) transport.Log { return resuming{l} }),
		"log/cancel/pause", "Cancel leaves the pause of a group",
	},
	"pauses nothing": {
		replacing(func(l transport.Log) transport.Log { return unpaused{l} }),
		"log/pause/resumes", "PauseGroup stops the deliveries",
	},
	"ends a pause early": {
		replacing(func(l transport.Log) transport.Log { return earlier{l} }),
		"log/pause/ends", "A pause ends by itself, not earlier",
	},
	"resumes nothing": {
		replacing(func(l transport.Log) transport.Log { return unresumed{l} }),
		"log/pause/in-hand", "During a pause members settle",
	},
	"creates a log that has to exist": {
		alteration{log: func(c *transport.LogConfig) { c.Existing = false }}.broken,
		"log/open/existing", "Existing opens the log only if it exists.",
	},
	"ignores ids": {
		alteration{append: func(o *transport.AppendOptions) { o.ID = "" }}.broken,
		"log/dedup/once", "A second Append with an id",
	},
	"forgets ids too soon": {
		alteration{log: func(c *transport.LogConfig) { c.DedupWindow = transport.MinDedupWindow }}.broken,
		"log/dedup/in-the-window", "DedupWindow is how long ids are remembered",
	},
	"never forgets ids": {
		alteration{log: func(c *transport.LogConfig) { c.DedupWindow = time.Hour }}.broken,
		"log/dedup/window", "DedupWindow is how long ids are remembered",
	},
	"ignores expectations": {
		alteration{append: func(o *transport.AppendOptions) { o.Expect = nil }}.broken,
		"log/expect/log", "Append: Aborted if Expect does not hold. Expect is",
	},
	"rejects a repeated conditional append": {
		alteration{append: func(o *transport.AppendOptions) {
			if o.Expect != nil {
				o.ID = ""
			}
		}}.broken,
		"log/expect/same-id", "If an Expectation fails because a message",
	},
	"ignores a message's own time to live": {
		alteration{append: func(o *transport.AppendOptions) {
			if o.TTL >= transport.MinTTL {
				o.TTL = time.Hour
			}
		}}.broken,
		"log/retention/ttl", "TTL removes this message",
	},
	"delivers delayed messages early": {
		alteration{append: func(o *transport.AppendOptions) {
			if !o.NotBefore.IsZero() {
				o.NotBefore = o.NotBefore.Add(-time.Millisecond)
			}
		}}.broken,
		"log/delayed/arrives", "NotBefore delays delivery.",
	},
	"ignores filters": {
		alteration{consume: func(c *transport.ConsumeConfig) { c.Group.Filter = nil }}.broken,
		"log/position/filter", "Filter limits the group to subjects and patterns. An",
	},
	"ignores the start of a group": {
		alteration{consume: func(c *transport.ConsumeConfig) { c.Group.Start = transport.Start{} }}.broken,
		"log/position/start-new", "Start.New begins with messages stored from now on.",
	},
	"delivers more than MaxInFlight": {
		alteration{consume: func(c *transport.ConsumeConfig) { c.MaxInFlight = max(c.MaxInFlight, 1) + 1 }}.broken,
		"log/consume/in-flight", "h is called while fewer than MaxInFlight of the",
	},
	"reorders a key": {
		alteration{consume: func(c *transport.ConsumeConfig) { c.Group.Ordered = false }}.broken,
		"log/keys/order", "In an ordered group a message of a key",
	},
	"handles as many keys as there are partitions": {
		alteration{consume: func(c *transport.ConsumeConfig) {
			if c.Group.Ordered {
				c.MaxInFlight = min(c.MaxInFlight, 4)
			}
		}}.broken,
		"log/keys/more-than-partitions", "MaxInFlight bounds the keys with an unsettled",
	},
	"treats a log as one key": {
		alteration{log: func(c *transport.LogConfig) { c.Partitions = 0 }}.broken,
		"log/keys/beside", "Ordered groups have at most one unsettled delivery",
	},
	"begins deliveries concurrently": {
		alteration{handle: func(h transport.DeliveryHandler) transport.DeliveryHandler {
			return func(d *transport.Delivery) transport.Work {
				return transport.WorkFunc(func() {
					if w := h(d); w != nil {
						w.Run()
					}
				})
			}
		}}.broken,
		"log/consume/begin-order", "The handler is called for one delivery after another",
	},
	"finishes a delivery before the next": {
		alteration{handle: func(h transport.DeliveryHandler) transport.DeliveryHandler {
			return func(d *transport.Delivery) transport.Work {
				if w := h(d); w != nil {
					w.Run()
				}
				return nil
			}
		}}.broken,
		"log/consume/begin-beside", "The work that the handler returns runs concurrently",
	},
	"does not report a deleted group": {
		alteration{consume: func(c *transport.ConsumeConfig) { c.OnEnd = nil }}.broken,
		"log/leave/deleted", "If the group is deleted while it is consumed",
	},
	"does not count attempts": {
		alteration{deliver: func(d *transport.Delivery) { d.Attempt = 1 }}.broken,
		"log/settle/attempts", "An attempt is a delivery",
	},
	"has a constant fencing token": {
		alteration{deliver: func(d *transport.Delivery) { d.FencingToken = 1 }}.broken,
		"log/keys/fencing-token", "FencingToken increases with every delivery of a key",
	},
	"ignores Follow": {
		alteration{read: func(c *transport.ReadConfig) { c.Follow = false }}.broken,
		"log/read/follow", "With Follow, Read continues with messages stored later",
	},
	"ignores the filter of a read": {
		alteration{read: func(c *transport.ReadConfig) { c.Filter = nil }}.broken,
		"log/read/filter", "Read returns only messages that match the filter",
	},
	"reads more than the last of a subject": {
		alteration{read: func(c *transport.ReadConfig) { c.Start.LastPerSubject = false }}.broken,
		"log/read/last-per-subject", "LastPerSubject reads the last message of each subject",
	},
	"purges messages to keep": {
		alteration{purge: func(c *transport.PurgeConfig) { c.Keep = 0 }}.broken,
		"log/purge", "Purge deletes the messages that match Subject and lie",
	},
	"forgets acknowledgements": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = forgetful{d.Settler} }}.broken,
		"log/settle/done", "Ack marks the message as handled. Terminate marks",
	},
	"counts releases as attempts": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = counting{d.Settler} }}.broken,
		"log/settle/release", "A released message is delivered again at once",
	},
	"releases messages to the end": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = belated{d.Settler} }}.broken,
		"log/settle/release-ordered", "A message released by a member of an ordered group comes",
	},
	"redelivers terminated messages": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = undying{d.Settler} }}.broken,
		"log/settle/done", "Ack marks the message as handled. Terminate marks",
	},
	"redelivers before the delay is over": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = hasty{d.Settler} }}.broken,
		"log/settle/nak-delay", "Nak requests a redelivery after delay. A message is",
	},
	"accepts any number of settlements": {
		alteration{deliver: func(d *transport.Delivery) { d.Settler = generous{d.Settler} }}.broken,
		"log/settle/once", "Only the first call of Ack, Nak, Release or Terminate",
	},
	"lets a live member's deliveries go to others": {
		alteration{deliver: func(d *transport.Delivery) {
			time.AfterFunc(transport.MinAckWait, func() { _ = d.Settler.Nak(context.Background(), 0) })
		}}.broken,
		"log/consume/keep-alive", "Messages that a member holds are not redelivered as long",
	},
	"hands out one body twice": {
		func(tr *inproc.Transport) transport.Transport {
			var bodies sync.Map
			return alteration{deliver: func(d *transport.Delivery) {
				body, _ := bodies.LoadOrStore(d.Sequence, d.Body)
				d.Body = body.([]byte)
			}}.broken(tr)
		},
		"log/append/ownership-receivers", "A message passed to a Handler belongs to that handler",
	},
	"loses hand-backs": {
		replacing(func(l transport.Log) transport.Log { return &careless{Log: l, closing: true} }),
		"log/leave/close", "Close hands back all unsettled deliveries. A message",
	},
	"loses on drain": {
		replacing(func(l transport.Log) transport.Log { return &careless{Log: l} }),
		"log/leave/drain", "Drain stops new deliveries, hands back at once those",
	},
	"drains without waiting": {
		replacing(func(l transport.Log) transport.Log { return impatient{l} }),
		"log/leave/drain", "Drain stops new deliveries, hands back at once those",
	},
	"forgets positions": {
		replacing(func(l transport.Log) transport.Log { return &amnesiac{Log: l} }),
		"log/position/durable", "A group is durable",
	},
	"calls a handler concurrently": {
		replacing(func(l transport.Log) transport.Log { return concurrent{l} }),
		"log/consume/serial", "h is called for one delivery after another",
	},
	"calls done twice": {
		replacing(func(l transport.Log) transport.Log { return stuttering{l} }),
		"log/append/order", "Messages are stored in the order of the calls.",
	},
	"accepts any number of appends at once": {
		replacing(func(l transport.Log) transport.Log { return boundless{l} }),
		"log/append/back-pressure", "AppendAsync blocks",
	},
	"stores in another order": {
		replacing(func(l transport.Log) transport.Log { return &shuffling{Log: l} }),
		"log/append/order", "Messages are stored in the order of the calls.",
	},
	"shares ids among logs": {
		func(tr *inproc.Transport) transport.Transport {
			var ids sync.Map
			return logs{tr, nil, func(l transport.Log) transport.Log {
				return &appending{l, func(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
					if _, seen := ids.LoadOrStore(o.ID, true); o.ID != "" && seen {
						return transport.Appended{Sequence: 1, Duplicate: true}, nil
					}
					return l.Append(ctx, m, o)
				}}
			}}
		},
		"log/dedup/each-log", "Each log has separate ids.",
	},
	"uses the body as id": {
		replacing(func(l transport.Log) transport.Log {
			return &appending{l, func(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
				o.ID = cmp.Or(o.ID, string(m.Body))
				return l.Append(ctx, m, o)
			}}
		}),
		"log/dedup/no-id", "An empty ID means no deduplication.",
	},
	"counts from zero": {
		replacing(func(l transport.Log) transport.Log {
			return &appending{l, func(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
				at, err := l.Append(ctx, m, o)
				at.Sequence = max(at.Sequence, 1) - 1
				return at, err
			}}
		}),
		"log/sequence/consecutive", "A stored message gets a sequence",
	},
	"stores subjects of other logs": {
		replacing(func(l transport.Log) transport.Log {
			return &appending{l, func(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
				at, err := l.Append(ctx, m, o)
				if transport.CodeOf(err) == transport.InvalidArgument {
					return transport.Appended{Sequence: 1}, nil
				}
				return at, err
			}}
		}),
		"log/open/subjects", "Append: InvalidArgument for a subject",
	},
	"does not count delayed messages": {
		replacing(func(l transport.Log) transport.Log { return silent{l} }),
		"log/delayed/info", "Delayed is the number of messages that wait for their",
	},
	"removes messages that do not exist": {
		replacing(func(l transport.Log) transport.Log { return obliging{l} }),
		"log/remove/one", "Remove deletes one message permanently. It returns",
	},
	"purges by any pattern": {
		alteration{purge: func(c *transport.PurgeConfig) {
			if transport.ValidatePattern(c.Subject) != nil {
				c.Subject = ""
			}
		}}.broken,
		"log/purge/invalid", "PurgeConfig.Subject is a pattern; empty means all. An",
	},
	"continues the previous read": {
		replacing(func(l transport.Log) transport.Log { return &continuing{Log: l} }),
		"log/read/break", "Read can be stopped at any message and repeated",
	},
	"empties a log that it opens": {
		func(tr *inproc.Transport) transport.Transport {
			return logs{tr, nil, func(l transport.Log) transport.Log {
				_, _ = l.Purge(context.Background(), transport.PurgeConfig{})
				return l
			}}
		},
		"log/open/creates", "Log opens the log, and creates",
	},
	"allows one subject in two logs": {
		rewired(func(r *rewiring) {
			r.log = func(ctx context.Context, c transport.LogConfig, then opener) (transport.Log, error) {
				l, err := then(ctx, c)
				if transport.CodeOf(err) == transport.FailedPrecondition {
					c.Subjects = []string{"elsewhere"}
					return then(ctx, c)
				}
				return l, err
			}
		}),
		"log/open/subject-of-two", "A subject must not belong to two logs.",
	},
	"recreates no group": {
		undeclared, "log/recreated/stored", "is recreated: Append stores messages for it.",
	},
	"recreates every group": {
		replacing(func(l transport.Log) transport.Log { return restoring{l} }),
		"log/recreated/limits", "a deleted group is not recreated",
	},
	"deletes no group": {
		replacing(func(l transport.Log) transport.Log { return undeletable{l} }),
		"log/recreated/new", "A recreated group begins with later messages",
	},
	"counts no members": {
		replacing(func(l transport.Log) transport.Log { return memberless{l} }),
		"log/members/counted", "Members is not 0 while an idle member consumes",
	},
	"reads later messages": {
		replacing(func(l transport.Log) transport.Log { return endless{l} }),
		"log/read/present", "Read ends at the last message",
	},
}

// alteration breaks a log by changing its arguments or results.
type alteration struct {
	log     func(*transport.LogConfig)
	append  func(*transport.AppendOptions)
	consume func(*transport.ConsumeConfig)
	handle  func(transport.DeliveryHandler) transport.DeliveryHandler
	deliver func(*transport.Delivery)
	read    func(*transport.ReadConfig)
	purge   func(*transport.PurgeConfig)
}

func (a alteration) broken(tr *inproc.Transport) transport.Transport {
	return logs{tr, a.log, func(l transport.Log) transport.Log { return altered{l, a} }}
}

// replacing breaks a log by replacing it with one made from it.
func replacing(by func(transport.Log) transport.Log) func(*inproc.Transport) transport.Transport {
	return func(tr *inproc.Transport) transport.Transport { return logs{tr, nil, by} }
}

// logs is a transport with broken logs.
type logs struct {
	*inproc.Transport
	config func(*transport.LogConfig)
	by     func(transport.Log) transport.Log
}

func (b logs) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if b.config != nil {
		b.config(&c)
	}
	l, err := b.Transport.Log(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.by(l), nil
}

type altered struct {
	transport.Log
	alteration
}

func (a altered) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	if a.append != nil {
		a.append(&o)
	}
	return a.Log.Append(ctx, m, o)
}

func (a altered) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	if a.consume != nil {
		a.consume(&c)
	}
	if a.handle != nil {
		h = a.handle(h)
	}
	return a.Log.Consume(ctx, c, func(d *transport.Delivery) transport.Work {
		if a.deliver != nil {
			a.deliver(d)
		}
		return h(d)
	})
}

func (a altered) Read(ctx context.Context, c transport.ReadConfig) iter.Seq2[*transport.Delivery, error] {
	if a.read != nil {
		a.read(&c)
	}
	return a.Log.Read(ctx, c)
}

func (a altered) Purge(ctx context.Context, c transport.PurgeConfig) (uint64, error) {
	if a.purge != nil {
		a.purge(&c)
	}
	return a.Log.Purge(ctx, c)
}

type forgetful struct{ transport.Settler }

func (forgetful) Ack(context.Context) error { return nil }

type undying struct{ transport.Settler }

func (u undying) Terminate(ctx context.Context, _ string) error { return u.Nak(ctx, 0) }

type counting struct{ transport.Settler }

func (c counting) Release(ctx context.Context) error { return c.Nak(ctx, 0) }

type belated struct{ transport.Settler }

func (b belated) Release(ctx context.Context) error { return b.Ack(ctx) }

type hasty struct{ transport.Settler }

func (h hasty) Nak(ctx context.Context, delay time.Duration) error {
	return h.Settler.Nak(ctx, max(delay-time.Millisecond, 0))
}

type generous struct{ transport.Settler }

func (g generous) Ack(ctx context.Context) error {
	_ = g.Settler.Ack(ctx)
	return nil
}

// careless settles unhandled deliveries of a member that leaves: all on Close, and on Drain the
// deliveries that were fetched in advance.
type careless struct {
	transport.Log
	closing bool
}

func (c *careless) Consume(ctx context.Context, config transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	m := &carelessMember{closing: c.closing, h: h, turn: make(chan struct{}, 1)}
	if !c.closing {
		config.MaxInFlight = 1000
	}
	var err error
	m.Receiver, err = c.Log.Consume(ctx, config, transport.Serial(m.take))
	return m, err
}

type carelessMember struct {
	transport.Receiver
	closing bool
	h       transport.DeliveryHandler
	turn    chan struct{} // with the handler
	lose    atomic.Bool

	mu   sync.Mutex
	held []*transport.Delivery
}

func (m *carelessMember) take(d *transport.Delivery) {
	m.mu.Lock()
	m.held = append(m.held, d)
	m.mu.Unlock()
	if m.closing {
		finish(m.h, d)
		return
	}
	go m.begin(d)
}

// begin waits until the handler is free. This member does not break the order.
func (m *carelessMember) begin(d *transport.Delivery) {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	if m.lose.Load() {
		_ = d.Ack(context.Background())
		return
	}
	finish(m.h, d)
}

// finish calls a handler and does the work that it leaves.
func finish(h transport.DeliveryHandler, d *transport.Delivery) {
	if w := h(d); w != nil {
		w.Run()
	}
}

func (m *carelessMember) Close() {
	m.mu.Lock()
	held := slices.Clone(m.held)
	m.mu.Unlock()
	for _, d := range held {
		_ = d.Terminate(context.Background(), "")
	}
	m.Receiver.Close()
}

func (m *carelessMember) Drain(ctx context.Context) error {
	m.lose.Store(true)
	return m.Receiver.Drain(ctx)
}

type impatient struct{ transport.Log }

func (i impatient) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	r, err := i.Log.Consume(ctx, c, h)
	return hurried{r}, err
}

type hurried struct{ transport.Receiver }

func (h hurried) Drain(context.Context) error {
	h.Close()
	return nil
}

type amnesiac struct {
	transport.Log
}

func (a *amnesiac) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	_ = a.DeleteGroup(ctx, c.Group.Name)
	return a.Log.Consume(ctx, c, h)
}

// undeclared creates groups through another Transport, and declares none itself.
func undeclared(*inproc.Transport) transport.Transport {
	b := inproc.NewBackend(inproc.Options{})
	return rewired(func(r *rewiring) {
		r.log = func(ctx context.Context, c transport.LogConfig, then opener) (transport.Log, error) {
			maker := b.Connect()
			_, err := maker.Log(ctx, c)
			if err := cmp.Or(err, maker.Close(ctx)); err != nil {
				return nil, err
			}
			c.Groups = nil
			return then(ctx, c)
		}
	})(b.Connect())
}

type restoring struct{ transport.Log }

func (r restoring) DeleteGroup(ctx context.Context, name string) error {
	if err := r.Log.DeleteGroup(ctx, name); err != nil {
		return err
	}
	m, err := r.Consume(ctx, transport.ConsumeConfig{Group: transport.GroupConfig{Name: name}}, transport.Serial(func(*transport.Delivery) {}))
	if err == nil {
		m.Close()
	}
	return err
}

// uncancelled cancels nothing.
type uncancelled struct{ transport.Log }

func (uncancelled) Cancel(context.Context, string) error { return nil }

// removing removes any message with the id.
type removing struct{ transport.Log }

func (r removing) Cancel(ctx context.Context, id string) error {
	for d, err := range r.Read(ctx, transport.ReadConfig{}) {
		if err == nil && d.ID == id {
			return r.Remove(ctx, d.Sequence)
		}
	}
	return r.Log.Cancel(ctx, id)
}

// repeating cancels a message that it does not find.
type repeating struct{ transport.Log }

func (r repeating) Cancel(ctx context.Context, id string) error {
	err := r.Log.Cancel(ctx, id)
	if transport.CodeOf(err) == transport.NotFound {
		return nil
	}
	return err
}

// resuming ends the pauses of the groups of a cancelled message.
type resuming struct{ transport.Log }

func (r resuming) Cancel(ctx context.Context, id string) error {
	groups, err := r.Groups(ctx)
	for _, g := range groups {
		err = errors.Join(err, r.PauseGroup(ctx, g.Config.Name, time.Time{}))
	}
	return errors.Join(err, r.Log.Cancel(ctx, id))
}

type unpaused struct{ transport.Log }

func (unpaused) PauseGroup(context.Context, string, time.Time) error { return nil }

// earlier ends each pause early, and does not tell when it ends.
type earlier struct{ transport.Log }

func (e earlier) PauseGroup(ctx context.Context, name string, until time.Time) error {
	if left := time.Until(until); left > 0 {
		until = time.Now().Add(left / 4)
	}
	return e.Log.PauseGroup(ctx, name, until)
}

// unresumed does not resume.
type unresumed struct{ transport.Log }

func (e unresumed) PauseGroup(ctx context.Context, name string, until time.Time) error {
	if !until.After(time.Now()) {
		return nil
	}
	return e.Log.PauseGroup(ctx, name, until)
}

type undeletable struct{ transport.Log }

func (undeletable) DeleteGroup(context.Context, string) error { return nil }

type memberless struct{ transport.Log }

func (m memberless) Groups(ctx context.Context) ([]transport.GroupInfo, error) {
	groups, err := m.Log.Groups(ctx)
	for i := range groups {
		groups[i].Members = 0
	}
	return groups, err
}

type concurrent struct{ transport.Log }

func (c concurrent) Consume(ctx context.Context, config transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	return c.Log.Consume(ctx, config, transport.Serial(func(d *transport.Delivery) { go finish(h, d) }))
}

type appending struct {
	transport.Log
	append func(context.Context, *transport.Message, transport.AppendOptions) (transport.Appended, error)
}

func (a *appending) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	return a.append(ctx, m, o)
}

type silent struct{ transport.Log }

func (s silent) Info(ctx context.Context) (transport.LogInfo, error) {
	info, err := s.Log.Info(ctx)
	info.Delayed = 0
	return info, err
}

type obliging struct{ transport.Log }

func (o obliging) Remove(ctx context.Context, sequence uint64) error {
	_ = o.Log.Remove(ctx, sequence)
	return nil
}

type continuing struct {
	transport.Log
	last atomic.Uint64
}

func (c *continuing) Read(ctx context.Context, r transport.ReadConfig) iter.Seq2[*transport.Delivery, error] {
	return func(yield func(*transport.Delivery, error) bool) {
		if last := c.last.Load(); last > 0 && r.Start == (transport.Start{}) {
			r.Start.Sequence = last + 1
		}
		for d, err := range c.Log.Read(ctx, r) {
			if d != nil {
				c.last.Store(d.Sequence)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

type stuttering struct{ transport.Log }

func (s stuttering) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	return s.Log.AppendAsync(ctx, m, o, func(at transport.Appended, err error) {
		done(at, err)
		done(at, err)
	})
}

type boundless struct{ transport.Log }

func (b boundless) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	at, err := b.Append(ctx, m, o)
	go done(at, err)
	return nil
}

// shuffling stores every second message after the next one.
type shuffling struct {
	transport.Log
	mu   sync.Mutex
	late func()
}

func (s *shuffling) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late == nil {
		m := m.Clone()
		s.late = func() { _ = s.Log.AppendAsync(ctx, m, o, done) }
		return nil
	}
	err := s.Log.AppendAsync(ctx, m, o, done)
	s.late()
	s.late = nil
	return err
}

// endless continues once more at the end of a Read.
type endless struct{ transport.Log }

func (e endless) Read(ctx context.Context, c transport.ReadConfig) iter.Seq2[*transport.Delivery, error] {
	return func(yield func(*transport.Delivery, error) bool) {
		var last uint64
		for range 2 {
			for d, err := range e.Log.Read(ctx, c) {
				if !yield(d, err) {
					return
				}
				if d != nil {
					last = d.Sequence
				}
			}
			c.Start = transport.Start{Sequence: last + 1}
		}
	}
}
