package limit

import (
	"fmt"
	"slices"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
)

// RateOption is an option of [Rate]. The options are [Burst], [By], [For] and [MaxKeys].
type RateOption interface {
	apply(*options)
	forRate()
}

// WindowOption is an option of [Window]. The options are [By], [FailOpen], [For] and [Stored].
type WindowOption interface {
	apply(*options)
	forWindow()
}

// ConcurrencyOption is an option of [Concurrency]. The options are [By] and [For].
type ConcurrencyOption interface {
	apply(*options)
	forConcurrency()
}

// BreakerOption is an option of [NewBreaker]. The options are [Codes], [For] and [OnChange].
type BreakerOption interface {
	apply(*options)
	forBreaker()
}

// RetryOption is an option of [Retry]. The options are [Attempts], [Budget], [For] and [Pause].
type RetryOption interface {
	apply(*options)
	forRetry()
}

// LimitOption is an option of [Rate], [Window] and [Concurrency].
type LimitOption interface {
	RateOption
	WindowOption
	ConcurrencyOption
}

// AnyOption is an option of all middleware of this package.
type AnyOption interface {
	LimitOption
	BreakerOption
	RetryOption
}

type option func(*options)

func (o option) apply(all *options) { o(all) }
func (option) forRate()             {}
func (option) forWindow()           {}
func (option) forConcurrency()      {}
func (option) forBreaker()          {}
func (option) forRetry()            {}

type options struct {
	parts    []Part
	handles  []mono.Handle // nil: all
	burst    int
	maxKeys  int
	open     bool
	bucket   []kv.BucketOption
	codes    []mono.Code
	changed  func(Change)
	attempts int
	tokens   float64
	ratio    float64
	first    time.Duration
	longest  time.Duration
}

// applyTo sets the options of the middleware that the function what returns. A bad option panics,
// which is a mistake in the program's text.
func applyTo[O interface{ apply(*options) }](o *options, what string, all []O) {
	for _, each := range all {
		if any(each) == nil {
			panic("limit." + what + ": an option is nil: leave it out")
		}
		each.apply(o)
	}
}

// check panics unless ok.
func check(ok bool, format string, args ...any) {
	if !ok {
		panic("limit." + fmt.Sprintf(format, args...))
	}
}

// For limits the middleware to these handles, instead of all.
func For(handles ...mono.Handle) AnyOption {
	check(len(handles) > 0 && !slices.Contains(handles, nil), "For: want at least one handle, none nil")
	return option(func(o *options) { o.handles = append(o.handles, handles...) })
}

// concerns reports whether the middleware is for a handle.
func (o *options) concerns(h mono.Handle) bool {
	return o.handles == nil || slices.ContainsFunc(o.handles, func(one mono.Handle) bool {
		return one.Kind() == h.Kind() && one.Name() == h.Name()
	})
}
