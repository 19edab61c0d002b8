package transport

import (
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Defaults and limits of logs and groups.
const (
	DefaultDedupWindow = 2 * time.Minute
	DefaultAckWait     = 30 * time.Second
	MinDedupWindow     = 100 * time.Millisecond
	MinAge             = 100 * time.Millisecond
	MinAckWait         = time.Second
	MinTTL             = time.Second
	MinHeld            = 1000 // messages in a partition
	MaxPartitions      = 256
	MaxStoredHeader    = 56 << 10 // bytes; NATS stores 64 KiB, including its own headers
	MaxDescription     = 4 << 10  // bytes
)

// PartitionOf returns the partition of a message in a log with the given number of partitions:
// the 32-bit FNV-1a hash of its [KeyOf], modulo partitions. The partition function of a NATS
// subject transform (ADR-36) computes the same. Without partitions it is 0.
func PartitionOf(subject string, partitions int) int {
	if partitions < 2 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(KeyOf(subject)))
	return int(h.Sum32() % uint32(partitions))
}

// KeyOf returns the key of a message in a log with Partitions: the last token of its subject.
func KeyOf(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// Overlap reports whether some subject matches both patterns.
func Overlap(a, b string) bool {
	for aMore, bMore := true, true; ; {
		var one, other string
		one, a, aMore = strings.Cut(a, ".")
		other, b, bMore = strings.Cut(b, ".")
		switch {
		case one == ">" || other == ">":
			return true
		case one != "*" && other != "*" && one != other:
			return false
		case !aMore || !bMore:
			return aMore == bMore
		}
	}
}

// Contains reports whether one of the patterns matches the subject.
func Contains(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, subject) })
}

// MaxLogName is the maximum length of the name of a log or a group, in bytes.
const MaxLogName = 240

