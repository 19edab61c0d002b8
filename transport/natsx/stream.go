package natsx

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// Names of natsx in the metadata of streams and consumers. Other names belong to the user,
// except those that begin with "_nats.", which belong to the server.
const (
	metaGeneration = "mono-generation"
	metaLanes      = "mono-lanes"
	metaStorage    = "mono-storage" // requested storage on a server that keeps everything in memory
	metaMaxDelayed = "mono-max-delayed"
	metaGroup      = "mono-group"
	metaOrdered    = "mono-ordered"
	metaFilter     = "mono-filter"     // of a group in a log with lanes
	metaStart      = "mono-start"      // of a group whose consumer begins at a sequence instead
	metaRate       = "mono-rate-limit" // in bits a second
)

var ownMetadata = []string{metaGeneration, metaLanes, metaStorage, metaMaxDelayed, metaGroup, metaOrdered, metaFilter, metaStart, metaRate}

func isServers(name string) bool { return strings.HasPrefix(name, "_nats.") }

// metadata returns the metadata to store: the server's own entries, the user's, and those of
// natsx.
func metadata(is, users, ours map[string]string) map[string]string {
	m := make(map[string]string)
	for name, value := range is {
		if isServers(name) {
			m[name] = value
		}
	}
	maps.Copy(m, users)
	for name, value := range ours {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// usersMetadata returns the user's entries of stored metadata.
func usersMetadata(stored map[string]string) map[string]string {
	m := maps.Clone(stored)
	maps.DeleteFunc(m, func(name, _ string) bool { return isServers(name) || slices.Contains(ownMetadata, name) })
	if len(m) == 0 {
		return nil
	}
	return m
}

func parseNumber(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64) // text that is not a number is not from natsx
	return n
}

func formatNumber(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// streamConfig returns the configuration for the log's stream. base is the existing
// configuration, or the zero value for a new stream. Settings that the log does not have stay
// as they are.
func (l *log) streamConfig(base jetstream.StreamConfig) jetstream.StreamConfig {
	c, s := &l.config, base
	s.Name, s.Description = c.Name, c.Description
	s.Subjects = l.lanes.accepted()
	s.Retention = jetstream.LimitsPolicy
	if c.Retention == transport.InterestRetention {
		s.Retention = jetstream.InterestPolicy
	}
	s.MaxAge = c.MaxAge
	s.MaxMsgs, s.MaxBytes, s.MaxMsgsPerSubject = bound(c.MaxMessages), bound(c.MaxBytes), bound(c.MaxPerSubject)
	if c.MaxSize > 0 {
		s.MaxMsgSize = int32(min(c.MaxSize+ownHeader, math.MaxInt32))
	}
	s.Discard, s.DiscardNewPerSubject = jetstream.DiscardNew, c.MaxPerSubject > 0
	if c.Full == transport.DropOldest {
		s.Discard, s.DiscardNewPerSubject = jetstream.DiscardOld, false
	}
	s.Duplicates = c.Window()
	s.AllowMsgTTL = base.AllowMsgTTL || l.t.account.Load().level >= levelTTL
	if l.lanes.n > 0 {
		s.SubjectTransform = l.lanes.transform()
	}
	if c.Delays {
		s.Sources = withSource(base.Sources, l.delayedSource())
	}
	s.Metadata = metadata(base.Metadata, c.Metadata, l.streamMetadata())
	l.setStorage(&s)
	return s
}

func (l *log) streamMetadata() map[string]string {
	m := map[string]string{
		metaGeneration: formatNumber(l.config.Generation),
		metaLanes:      formatNumber(uint64(l.lanes.n)),
		metaMaxDelayed: formatNumber(l.config.MaxDelayed),
	}
	if l.t.options.memory {
		m[metaStorage] = l.config.Storage.String()
	}
	return m
}

// setStorage sets the storage and the replicas of the stream.
func (l *log) setStorage(s *jetstream.StreamConfig) {
	s.Storage = jetstream.FileStorage
	if l.config.Storage == transport.MemoryStorage || l.t.options.memory {
		s.Storage = jetstream.MemoryStorage
	}
	if n := l.t.options.replicas; n > 0 {
		s.Replicas = n
	}
}

// ownHeader is the maximum number of bytes that natsx adds to a message, and that the server
// adds to a delayed one.
const ownHeader = 1 << 10

// bound converts a bound: no bound is -1 for JetStream.
func bound(n uint64) int64 {
	if n == 0 {
		return -1
	}
	return int64(min(n, math.MaxInt64))
}

func boundOf(n int64) uint64 { return uint64(max(n, 0)) }

func withSource(sources []*jetstream.StreamSource, ours *jetstream.StreamSource) []*jetstream.StreamSource {
	if slices.ContainsFunc(sources, func(s *jetstream.StreamSource) bool { return s.Name == ours.Name }) {
		return sources
	}
	return append(slices.Clone(sources), ours)
}

// logConfig returns the configuration of the log that a stream describes.
func (l *log) logConfig(s *jetstream.StreamConfig) transport.LogConfig {
	c := transport.LogConfig{
		Name: s.Name, Description: s.Description, MaxAge: s.MaxAge, DedupWindow: s.Duplicates,
		MaxMessages: boundOf(s.MaxMsgs), MaxBytes: boundOf(s.MaxBytes), MaxPerSubject: boundOf(s.MaxMsgsPerSubject),
		MaxSize:    max(int(s.MaxMsgSize)-ownHeader, 0),
		Lanes:      int(min(parseNumber(s.Metadata[metaLanes]), transport.MaxLanes)),
		MaxDelayed: parseNumber(s.Metadata[metaMaxDelayed]),
		Generation: parseNumber(s.Metadata[metaGeneration]),
		Metadata:   usersMetadata(s.Metadata),
		Delays:     slices.ContainsFunc(s.Sources, func(s *jetstream.StreamSource) bool { return s.Name == l.delayedName() }),
	}
	lanes := lanes{n: c.Lanes}
	for _, subject := range s.Subjects {
		c.Subjects = append(c.Subjects, lanes.original(subject))
	}
	if s.Retention == jetstream.InterestPolicy {
		c.Retention = transport.InterestRetention
	}
	if s.Discard == jetstream.DiscardOld {
		c.Full = transport.DropOldest
	}
	c.Storage = storageOf(s)
	return c
}

func storageOf(s *jetstream.StreamConfig) transport.Storage {
	if asked := s.Metadata[metaStorage]; asked == transport.FileStorage.String() {
		return transport.FileStorage
	}
	if s.Storage == jetstream.MemoryStorage {
		return transport.MemoryStorage
	}
	return transport.FileStorage
}

// unchangeable reports a requested setting that differs and cannot be changed in place. A
// change of Retention would delete messages.
func (l *log) unchangeable(stream *jetstream.StreamConfig, is *transport.LogConfig) error {
	if stream.Retention == jetstream.WorkQueuePolicy { // by another client
		return driver.CannotChange("Retention", "workqueue", l.config.Retention)
	}
	return driver.CheckLog(is, &l.config)
}

// same reports whether two configurations are equal, apart from nil and empty values. One
// must be derived from the other.
func same(a, b any) bool { return reflect.DeepEqual(normal(a), normal(b)) }

// normal returns a copy of a configuration in which empty maps and slices are nil.
func normal(config any) any {
	v := reflect.New(reflect.TypeOf(config)).Elem()
	v.Set(reflect.ValueOf(config))
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Map, reflect.Slice:
			if f.Len() == 0 {
				f.SetZero()
			}
		}
	}
	return v.Interface()
}

