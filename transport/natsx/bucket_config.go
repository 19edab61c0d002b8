package natsx

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	logdriver "gomono.dev/transport/driver"
)

// Lives of the marker that the server writes when the value of a key has expired. The server
// raises a shorter TTL of a record to this life, except in a bucket without history.
const (
	markerLifeWithoutHistory = 5 * time.Minute
	markerLifeWithHistory    = time.Second
)

// maxDuplicates is the default of other clients.
const maxDuplicates = 2 * time.Minute

// newConfig returns the configuration for a new stream.
func (o *opening) newConfig() jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name: o.name, MaxMsgs: -1, MaxConsumers: -1, MaxBytes: -1, MaxMsgSize: -1, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, Duplicates: maxDuplicates, AllowRollup: true, DenyDelete: true, AllowDirect: true,
		Replicas: cmp.Or(o.t.options.replicas, o.t.defaultReplicas()),
		Metadata: map[string]string{},
	}
	if o.config.Mirror == nil {
		s.Subjects = []string{bucketSubject + o.config.Name + ".>"}
	}
	if o.config.Memory || o.t.options.memory {
		s.Storage = jetstream.MemoryStorage
	}
	if o.t.options.memory && !o.config.Memory {
		s.Metadata[metaStorage] = jetstream.FileStorage.String()
	}
	o.apply(&s)
	o.applyOwn(&s)
	return s
}

// changedConfig returns the configuration for an existing stream.
func (o *opening) changedConfig(s jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	is, c := bucketConfig(&s), &o.config
	switch {
	case c.Memory && !is.Memory:
		return s, logdriver.CannotChange("Memory", is.Memory, c.Memory)
	case c.Mirror != nil && (is.Mirror == nil || *is.Mirror != *c.Mirror):
		return s, logdriver.CannotChange("Mirror", describeSource(is.Mirror), describeSource(c.Mirror))
	case len(c.Sources) > 0 && is.Mirror != nil:
		return s, logdriver.CannotChange("Mirror", describeSource(is.Mirror), "none, but Sources")
	}
	_, own := s.Metadata[metaGeneration]
	s.Metadata = metadata(s.Metadata, s.Metadata, nil)
	o.apply(&s)
	if own {
		s.Replicas = cmp.Or(c.Replicas, o.t.options.replicas, s.Replicas)
		o.applyOwn(&s)
	}
	return s, nil
}

func describeSource(s *driver.Source) any {
	if s == nil {
		return "none"
	}
	return *s
}