var (
	logName      = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,240}$`)
	backendGroup = regexp.MustCompile(`_partition_[0-9]+$`)
)

// backendLog is the suffix of the log names that are reserved for backends.
const backendLog = "__later"

// Validate returns an InvalidArgument for a configuration that no backend can implement.
// Package driver checks it in Log.
func (c *LogConfig) Validate() error {
	if !logName.MatchString(c.Name) {
		return invalid("the name must be 1 to 240 letters, digits, - and _")
	}
	if strings.HasSuffix(c.Name, backendLog) {
		return invalid("a name that ends in %s belongs to the backend: choose another one", backendLog)
	}
	if len(c.Subjects) == 0 {
		return invalid("it has no subjects: set at least one")
	}
	if err := validatePatterns(c.Subjects); err != nil {
		return invalid("its subjects: %w", err)
	}
	switch {
	case c.MaxAge != 0 && c.MaxAge < MinAge:
		return invalid("MaxAge is %v: want 0 or at least %v", c.MaxAge, MinAge)
	case c.DedupWindow != 0 && c.DedupWindow < MinDedupWindow:
		return invalid("DedupWindow is %v: want 0 or at least %v", c.DedupWindow, MinDedupWindow)
	case c.MaxAge != 0 && c.DedupWindow > c.MaxAge:
		return invalid("DedupWindow is %v and MaxAge %v: ids cannot be remembered longer than messages", c.DedupWindow, c.MaxAge)
	case c.MaxDelayed > 0 && !c.Delays:
		return invalid("MaxDelayed is %d without Delays: set Delays as well", c.MaxDelayed)
	case c.MaxSize < 0:
		return invalid("MaxSize is %d: want 0 or more", c.MaxSize)
	case len(c.Description) > MaxDescription || !utf8.ValidString(c.Description):
		return invalid("its description has %d bytes: want at most %d, in UTF-8", len(c.Description), MaxDescription)
	case c.Retention > InterestRetention || c.Storage > MemoryStorage || c.Full > DropOldest:
		return invalid("its Retention, Storage or Full is unknown: use a declared constant")
	}
	return c.validateGroups()
}

func (c *LogConfig) validateGroups() error {
	if c.Partitions < 0 || c.Partitions > MaxPartitions {
		return invalid("it has %d partitions: want 0 to %d", c.Partitions, MaxPartitions)
	}
	for _, subject := range c.Subjects {
		if c.Partitions > 0 && !strings.HasSuffix(subject, ".*") {
			return invalid("it has Partitions, and its subject %q does not end in a key: end it with .*", subject)
		}
	}
	for i, g := range c.Groups {
		if err := g.Validate(); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Groups[:i], func(other GroupConfig) bool { return other.Name == g.Name }) {
			return invalid("it has two groups %q: names must be unique", g.Name)
		}
	}
	return nil
}

// Window returns DedupWindow or its default.
func (c *LogConfig) Window() time.Duration {
	switch {
	case c.DedupWindow != 0:
		return c.DedupWindow
	case c.MaxAge != 0:
		return min(c.MaxAge, DefaultDedupWindow)
	}
	return DefaultDedupWindow
}

// Validate returns an InvalidArgument for a group that no backend can implement.
func (g *GroupConfig) Validate() error {
	if !logName.MatchString(g.Name) {
		return g.invalid("the name must be 1 to 240 letters, digits, - and _")
	}
	if backendGroup.MatchString(g.Name) {
		return g.invalid("a name that ends in _partition_ and a number belongs to the backend: choose another one")
	}
	if err := validatePatterns(g.Filter); err != nil {
		return g.invalid("its filter: %w", err)
	}
	if g.AckWait != 0 && g.AckWait < MinAckWait {
		return g.invalid("AckWait is %v: want 0 or at least %v", g.AckWait, MinAckWait)
	}
	if err := g.Start.Validate(); err != nil {
		return g.invalid("%w", err)
	}
	return nil
}

func (g *GroupConfig) invalid(format string, args ...any) error {
	return invalid("group %q: "+format, append([]any{g.Name}, args...)...)
}

// Validate returns an InvalidArgument for a start with more than one point.
func (s *Start) Validate() error {
	points := 0
	for _, set := range []bool{s.New, s.Sequence > 0, !s.Time.IsZero(), s.LastPerSubject} {
		if set {
			points++
		}
	}
	if points > 1 {
		return invalid("start %+v has %d points: set at most one", *s, points)
	}
	return nil
}

// Validate returns an InvalidArgument for a configuration that cannot be consumed.
func (c *ConsumeConfig) Validate() error {
	if c.MaxInFlight < 0 {
		return invalid("MaxInFlight is %d: want 0 or more", c.MaxInFlight)
	}
	return c.Group.Validate()
}

// Validate returns an InvalidArgument for a configuration that cannot be read.
func (r *ReadConfig) Validate() error {
	if err := validatePatterns(r.Filter); err != nil {
		return invalid("its filter: %w", err)
	}
	return r.Start.Validate()
}

// Validate returns an InvalidArgument for a Subject that is neither empty nor a pattern.
func (p *PurgeConfig) Validate() error {
	if p.Subject == "" {
		return nil
	}
	return ValidatePattern(p.Subject)
}

// Validate returns an InvalidArgument for options that a log of this configuration does
// not support, and for a message that it does not store: a subject of another log, or too
// many bytes.
func (o *AppendOptions) Validate(c *LogConfig, m *Message) error {
	switch {
	case !Contains(c.Subjects, m.Subject):
		return invalid("the log stores only %s", strings.Join(c.Subjects, ", "))
	case c.MaxSize > 0 && m.Size() > c.MaxSize:
		return tooLarge("the message has %d bytes with its header, the log stores at most %d: send less, or a reference to the data", m.Size(), c.MaxSize)
	case m.Header.size() > MaxStoredHeader:
		return tooLarge("the header has %d bytes, a log stores at most %d: put it into the body", m.Header.size(), MaxStoredHeader)
	case o.TTL != 0 && o.TTL < MinTTL:
		return invalid("TTL is %v: want 0 or at least %v", o.TTL, MinTTL)
	case !o.NotBefore.IsZero() && !c.Delays:
		return invalid("NotBefore is set, but the log was created without Delays")
	case !o.NotBefore.Before(endOfTime):
		return invalid("NotBefore is %v: want a time before %d", o.NotBefore, endOfTime.Year())
	case !o.NotBefore.IsZero() && (o.Expect != nil || o.TTL != 0):
		return invalid("NotBefore cannot be combined with Expect or TTL: the position of the message is not known before its time")
	case len(o.ID) > MaxID || (&Field{HeaderID, o.ID}).validate() != nil:
		return invalid("the id has %d bytes: want at most %d, without control characters and white space at the ends", len(o.ID), MaxID)
	}
	return nil
}

// endOfTime is close to the end of the time that 64 bits of nanoseconds since 1970 can
// represent. Backends count time that way.
var endOfTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// MaxID is the maximum length of an id, in bytes.
const MaxID = 256

// validatePatterns returns an error for an invalid pattern, and for two patterns that
// overlap.
func validatePatterns(patterns []string) error {
	for i, p := range patterns {
		if err := ValidatePattern(p); err != nil {
			return err
		}
		for _, other := range patterns[:i] {
			if Overlap(p, other) {
				return invalid("%q and %q overlap", other, p)
			}
		}
	}
	return nil
}

// String returns "limits" or "interest".
func (r Retention) String() string {
	if r == InterestRetention {
		return "interest"
	}
	return "limits"
}

// String returns "file" or "memory".
func (s Storage) String() string {
	if s == MemoryStorage {
		return "memory"
	}
	return "file"
}

// String returns "refuse" or "drop oldest".
func (f FullPolicy) String() string {
	if f == DropOldest {
		return "drop oldest"
	}
	return "refuse"
}
