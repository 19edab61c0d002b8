package natsx

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// Names of natsx in the metadata of streams and consumers. Other names belong to the user,
// except those that begin with "_nats.", which belong to the server.
const (
	metaGeneration = "mono-generation"
	metaPartitions = "mono-partitions"
	metaSender     = "mono-sender"  // the log was made or last updated by one that does not receive
	metaStorage    = "mono-storage" // requested storage on a server that keeps everything in memory
	metaMaxDelayed = "mono-max-delayed"
	metaGroup      = "mono-group"
	metaOrdered    = "mono-ordered"
	metaFilter     = "mono-filter"     // of a group in a log with partitions
	metaStart      = "mono-start"      // of a group whose consumer begins at a sequence instead
	metaRate       = "mono-rate-limit" // in bits a second
	metaMaxValue   = "mono-max-value"  // of a bucket
)

var ownMetadata = []string{metaGeneration, metaPartitions, metaSender, metaStorage, metaMaxDelayed, metaGroup, metaOrdered, metaFilter, metaStart, metaRate, metaMaxValue}

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

// settings determine the configurations of a log's streams and consumers.
type settings struct {
	config     transport.LogConfig // as requested; after open, as it exists
	partitions partitions
	options    *logOptions
	ttl        bool   // the server supports TTLs of messages
	origin     string // name of the stream that the log mirrors
}

// streamConfig returns the configuration for the log's stream. base is the existing
// configuration, or the zero value for a new stream. Settings that the log does not have stay
// as they are.
func (of *settings) streamConfig(base jetstream.StreamConfig) jetstream.StreamConfig {
	c, s := &of.config, base
	s.Name, s.Description = c.Name, c.Description
	s.Subjects = of.partitions.accepted()
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
	s.AllowMsgTTL = base.AllowMsgTTL || of.ttl
	if of.partitions.n > 0 {
		s.SubjectTransform = of.partitions.transform()
	}
	if c.Delays {
		s.Sources = withSource(base.Sources, delayedSource(c.Name))
	}
	s.Metadata = metadata(base.Metadata, c.Metadata, of.streamMetadata())
	of.setStorage(&s)
	return s
}

func (of *settings) streamMetadata() map[string]string {
	m := map[string]string{
		metaGeneration: formatNumber(of.config.Generation),
		metaPartitions: formatNumber(uint64(of.partitions.n)),
		metaMaxDelayed: formatNumber(of.config.MaxDelayed),
	}
	if of.config.Sender || !of.config.Update {
		m[metaSender] = "true"
	}
	if of.options.memory {
		m[metaStorage] = of.config.Storage.String()
	}
	return m
}

