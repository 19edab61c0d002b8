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
	what   string // the handle, for errors

	opening chan struct{} // holds one token while the log is being opened
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

// log returns the log, and opens it if necessary.
func (s *storage) log(ctx context.Context) (transport.Log, error) {
	if log := s.opened.Load(); log != nil {
		return *log, nil
	}
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, transport.ContextError(ctx, OutcomeNotDone, "%s: waited for its log to be opened", s.what)
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

// logConfig returns the configuration of a stored handle's log.
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

// maxStored returns the size of the largest message that can be stored and become a
// dead letter later.
func (in *instance) maxStored() int {
	limit := in.app.transport.Capabilities().MaxPayload
	return max(limit-deadLetterRoom, limit/2)
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

// groupConfig returns the configuration of a group of a stored handle. A group for all
// keys has no filter, because a backend is fastest without one: it also gets the
// messages replayed to other groups, and skips them.
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

// replaySubject returns the subject of messages for one group only.
func (in *instance) replaySubject(d *declaration, group, key string) string {
	subject := in.prefix(d) + toToken + group
	if d.key != nil {
		subject += "._k." + key
	}
	return subject
}

const toToken = "._to."

// forOtherGroup reports whether a message is for another group only. prefix is that of
// its handle.
func forOtherGroup(subject, prefix, group string) bool {
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

// logName returns the name of the log of a subject. Names of handles have no "_", so no
// two are the same.
func logName(subject string) string { return strings.ReplaceAll(subject, ".", "_") }

// DefaultLanes is the number of lanes of a keyed stream, unless mono.Lanes sets
// another.
const DefaultLanes = 16

// lanes returns the number of lanes of a stream's log.
func (c *config) lanes(keyed bool) int {
	switch {
	case !keyed || c.Unordered:
		return 0
	case c.Lanes > 0:
		return c.Lanes
	}
	return DefaultLanes
}

// DefaultGroup is the only group of a queue that declares no Groups.
const DefaultGroup = "workers"

// groups returns the groups of a queue.
func (c *config) groups() []string {
	if len(c.Groups) == 0 {
		return []string{DefaultGroup}
	}
	return c.Groups
}

// Generation orders the versions of a program that share stored handles. After a higher
// generation has set a log's options, a lower one leaves them unchanged. So an older
// binary that restarts does not undo the changes of a newer one.
//
// The default is the time of the commit of the binary, in seconds of Unix time, as the
// go command records it, or 0 if it recorded none.
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
