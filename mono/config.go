package mono

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gomono.dev/codec"
)

// config holds the values of options. A receiver's config is its handle's, with the
// receiver's options applied on top.
type config struct {
	Version string
	Doc     string
	Codec   codec.Codec

	Timeout      time.Duration
	Concurrency  int
	MaxBuffered  int
	LoadBalanced bool
	ByReference  bool

	Group     string
	Broadcast bool
	Durable   bool
	Keys      []string

	Capacity int
	FanOut   bool

	MaxAttempts    int
	Backoff        BackoffPolicy
	Groups         []string
	MaxPending     uint64
	MaxDelayed     uint64
	DedupWindow    time.Duration
	NonPersistent  bool
	AssumeAccepted time.Duration
	AckWait        time.Duration
	StuckAfter     time.Duration

	MaxAge      time.Duration
	MaxMessages uint64
	MaxBytes    uint64
	MaxPerKey   uint64
	Lanes       int
	Unordered   bool
	From        Position
	Follow      bool
	BatchSize   int
	BatchWait   time.Duration

	Code  Code
	Keyed bool
}

// check reports options that contradict each other.
func (c *config) check(kind Kind) error {
	var errs []error
	if names := c.storedOptions(); kind == KindEvent && !c.Durable && len(names) > 0 {
		errs = append(errs, fmt.Errorf("want Durable with %s: an event that is not stored is delivered once", strings.Join(names, ", ")))
	}
	if c.Durable && c.Broadcast {
		errs = append(errs, errors.New("Durable and Broadcast exclude each other: a durable group shares its messages among instances"))
	}
	if c.Broadcast && c.Group != "" {
		errs = append(errs, errors.New("Broadcast and Group exclude each other: every instance receives a broadcast"))
	}
	if c.AssumeAccepted > 0 && !c.NonPersistent {
		errs = append(errs, errors.New("AssumeAccepted needs NonPersistent: a queue that stores its jobs always waits for the acknowledgement of its store"))
	}
	if names := c.storedOptions(); c.NonPersistent && len(names) > 0 {
		errs = append(errs, fmt.Errorf("NonPersistent excludes %s: its jobs are not stored, so they cannot be tried again", strings.Join(names, ", ")))
	}
	if c.MaxAge > 0 && c.DedupWindow > c.MaxAge {
		errs = append(errs, fmt.Errorf("DedupWindow(%v) is longer than MaxAge(%v): ids cannot be remembered for longer than messages", c.DedupWindow, c.MaxAge))
	}
	if c.Unordered && c.Lanes > 0 {
		errs = append(errs, errors.New("Unordered and Lanes exclude each other: lanes keep order"))
	}
	if list, ok := c.Backoff.(backoffList); ok && len(list) > c.maxAttempts()-1 {
		errs = append(errs, fmt.Errorf("Backoff lists %d waits, and %d attempts have %d between them: list fewer, or raise MaxAttempts", len(list), c.maxAttempts(), c.maxAttempts()-1))
	}
	return errors.Join(errs...)
}

// storedOptions returns the names of the options that are set and need stored messages.
// (Timeout has another meaning for a service.)
func (c *config) storedOptions() []string {
	var names []string
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"MaxAttempts", c.MaxAttempts > 0},
		{"Backoff", c.Backoff != nil},
		{"Timeout", c.Timeout > 0},
		{"MaxPending", c.MaxPending > 0},
		{"MaxDelayed", c.MaxDelayed > 0},
		{"DedupWindow", c.DedupWindow > 0},
		{"AckWait", c.AckWait > 0},
		{"StuckAfter", c.StuckAfter > 0},
	} {
		if o.set {
			names = append(names, o.name)
		}
	}
	return names
}

// differs describes the first option with different values in two configs.
func (c *config) differs(other *config) string {
	a, b := reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem()
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return fmt.Sprintf("with different %s: %v and %v", a.Type().Field(i).Name, show(a.Field(i)), show(b.Field(i)))
		}
	}
	return ""
}

// settings returns the options that are not at their zero value, for Describe and
// observers.
func (c *config) settings() map[string]string {
	settings := make(map[string]string)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			settings[v.Type().Field(i).Name] = fmt.Sprint(show(v.Field(i)))
		}
	}
	return settings
}

// show returns an option's value for texts.
func show(v reflect.Value) any {
	if c, ok := v.Interface().(codec.Codec); ok && c != nil {
		return c.ContentType()
	}
	return v.Interface()
}
