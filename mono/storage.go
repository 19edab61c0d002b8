package mono

import (
	"context"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// storage is the log of one stored handle, or of its dead letters, in one run of
// an App. It is opened when it is first needed, and stays open.
type storage struct {
	in     *instance
	config transport.LogConfig
	what   string // for errors

	opening chan struct{} // holds one token while somebody opens it
	opened  atomic.Pointer[transport.Log]
}

// stored reports whether messages of the handle are kept until they are handled.
func (d *declaration) stored() bool {
	switch d.kind {
	case KindQueue:
		return !d.config.NonPersistent
	case KindStream:
		return true
	}
	return d.config.Durable
}

// storageOf returns the storage of a stored handle.
func (in *instance) storageOf(d *declaration) *storage {
	return in.storage(d.String(), in.logConfig(d))
}

func (in *instance) storage(what string, c transport.LogConfig) *storage {
	if s, ok := in.storages.Load(c.Name); ok {
		return s.(*storage)
	}
	fresh := &storage{in: in, config: c, what: what, opening: make(chan struct{}, 1)}
	s, _ := in.storages.LoadOrStore(c.Name, fresh)
	return s.(*storage)
}

// log returns the log, opened.
func (s *storage) log(ctx context.Context) (transport.Log, error) {
	if log := s.opened.Load(); log != nil {
		return *log, nil
	}
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, transport.ContextError(ctx, OutcomeNotDone, "%s: its log is being opened", s.what)
	}
	if log := s.opened.Load(); log != nil {
		return *log, nil
	}
	log, err := s.in.app.transport.Log(ctx, s.config)
	if err != nil {
		return nil, about(s.what, err)
	}
	s.opened.Store(&log)
	return log, nil
}

// reopen lets the next one who needs the log open it anew, and make it where it is
// gone.
func (s *storage) reopen() { s.opened.Store(nil) }

// idOf returns the id of a stored message. One by a plain client that set none has
// one all the same, the same at each attempt: its place.
func (s *storage) idOf(d *transport.Delivery) string {
	if d.ID != "" {
		return d.ID
	}
	if id := d.Header.Get(transport.HeaderID); id != "" {
		return id
	}
	return s.config.Name + "-" + strconv.FormatUint(d.Sequence, 10)
}

// logConfig describes the log of a stored handle.
func (in *instance) logConfig(d *declaration) transport.LogConfig {
	subject := in.prefix(d)
	c := transport.LogConfig{
		Name:        logName(subject),
		Subjects:    []string{subject, subject + toToken + "*"},
		DedupWindow: d.config.DedupWindow,
		Generation:  in.app.options.generation,
		Description: d.config.Doc,
		Metadata:    map[string]string{"mono-handle": d.String()},
		MaxSize:     in.maxStored(),
	}
	if d.key != nil {
		c.Subjects = []string{subject + "._k.*", subject + toToken + "*._k.*"}
	}
	switch d.kind {
	case KindQueue:
		in.configureQueue(&c, d)
	case KindStream:
		in.configureStream(&c, d)
	default:
		c.Retention = transport.InterestRetention
	}
	return c
}

// maxStored is the size of the largest message that can be stored, and be a dead
// letter later.
func (in *instance) maxStored() int {
	limit := in.app.transport.Capabilities().MaxPayload
	return max(limit-letterRoom, limit/2)
}

func (in *instance) configureQueue(c *transport.LogConfig, d *declaration) {
	c.Retention = transport.InterestRetention
	c.MaxMessages = d.config.MaxPending
	c.Delays = in.app.transport.Capabilities().Delays
	if c.Delays {
		c.MaxDelayed = d.config.MaxDelayed
	}
	for _, group := range d.config.groups() {
		c.Groups = append(c.Groups, in.groupConfig(d, &d.config, group))
	}
}

func (in *instance) configureStream(c *transport.LogConfig, d *declaration) {
	c.MaxAge = d.config.MaxAge
	c.MaxMessages = d.config.MaxMessages
	c.MaxBytes = d.config.MaxBytes
	c.MaxPerSubject = d.config.MaxPerKey
	c.Full = transport.DropOldest
	c.Lanes = d.config.lanes(d.key != nil)
}

// groupConfig describes a group of a stored handle. One that narrows nothing has no
// filter, with which a backend is fastest: it hears what is replayed to other groups
// too, and passes it over.
func (in *instance) groupConfig(d *declaration, c *config, group string) transport.GroupConfig {
	var filter []string
	if len(c.Keys) > 0 {
		filter = append(in.patternsOf(d, c), in.replaySubject(d, group, "*"))
	}
	return transport.GroupConfig{
		Name:       group,
		Filter:     filter,
		Start:      c.From.start,
		AckWait:    c.AckWait,
		Ordered:    d.kind == KindStream && !c.Unordered,
		Generation: in.app.options.generation,
	}
}

// replaySubject is where a message goes that is for one group only.
func (in *instance) replaySubject(d *declaration, group, key string) string {
	subject := in.prefix(d) + toToken + group
	if d.key != nil {
		subject += "._k." + key
	}
	return subject
}

const toToken = "._to."

// toAnother reports whether a message is for another group only. prefix is that of
// its handle.
func toAnother(subject, prefix, group string) bool {
	rest, ok := strings.CutPrefix(subject, prefix)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, toToken)
	if !ok {
		return false
	}
	to, _, _ := strings.Cut(rest, ".")
	return to != group
}

// logName turns a subject into the name of a log. Names of handles have no "_",
// so no two are the same.
func logName(subject string) string { return strings.ReplaceAll(subject, ".", "_") }

// DefaultLanes is in how many lanes a keyed stream is worked on unless mono.Lanes
// says otherwise.
const DefaultLanes = 16

// lanes is in how many lanes the log of a stream is divided.
func (c *config) lanes(keyed bool) int {
	switch {
	case !keyed || c.Unordered:
		return 0
	case c.Lanes > 0:
		return c.Lanes
	}
	return DefaultLanes
}

// DefaultGroup is the one group of a queue that declares no Groups.
const DefaultGroup = "workers"

// groups lists the groups of a queue.
func (c *config) groups() []string {
	if len(c.Groups) == 0 {
		return []string{DefaultGroup}
	}
	return c.Groups
}

// Generation orders the versions of a program that share stored handles: where a
// higher one has set a log's options, a lower one leaves them as they are, so that
// an older binary that restarts does not undo what a newer one changed. The
// default is the time of the commit that the binary was built from, in seconds of
// Unix time, as the go command records it, and 0 where it recorded none.
func Generation(n uint64) AppOption { return func(o *appOptions) { o.generation = n } }

func buildGeneration() uint64 {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return 0
	}
	for _, s := range info.Settings {
		if s.Key != "vcs.time" {
			continue
		}
		if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
			return uint64(max(t.Unix(), 0))
		}
	}
	return 0
}
