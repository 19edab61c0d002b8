package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"runtime"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Bucket is the declaration of a bucket with values of type T. It is an immutable value that
// holds no connection: any number of Apps and tests may share it.
type Bucket[T any] struct{ decl *declaration }

// NewBucket declares a bucket. A name consists of tokens of lower-case letters and digits,
// which single hyphens join; it has at most MaxName bytes. NewBucket panics on a bad name or
// option.
//
// The bucket is stored under its name, after the namespace of the App and "_". See
// [StoredAs] for a bucket of another program.
//
// A setting without an option is that of the existing bucket, or its default if the bucket is
// created.
func NewBucket[T any](name string, options ...BucketOption) Bucket[T] {
	d := &declaration{name: name, place: caller(), value: reflect.TypeFor[T]()}
	for _, o := range options {
		if o == nil {
			d.options.err = firstError(d.options.err, errors.New("an option is nil"))
			continue
		}
		o.bucketOption(&d.options)
	}
	if err := firstError(checkName(name), d.options.err, d.options.conflict(), d.options.upcasts.Check(d.value), codec.CheckAliases(d.options.upcasts.Newest(d.options.codec), d.value)); err != nil {
		panic(fmt.Sprintf("kv.NewBucket(%q): %v", name, err))
	}
	d.options.TTL = wholeSeconds(d.options.TTL)
	d.options.maxStale = cmp.Or(d.options.maxStale, DefaultMaxStale)
	return Bucket[T]{d}
}

// MaxName is the maximum length of the name of a bucket, in bytes.
const MaxName = 100

// Name returns the name given at the declaration.
func (b Bucket[T]) Name() string { return b.decl.name }

// StoredName returns the name of the bucket at the backend, for an App with a namespace, or "" for
// one without. DeleteBucket, MirrorOf and SourcedFrom expect it.
func (b Bucket[T]) StoredName(namespace string) string { return b.decl.storedName(namespace) }

// checkName reports an invalid name.
func checkName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("the name has %d bytes: want 1 to %d", len(name), MaxName)
	}
	if !validName.MatchString(name) {
		return errors.New("want lower-case letters, digits and single hyphens, such as open-carts")
	}
	return nil
}

var (
	validName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	validStored = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,200}$`) // ADR-8
)

// storedName returns the name of the bucket at the backend.
func (d *declaration) storedName(namespace string) string {
	switch {
	case d.options.storedAs != "":
		return d.options.storedAs
	case namespace != "":
		return strings.ReplaceAll(namespace, ".", "_") + "_" + d.name
	}
	return d.name
}

// conflict reports options that exclude each other.
func (o *bucketOptions) conflict() error {
	switch {
	case o.Mirror != nil && len(o.Sources) > 0:
		return errors.New("MirrorOf and SourcedFrom: a mirror has one source")
	case o.maxStale != 0 && !o.cached:
		return errors.New("MaxStale without Cached: there is nothing that could be stale")
	case o.Existing && o.changes():
		return errors.New("Existing changes no settings: leave the others out")
	}
	return nil
}

// changes reports whether an option sets a setting of the bucket.
func (o *bucketOptions) changes() bool {
	return !reflect.DeepEqual(o.Config, driver.Config{Existing: o.Existing})
}

// Open declares that the owner of h uses the bucket. The bucket is opened before the owner's
// Start; it is created if it is missing. Until then every method of the result returns
// failed_precondition.
func (b Bucket[T]) Open(h transport.Host) *KeyValue[T] {
	s := &store{decl: b.decl}
	h.Attach(transport.Component{
		Kind: "bucket", Name: b.decl.name, Place: caller(),
		Declared: b.decl.place, Type: b.decl.value.String(), Settings: b.decl.options.settings(), StoredAs: b.decl.storedName,
		Check: s.check, Needs: s.needs, Open: s.start, Close: s.stop, Health: s.health,
	})
	return &KeyValue[T]{store: s}
}

// Connect opens a bucket on a bare transport. Values are JSON unless the bucket has a Codec. A
// [Cached] bucket follows its changes from the first Get until [KeyValue.Close], or until the
// transport is closed.
func Connect[T any](ctx context.Context, t transport.Transport, b Bucket[T]) (*KeyValue[T], error) {
	kv := &KeyValue[T]{store: &store{decl: b.decl, connected: true}}
	err := kv.store.start(ctx, transport.Environment{Transport: t, Codec: codec.JSON, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return kv, nil
}

// backendOf returns the buckets of a transport.
func backendOf(t transport.Transport) (driver.Store, error) {
	b, ok := t.(interface{ Buckets() driver.Store })
	if !ok {
		return nil, notDone(transport.Unimplemented, "the transport %T has no buckets: use one with a method Buckets, such as those of natsx and inproc", t)
	}
	return b.Buckets(), nil
}

// caller returns the place of the first caller outside this package.
func caller() string {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "gomono.dev/kv.") || !more {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}