// checkGuarded reports a field that a hook has changed although mono's guarantees depend on
// it.
func checkGuarded(before, after any, fields []string) error {
	b, a := reflect.ValueOf(normal(before)), reflect.ValueOf(normal(after))
	for _, name := range fields {
		is, was := a.FieldByName(name).Interface(), b.FieldByName(name).Interface()
		if !reflect.DeepEqual(is, was) {
			return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
				"the hook in natsx.Options sets %s to %v, but mono's guarantees depend on it: leave it at %v", name, is, was)
		}
	}
	return nil
}

// guarded are the fields of a stream that its hook must not change.
var guarded = []string{
	"Name", "Subjects", "Retention", "Storage", "MaxAge", "MaxMsgs", "MaxBytes", "MaxMsgsPerSubject", "Discard",
	"DiscardNewPerSubject", "Duplicates", "NoAck", "Sealed", "AllowMsgTTL", "AllowMsgCounter", "AllowMsgSchedules", "PersistMode",
}

// hookStream applies the user's hook to a configuration.
func (l *log) hookStream(s jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if l.t.options.stream == nil {
		return s, nil
	}
	changed := s
	changed.Metadata, changed.Subjects, changed.Sources = maps.Clone(s.Metadata), slices.Clone(s.Subjects), slices.Clone(s.Sources)
	l.t.options.stream(l.config.Name, &changed)
	fields := guarded
	if l.lanes.n > 0 {
		fields = append(slices.Clone(guarded), "SubjectTransform")
	}
	if err := checkGuarded(s, changed, fields); err != nil {
		return s, err
	}
	if err := checkMetadata(s.Metadata, changed.Metadata); err != nil {
		return s, err
	}
	if l.config.Delays && len(withSource(changed.Sources, l.delayedSource())) != len(changed.Sources) && s.Name == l.config.Name {
		return s, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"the hook in natsx.Options removes %s from Sources, which delivers its delayed messages: leave it there", l.delayedName())
	}
	if changed.Mirror == nil {
		return changed, nil
	}
	return changed, l.mirror(&changed)
}

// mirror removes settings that a mirror cannot have: all its messages come from another
// stream, in their stored form.
func (l *log) mirror(s *jetstream.StreamConfig) error {
	if l.config.Delays || len(s.Sources) > 0 {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"the hook in natsx.Options makes it a mirror of %s, but it has delayed messages or Sources: use only one of these", s.Mirror.Name)
	}
	s.Subjects, s.SubjectTransform, s.Duplicates = nil, nil, 0
	return nil
}

func checkMetadata(before, after map[string]string) error {
	for _, name := range ownMetadata {
		if before[name] != after[name] {
			return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
				"the hook in natsx.Options changes Metadata %q, which belongs to mono: leave it unchanged", name)
		}
	}
	return nil
}
