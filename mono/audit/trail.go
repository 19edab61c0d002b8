package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// DefaultName is the default of Options.Name.
const DefaultName = "trail"

// Options are the options of New. Only the Key is required.
type Options struct {
	// Actor returns the Entry.Actor, such as the user of a request. ctx is that of Record. It
	// may be nil.
	Actor func(ctx context.Context) string

	// Exclusive allows one process at a time to write: the last one to start. Record in the
	// others fails with Aborted. Without it any number of processes may write.
	Exclusive bool

	// Key is the private key of GenerateKey that signs the log. All writers of a log have the
	// same one.
	Key string

	// Mandatory makes the start of the App fail if the log cannot be opened, and refuses a
	// message to a handle with [Always] if its entry cannot be stored. Without it the App
	// starts and is unhealthy, Record returns the error, and the next Record tries again.
	Mandatory bool

	// MaxBytes limits the size of the log. Record to a full log fails with ResourceExhausted.
	// 0 means no limit.
	MaxBytes uint64

	// Name is the name of the log: lower-case letters, digits, and single hyphens between
	// them. The default is DefaultName.
	Name string

	// Redact returns details without secrets, before they are hashed and stored. It gets a
	// map[string]any with the details of one entry, and may change it. The payload of a message
	// is "body" in a map of its own, and must not be changed itself. Redact may be nil.
	Redact func(details any) any
}

// Trail writes an audit log. Create one with New, and add it to the App with Use. It is a
// plugin and middleware, so that [Record] finds it in the context of each handler, and an
// observer, which records the life of the App. A Trail belongs to one App.
type Trail struct {
	options Options
	err     error // of the options
	writer  writer
	scope   atomic.Pointer[mono.Scope]
}

// New returns a Trail. The start of the App reports mistakes in the options.
func New(o Options) *Trail {
	if o.Name == "" {
		o.Name = DefaultName
	}
	t := &Trail{options: o}
	t.writer.name, t.writer.exclusive, t.writer.logger = o.Name, o.Exclusive, slog.Default()
	t.writer.signer, t.writer.key, t.err = keysOf(&o)
	return t
}

func keysOf(o *Options) (note.Signer, note.Verifier, error) {
	if !validName.MatchString(o.Name) {
		return nil, nil, fmt.Errorf("audit log %q: want a name of lower-case letters, digits and single hyphens, such as orders", o.Name)
	}
	signer, err := note.NewSigner(o.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("audit log %q: its Key is not a private key of GenerateKey: %w", o.Name, err)
	}
	public, err := PublicKey(o.Key)
	if err != nil {
		return nil, nil, err
	}
	key, err := note.NewVerifier(public)
	return signer, key, err
}

// Name returns the name of the plugin, "audit-" and the name of the log.
func (t *Trail) Name() string { return "audit-" + t.options.Name }

// Bind implements [mono.Module]. The log is open before any module starts, and until all have
// stopped.
func (t *Trail) Bind(s *mono.Scope) error {
	if t.err != nil {
		return t.err
	}
	t.scope.Store(s)
	s.Attach(transport.Component{
		Kind: "audit", Name: t.options.Name, Place: "gomono.dev/mono/audit", Declared: "gomono.dev/mono/audit",
		StoredAs: func(namespace string) string { return storedName(namespace, t.options.Name) },
		Open:     t.open, Close: t.writer.close, Health: t.writer.health,
	})
	return nil
}

func (t *Trail) open(ctx context.Context, e transport.Environment) error {
	err := t.writer.open(ctx, &e, func(ctx context.Context) (*history, error) {
		return openHistory(ctx, e.Transport, e.Namespace, t.options.Name, t.writer.key, transport.LogConfig{
			MaxBytes: t.options.MaxBytes, Full: transport.Refuse, Update: true, Generation: e.Generation,
		})
	})
	if err == nil || t.options.Mandatory {
		return err
	}
	e.Logger.Error("audit: the log is not open; nothing is recorded until it is", "log", t.options.Name, "error", err)
	return nil
}

// instance returns the id of the attempt to run the App.
func (t *Trail) instance() string {
	if s := t.scope.Load(); s != nil {
		return s.Instance()
	}
	return ""
}

// Selects implements [mono.Selective]: all handlers get the Trail, and the sends to handles
// with [Always] are recorded.
func (t *Trail) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideReceiver || isAlways(h)
}

// Wrap implements [mono.Middleware].
func (t *Trail) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		if c.Side() == mono.SideReceiver {
			return next(NewContext(ctx, t), c)
		}
		return t.send(ctx, c, next)
	}
}

// Record stores an entry, and returns when it is stored and a signed checkpoint covers it. An
// error has the outcome "not done", or "unknown" if the entry may be stored.
//
// The entry has the module and the message of the handler that received ctx.
func (t *Trail) Record(ctx context.Context, event string, details ...slog.Attr) error {
	return t.record(ctx, Entry{Event: event}, details)
}

func (t *Trail) record(ctx context.Context, e Entry, details []slog.Attr) error {
	data, err := t.newEntry(ctx, e, details)
	if err != nil {
		return err
	}
	r := &record{data: data, done: make(chan error, 1)}
	if err := t.writer.add(r); err != nil {
		return err
	}
	return t.writer.wait(ctx, r)
}

// RecordAsync is like Record, but does not wait. An entry that cannot be stored is lost, and
// logged as an error. If RecordAsync itself returns an error, the entry is not queued.
func (t *Trail) RecordAsync(ctx context.Context, event string, details ...slog.Attr) error {
	return t.recordAsync(ctx, Entry{Event: event}, details)
}

func (t *Trail) recordAsync(ctx context.Context, e Entry, details []slog.Attr) error {
	data, err := t.newEntry(ctx, e, details)
	if err != nil {
		return err
	}
	return t.writer.add(&record{data: data})
}

// missed logs that an entry was not queued. The writer counts those for which it has no room.
func (t *Trail) missed(event string, err error) {
	if err != nil && transport.CodeOf(err) != transport.ResourceExhausted {
		t.writer.logger.Error("audit: event not recorded", "log", t.options.Name, "event", event, "error", err)
	}
}

func (t *Trail) errorf(code transport.Code, format string, args ...any) error {
	return errorf(t.options.Name, code, format, args...)
}

type trailKey struct{}

// NewContext returns a context in which [Record] finds t.
func NewContext(ctx context.Context, t *Trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// Record is [Trail.Record] of the Trail in ctx: the innermost of NewContext, or of the
// middleware of the App.
func Record(ctx context.Context, event string, details ...slog.Attr) error {
	t, err := trailOf(ctx, event)
	if err != nil {
		return err
	}
	return t.Record(ctx, event, details...)
}

// RecordAsync is [Trail.RecordAsync] of the Trail in ctx.
func RecordAsync(ctx context.Context, event string, details ...slog.Attr) error {
	t, err := trailOf(ctx, event)
	if err != nil {
		return err
	}
	return t.RecordAsync(ctx, event, details...)
}

func trailOf(ctx context.Context, event string) (*Trail, error) {
	if t, ok := ctx.Value(trailKey{}).(*Trail); ok {
		return t, nil
	}
	return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "audit: event %q is recorded without a log: add audit.New to the App with Use, and pass the context of a handler, or one of audit.NewContext", event)
}
