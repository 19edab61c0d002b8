package objstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Store is the declaration of a store. It is an immutable value that holds no connection: any
// number of Apps and tests may share it.
type Store struct{ decl *declaration }

type declaration struct {
	name    string
	place   string // file and line
	options storeOptions
}

// NewStore declares a store. A name consists of tokens of lower-case letters and digits, which
// single hyphens join; it has at most 100 bytes. NewStore panics on a bad name or option.
//
// The store is stored under its name, after the namespace of the App and "_". See [StoredAs]
// for a store of another program.
//
// A setting without an option is that of the existing store, or its default if the store is
// created.
func NewStore(name string, options ...StoreOption) Store {
	d := &declaration{name: name, place: caller()}
	for _, o := range options {
		if o == nil {
			d.options.err = firstError(d.options.err, errors.New("an option is nil"))
			continue
		}
		o.storeOption(&d.options)
	}
	if err := firstError(checkStoreName(name), d.options.err, d.options.conflict()); err != nil {
		panic(fmt.Sprintf("objstore.NewStore(%q): %v", name, err))
	}
	if d.options.index {
		d.options.maxStale = cmp.Or(d.options.maxStale, kv.DefaultMaxStale)
	}
	return Store{d}
}

// Name returns the name given at the declaration.
func (s Store) Name() string { return s.decl.name }

// StoredName returns the name of the store at the backend, for an App with a namespace, or ""
// for one without. DeleteStore expects it.
func (s Store) StoredName(namespace string) string { return s.decl.storedName(namespace) }

// conflict reports options that exclude each other.
func (o *storeOptions) conflict() error {
	if o.maxStale != 0 && !o.index {
		return errors.New("MaxStale without Index: there is nothing that could be stale")
	}
	return nil
}

const maxStoreName = 100

func checkStoreName(name string) error {
	if name == "" || len(name) > maxStoreName {
		return fmt.Errorf("the name has %d bytes: want 1 to %d", len(name), maxStoreName)
	}
	if !validName.MatchString(name) {
		return errors.New("want lower-case letters, digits and single hyphens, such as user-uploads")
	}
	return nil
}

var (
	validName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	validStored = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,200}$`) // ADR-20
)

// storedName returns the name of the store at the backend.
func (d *declaration) storedName(namespace string) string {
	switch {
	case d.options.storedAs != "":
		return d.options.storedAs
	case namespace != "":
		return strings.ReplaceAll(namespace, ".", "_") + "_" + d.name
	}
	return d.name
}

// Open declares that the owner of h uses the store. The store is opened before the owner's
// Start; it is created if it is missing. Until then every method of the result returns
// failed_precondition.
func (s Store) Open(h transport.Host) *Objects {
	o := &Objects{decl: s.decl}
	h.Attach(transport.Component{
		Kind: "store", Name: s.decl.name, Place: caller(),
		Declared: s.decl.place, Settings: s.decl.options.settings(), StoredAs: s.decl.storedName,
		Check: s.decl.check, Needs: s.decl.needs, Open: o.start, Close: o.stop, Health: o.health,
	})
	return o
}

// Connect opens a store on a bare transport. The store has its own [Index] until
// [Objects.Close], or until the transport is closed.
func Connect(ctx context.Context, t transport.Transport, s Store) (*Objects, error) {
	o := &Objects{decl: s.decl, connected: true}
	err := o.start(ctx, transport.Environment{Transport: t, Codec: codec.JSON, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Objects is an open store. Its methods may be called concurrently.
type Objects struct {
	decl      *declaration
	connected bool // by Connect, not by a Host
	shared    *shared
	open      atomic.Pointer[opened] // nil: not open
}

// Name returns the declared name of the store.
func (o *Objects) Name() string { return o.decl.name }

// Close ends the use of a store that [Connect] opened: watches end with unavailable, and every
// other method returns failed_precondition. The transport stays open. Another Close does
// nothing. A Host closes the stores that were opened on it: for those, Close returns
// failed_precondition.
func (o *Objects) Close(ctx context.Context) error {
	if !o.connected {
		return inStore(o.decl.name, notDone(transport.FailedPrecondition, "its Host closes it: call Close only after Connect"))
	}
	return o.stop(ctx)
}

// health reports whether the store answers. It is [transport.Component.Health].
func (o *Objects) health(ctx context.Context) error {
	s, err := o.begin(ctx)
	if err != nil {
		return err
	}
	_, err = s.Info(ctx)
	return inStore(s.name, err)
}

// begin returns the open store for an operation.
func (o *Objects) begin(ctx context.Context) (*opened, error) {
	s := o.open.Load()
	if s == nil {
		return nil, inStore(o.decl.name, notDone(transport.FailedPrecondition, "it is not open: use it after the start of the App, and before its end or Close"))
	}
	if err := contextError(ctx); err != nil {
		return nil, inStore(s.name, err)
	}
	return s, nil
}

// at names store and object in an error.
func (s *opened) at(name string, err error) error { return inStore(s.name, atObject(name, err)) }

// chunkOverhead is what a chunk needs beside its bytes.
const chunkOverhead = 1024

// chunkSize returns the size of chunks; asked is that of a Put, 0 for the store's.
func (s *opened) chunkSize(asked int) int {
	size := asked
	if size == 0 {
		size = s.chunk
	}
	if size == 0 {
		size = DefaultChunkSize
	}
	if limit := s.transport.Capabilities().MaxPayload; limit > 0 {
		size = min(size, max(limit-chunkOverhead, 1))
	}
	return size
}

// backendOf returns the stores of a transport.
func backendOf(t transport.Transport) (driver.Stores, error) {
	b, ok := t.(interface{ Objects() driver.Stores })
	if !ok {
		return nil, notDone(transport.Unimplemented, "the transport %T has no stores of objects: use one with a method Objects, such as that of inproc", t)
	}
	return b.Objects(), nil
}

// caller returns the place of the first caller outside this package.
func caller() string {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "gomono.dev/objstore.") || !more {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}