// setStorage sets the storage and the replicas of the stream.
func (of *settings) setStorage(s *jetstream.StreamConfig) {
	s.Storage = jetstream.FileStorage
	if of.config.Storage == transport.MemoryStorage || of.options.memory {
		s.Storage = jetstream.MemoryStorage
	}
	if n := of.options.replicas; n > 0 {
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
func logConfig(s *jetstream.StreamConfig) transport.LogConfig {
	c := transport.LogConfig{
		Name: s.Name, Description: s.Description, MaxAge: s.MaxAge, DedupWindow: s.Duplicates,
		MaxMessages: boundOf(s.MaxMsgs), MaxBytes: boundOf(s.MaxBytes), MaxPerSubject: boundOf(s.MaxMsgsPerSubject),
		MaxSize:    max(int(s.MaxMsgSize)-ownHeader, 0),
		Partitions: int(min(parseNumber(s.Metadata[metaPartitions]), transport.MaxPartitions)),
		MaxDelayed: parseNumber(s.Metadata[metaMaxDelayed]),
		Generation: parseNumber(s.Metadata[metaGeneration]),
		Sender:     s.Metadata[metaSender] != "",
		Metadata:   usersMetadata(s.Metadata),
		Delays:     slices.ContainsFunc(s.Sources, func(from *jetstream.StreamSource) bool { return from.Name == s.Name+delayedSuffix }),
	}
	partitions := partitions{n: c.Partitions}
	for _, subject := range s.Subjects {
		c.Subjects = append(c.Subjects, partitions.original(subject))
	}
	if s.Retention == jetstream.InterestPolicy {
		c.Retention = transport.InterestRetention
	}
	if s.Discard == jetstream.DiscardOld {
		c.Full = transport.DropOldest
	}
	if s.Storage == jetstream.MemoryStorage && s.Metadata[metaStorage] != transport.FileStorage.String() {
		c.Storage = transport.MemoryStorage
	}
	return c
}

// changes reports whether the existing stream is to be changed, and an error for a requested
// setting that cannot be changed. A change of Retention would delete messages.
func (of *settings) changes(stream *jetstream.StreamConfig) (bool, error) {
	is := logConfig(stream)
	changes, err := driver.ChangesLog(&is, &of.config)
	if changes && stream.Retention == jetstream.WorkQueuePolicy { // by another client
		err = driver.CannotChange("Retention", "workqueue", of.config.Retention)
	}
	return changes, err
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
func (of *settings) hookStream(s jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if of.options.stream == nil {
		return s, nil
	}
	fields := guarded
	if of.partitions.n > 0 {
		fields = append(slices.Clone(guarded), "SubjectTransform")
	}
	changed, err := callHook(s, of.config.Name, of.options.stream, fields)
	if err != nil {
		return s, err
	}
	if of.config.Delays && len(withSource(changed.Sources, delayedSource(of.config.Name))) != len(changed.Sources) && s.Name == of.config.Name {
		return s, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"the hook in natsx.Options removes %s from Sources, which delivers its delayed messages: leave it there", of.config.Name+delayedSuffix)
	}
	if changed.Mirror == nil {
		return changed, nil
	}
	return changed, of.mirror(&changed)
}

// callHook returns the configuration as changed by a hook, which must not change some fields.
func callHook(s jetstream.StreamConfig, name string, hook func(string, *jetstream.StreamConfig), fields []string) (jetstream.StreamConfig, error) {
	changed := s
	changed.Metadata, changed.Subjects, changed.Sources = maps.Clone(s.Metadata), slices.Clone(s.Subjects), slices.Clone(s.Sources)
	hook(name, &changed)
	return changed, firstError(checkGuarded(s, changed, fields), checkMetadata(s.Metadata, changed.Metadata))
}

// mirror removes settings that a mirror cannot have: all its messages come from another
// stream, in their stored form.
func (of *settings) mirror(s *jetstream.StreamConfig) error {
	if of.config.Delays || len(s.Sources) > 0 {
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

// delayedSubject returns a subject of a log's delayed messages.
func delayedSubject(log, rest string) string { return delayedPrefix + log + "." + rest }

func delayedSource(log string) *jetstream.StreamSource {
	return &jetstream.StreamSource{
		Name:              log + delayedSuffix,
		Consumer:          &jetstream.StreamConsumerSource{Name: sourceName, DeliverSubject: delayedSubject(log, "deliver")},
		SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: delayedSubject(log, "due.>"), Destination: ">"}},
	}
}

// delayedConfig returns the configuration for the stream of delayed messages.
func (of *settings) delayedConfig(base jetstream.StreamConfig) jetstream.StreamConfig {
	s, log := base, of.config.Name
	s.Name = log + delayedSuffix
	s.Subjects = []string{delayedSubject(log, "at.*"), delayedSubject(log, "due.>")}
	s.Retention = jetstream.WorkQueuePolicy
	s.AllowMsgSchedules = true
	s.Duplicates = of.config.Window()
	s.Metadata = metadata(base.Metadata, nil, map[string]string{metaGeneration: formatNumber(of.config.Generation)})
	of.setStorage(&s)
	return s
}

// consumers lists the names of a group's consumers and their filters.
func (of *settings) consumers(g *transport.GroupConfig) (names []string, filters [][]string, err error) {
	if !g.Ordered || of.partitions.n == 0 {
		return []string{g.Name}, [][]string{of.partitions.filter(g.Filter, anyPartition)}, of.checkFilter(g, anyPartition)
	}
	for partition := range of.partitions.n {
		names = append(names, partitionName(g.Name, partition))
		filters = append(filters, of.partitions.filter(g.Filter, partition))
	}
	return names, filters, of.checkFilter(g, 0)
}

func partitionName(group string, partition int) string {
	return group + "_partition_" + strconv.Itoa(partition)
}

// checkFilter reports a filter that would become empty, and then match everything.
func (of *settings) checkFilter(g *transport.GroupConfig, partition int) error {
	if len(g.Filter) > 0 && len(of.partitions.filter(g.Filter, partition)) == 0 {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"its filter %s matches none of the log's subjects %s: correct the filter", strings.Join(g.Filter, ", "), strings.Join(of.partitions.subjects, ", "))
	}
	return nil
}

// needed returns the groups that have to exist.
func (of *settings) needed() []transport.GroupConfig {
	if of.config.Retention != transport.InterestRetention || of.origin != "" {
		return nil
	}
	return of.config.Groups
}

// groupOf returns the name of a consumer's group.
func groupOf(is *jetstream.ConsumerInfo) string {
	if group := is.Config.Metadata[metaGroup]; group != "" {
		return group
	}
	return is.Name
}

func isOrdered(c *jetstream.ConsumerConfig) bool { return c.MaxAckPending == 1 || isKeyed(c) }

// isKeyed reports whether a consumer is a partition of a group that keeps the order of keys.
func isKeyed(c *jetstream.ConsumerConfig) bool {
	return c.PriorityPolicy == jetstream.PriorityPolicyPinned && slices.Equal(c.PriorityGroups, []string{membersGroup})
}

const (
	membersGroup = "members"             // the priority group of a partition
	maxHeld      = 2 * transport.MinHeld // messages that a member of a partition holds
	maxPinTTL    = 3 * time.Second
)

// pinTTL returns how long a member keeps the pin of a partition without a pull.
func pinTTL(ackWait time.Duration) time.Duration { return min(ackWait/2, maxPinTTL) }

// consumerConfig returns the configuration for a consumer of the group. base is the existing
// configuration, or only the name and start of a new consumer.
func (of *settings) consumerConfig(base jetstream.ConsumerConfig, g *transport.GroupConfig, filter []string) jetstream.ConsumerConfig {
	c := base
	c.AckPolicy = jetstream.AckExplicitPolicy
	c.AckWait = g.AckWait
	c.MaxDeliver = -1
	c.BackOff = nil
	c.MaxAckPending = -1
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	switch {
	case g.Ordered && of.partitions.n > 0:
		c.MaxAckPending = maxHeld
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{membersGroup}, pinTTL(g.AckWait)
	case g.Ordered:
		c.MaxAckPending = 1
	}
	setFilter(&c, filter)
	users := maps.Clone(usersMetadata(base.Metadata))
	if users == nil {
		users = make(map[string]string)
	}
	maps.Copy(users, g.Metadata)
	maps.DeleteFunc(users, func(_, value string) bool { return value == "" })
	c.Metadata = metadata(base.Metadata, users, of.groupMetadata(g, base.Metadata[metaStart]))
	return c
}

func (of *settings) groupMetadata(g *transport.GroupConfig, start string) map[string]string {
	m := map[string]string{metaGroup: g.Name, metaGeneration: formatNumber(g.Generation), metaStart: start}
	if g.Ordered {
		m[metaOrdered] = "true"
	}
	if of.partitions.n > 0 {
		m[metaFilter] = strings.Join(g.Filter, " ")
	}
	return m
}

// setFilter sets the filter, unless it is the same already.
func setFilter(c *jetstream.ConsumerConfig, filter []string) {
	if len(filter) == 0 && c.DeliverPolicy == jetstream.DeliverLastPerSubjectPolicy {
		filter = []string{">"} // the server requires it explicitly
	}
	if sorted(filterOf(c)) == sorted(filter) {
		return
	}
	c.FilterSubject, c.FilterSubjects = "", filter
	if len(filter) == 1 {
		c.FilterSubject, c.FilterSubjects = filter[0], nil
	}
}

func sorted(filter []string) string {
	return strings.Join(slices.Sorted(slices.Values(filter)), " ")
}

func filterOf(c *jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// groupConfig returns the configuration of the group that a consumer describes.
func groupConfig(is *jetstream.ConsumerInfo) transport.GroupConfig {
	c := &is.Config
	g := transport.GroupConfig{
		Name: groupOf(is), Filter: filterOf(c), Start: startOf(c), AckWait: c.AckWait, Ordered: isOrdered(c),
		Generation: parseNumber(c.Metadata[metaGeneration]), Metadata: usersMetadata(c.Metadata),
	}
	if g.Start.LastPerSubject && slices.Equal(g.Filter, []string{">"}) {
		g.Filter = nil
	}
	if original, ok := c.Metadata[metaFilter]; ok {
		g.Filter = strings.Fields(original)
	} else if slices.ContainsFunc(g.Filter, func(f string) bool { return trimPartition(f) != f }) {
		g.Filter = nil // a group of the whole log, which has partitions
	}
	return g
}

// checkFixed reports a setting that the server cannot change. Only a hook can request such a
// change.
func checkFixed(is, want *jetstream.ConsumerConfig) error {
	for _, s := range []struct {
		name     string
		is, want any
	}{
		{"DeliverPolicy", is.DeliverPolicy, want.DeliverPolicy},
		{"OptStartSeq", is.OptStartSeq, want.OptStartSeq},
		{"AckPolicy", is.AckPolicy, want.AckPolicy},
		{"ReplayPolicy", is.ReplayPolicy, want.ReplayPolicy},
		{"MaxWaiting", is.MaxWaiting, want.MaxWaiting},
	} {
		if s.is != s.want {
			return driver.CannotChange(s.name, s.is, s.want)
		}
	}
	return nil
}

// guardedConsumer are the fields of a consumer that its hook must not change.
var guardedConsumer = []string{
	"Name", "Durable", "AckWait", "MaxDeliver", "BackOff",
	"FilterSubject", "FilterSubjects", "MaxAckPending", "HeadersOnly", "InactiveThreshold", "MemoryStorage",
	"PriorityPolicy", "PriorityGroups", "DeliverSubject", "DeliverGroup", "FlowControl", "IdleHeartbeat",
}

// hookConsumer applies the user's hook to a configuration.
func (of *settings) hookConsumer(group string, c jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	if of.options.consumer == nil {
		return c, nil
	}
	changed := c
	changed.Metadata, changed.FilterSubjects = maps.Clone(c.Metadata), slices.Clone(c.FilterSubjects)
	of.options.consumer(of.config.Name, group, &changed)
	if err := checkGuarded(c, changed, guardedConsumer); err != nil {
		return c, err
	}
	if err := checkMetadata(c.Metadata, changed.Metadata); err != nil {
		return c, err
	}
	if changed.AckPolicy != jetstream.AckExplicitPolicy && isOrdered(&c) {
		return c, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"the hook in natsx.Options sets AckPolicy to %v, and an ordered group waits for each acknowledgement: leave it unchanged, or make the group Unordered", changed.AckPolicy)
	}
	if changed.RateLimit > 0 {
		changed.Metadata[metaRate], changed.RateLimit = formatNumber(changed.RateLimit), 0
	}
	return changed, nil
}

// setStart sets the position at which a new consumer begins.
func setStart(c *jetstream.ConsumerConfig, s transport.Start) {
	c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverAllPolicy, 0, nil
	switch {
	case s.New:
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	case s.Sequence > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.Sequence
	case !s.Time.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.Time
	case s.LastPerSubject:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	}
}

func startOf(c *jetstream.ConsumerConfig) (s transport.Start) {
	if s, ok := parseStart(c.Metadata[metaStart]); ok {
		return s
	}
	switch c.DeliverPolicy {
	case jetstream.DeliverNewPolicy:
		s.New = true
	case jetstream.DeliverByStartSequencePolicy:
		s.Sequence = c.OptStartSeq
	case jetstream.DeliverByStartTimePolicy:
		if c.OptStartTime != nil {
			s.Time = *c.OptStartTime
		}
	case jetstream.DeliverLastPerSubjectPolicy:
		s.LastPerSubject = true
	}
	return s
}

const startNew = "new"

// formatStart returns a start at a moment as text, and "" for any other start.
func formatStart(s transport.Start) string {
	switch {
	case s.New:
		return startNew
	case !s.Time.IsZero():
		return s.Time.Format(time.RFC3339Nano)
	}
	return ""
}

func parseStart(text string) (s transport.Start, ok bool) {
	if text == startNew {
		return transport.Start{New: true}, true
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return transport.Start{Time: at}, err == nil
}