// apply sets the settings that are requested.
func (o *opening) apply(s *jetstream.StreamConfig) {
	c := &o.config
	s.Description = cmp.Or(c.Description, s.Description)
	s.MaxMsgsPerSubject = cmp.Or(int64(c.History), s.MaxMsgsPerSubject)
	s.MaxBytes = cmp.Or(c.MaxBytes, s.MaxBytes)
	s.Replicas = cmp.Or(c.Replicas, s.Replicas)
	if c.TTL > 0 {
		s.MaxAge, s.Duplicates = c.TTL, min(maxDuplicates, c.TTL)
	}
	if c.MaxValue > 0 && c.MaxValue != maxValue(s) {
		s.MaxMsgSize = int32(min(c.MaxValue+ownHeader, math.MaxInt32))
		s.Metadata[metaMaxValue] = strconv.Itoa(c.MaxValue)
	}
	if c.Compressed {
		s.Compression = jetstream.S2Compression
	}
	if p := c.Placement; p != nil {
		s.Placement = &jetstream.Placement{Cluster: p.Cluster, Tags: p.Tags}
	}
	if r := c.Republish; r != nil {
		s.RePublish = &jetstream.RePublish{Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	if c.Mirror != nil && s.Mirror == nil {
		s.Mirror, s.MirrorDirect = mirrorOf(c.Mirror), true
	}
	if len(c.Sources) > 0 && !slices.Equal(sourcesOf(s), c.Sources) {
		s.Sources = nil
		for i := range c.Sources {
			s.Sources = append(s.Sources, sourceOf(c.Name, &c.Sources[i]))
		}
	}
}

// applyOwn sets what a bucket of this package has and the user does not name. A mirror has
// the markers of its origin, and no batches.
func (o *opening) applyOwn(s *jetstream.StreamConfig) {
	level := o.t.account.Load().level
	s.Metadata[metaGeneration] = strconv.FormatUint(o.config.Generation, 10)
	s.AllowMsgTTL = s.AllowMsgTTL || level >= levelTTL
	if s.Mirror != nil {
		s.Duplicates = 0
		return
	}
	s.AllowAtomicPublish = s.AllowAtomicPublish || level >= levelBatches
	switch {
	case level < levelTTL:
	case s.MaxMsgsPerSubject == 1:
		s.SubjectDeleteMarkerTTL = markerLifeWithoutHistory
	default:
		s.SubjectDeleteMarkerTTL = markerLifeWithHistory
	}
}

// maxValue returns the maximum size of a value. The limit of the stream includes headers, so
// buckets of this package have their own in the metadata.
func maxValue(s *jetstream.StreamConfig) int {
	own := parseNumber(s.Metadata[metaMaxValue])
	if own > 0 && own < math.MaxInt32 && int64(s.MaxMsgSize) == min(int64(own)+ownHeader, math.MaxInt32) {
		return int(own)
	}
	return max(int(s.MaxMsgSize), 0)
}

// bucketConfig returns the configuration of the bucket that a stream stores.
func bucketConfig(s *jetstream.StreamConfig) driver.Config {
	c := driver.Config{
		Name: strings.TrimPrefix(s.Name, bucketStream), Description: s.Description,
		History: int(min(max(s.MaxMsgsPerSubject, 0), maxHistory)), TTL: s.MaxAge, MaxValue: maxValue(s), MaxBytes: max(s.MaxBytes, 0),
		Memory:   s.Storage == jetstream.MemoryStorage && s.Metadata[metaStorage] != jetstream.FileStorage.String(),
		Replicas: s.Replicas, Compressed: s.Compression != jetstream.NoCompression,
		Generation: parseNumber(s.Metadata[metaGeneration]),
		Sources:    sourcesOf(s),
	}
	if c.History == 0 {
		c.History = maxHistory // another tool has set no limit
	}
	if p := s.Placement; p != nil {
		c.Placement = &driver.Placement{Cluster: p.Cluster, Tags: slices.Clone(p.Tags)}
	}
	if r := s.RePublish; r != nil {
		c.Republish = &driver.Republish{Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	if s.Mirror != nil {
		from := fromSource(s.Mirror)
		c.Mirror = &from
	}
	return c
}

const maxHistory = 64

// mirrorOf returns the configuration of a mirror, which keeps the subjects of its origin.
func mirrorOf(from *driver.Source) *jetstream.StreamSource {
	s := &jetstream.StreamSource{Name: bucketStream + from.Bucket, External: external(from.Domain)}
	if from.Keys != "" {
		s.FilterSubject = bucketSubject + from.Bucket + "." + from.Keys
	}
	return s
}

// sourceOf returns the configuration of a source. Its subjects become subjects of the bucket.
func sourceOf(bucket string, from *driver.Source) *jetstream.StreamSource {
	keys := cmp.Or(from.Keys, ">")
	return &jetstream.StreamSource{
		Name: bucketStream + from.Bucket, External: external(from.Domain),
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source:      bucketSubject + from.Bucket + "." + keys,
			Destination: bucketSubject + bucket + "." + numberWildcards(keys),
		}},
	}
}

// numberWildcards returns the destination of a transform that keeps all tokens of a pattern.
func numberWildcards(pattern string) string {
	tokens := strings.Split(pattern, ".")
	n := 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = "{{wildcard(" + strconv.Itoa(n) + ")}}"
		}
	}
	return strings.Join(tokens, ".")
}

func external(domain string) *jetstream.ExternalStream {
	if domain == "" {
		return nil
	}
	return &jetstream.ExternalStream{APIPrefix: "$JS." + domain + ".API"}
}

// sourcesOf returns the sources of a bucket. A stream that is not a bucket has its whole name.
func sourcesOf(s *jetstream.StreamConfig) (all []driver.Source) {
	for _, from := range s.Sources {
		all = append(all, fromSource(from))
	}
	return all
}

func fromSource(s *jetstream.StreamSource) driver.Source {
	from := driver.Source{Bucket: strings.TrimPrefix(s.Name, bucketStream)}
	filter := s.FilterSubject
	if len(s.SubjectTransforms) > 0 {
		filter = s.SubjectTransforms[0].Source
	}
	if keys, ok := strings.CutPrefix(filter, bucketSubject+from.Bucket+"."); ok && keys != ">" {
		from.Keys = keys
	}
	if e := s.External; e != nil {
		from.Domain = strings.TrimSuffix(strings.TrimPrefix(e.APIPrefix, "$JS."), ".API")
	}
	return from
}
