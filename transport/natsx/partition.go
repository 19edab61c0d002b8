package natsx

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// partitions describes how the subjects of a log are stored. Without partitions they are stored
// unchanged. With partitions, a subject is stored as "_partition.<n>.<subject>", so the single filter
// "_partition.<n>.>" selects a partition, whatever the log's subjects are. The server finds the next
// message of a consumer with several filters much more slowly.
//
// The stream transforms messages that are published on the first of the log's patterns, also
// by plain clients. A stream has only one transform. For the other patterns natsx publishes
// on the stored subject itself, and plain clients cannot publish.
type partitions struct {
	n        int
	subjects []string // of the log
	auto     string   // the subject that the stream transforms
}

const partitionToken = "_partition"

func newPartitions(n int, subjects []string) partitions {
	return partitions{n: n, subjects: subjects, auto: subjects[0]}
}

// anyPartition means all partitions.
const anyPartition = -1

// in adds a partition to a subject or a pattern.
func (l partitions) in(partition int, subject string) string {
	if partition == anyPartition {
		return addPartition("*", subject)
	}
	return addPartition(strconv.Itoa(partition), subject)
}

func addPartition(partition, subject string) string {
	return partitionToken + "." + partition + "." + subject
}

// stored returns the stored form of a subject.
func (l partitions) stored(subject string) string {
	if l.n == 0 {
		return subject
	}
	return l.in(transport.PartitionOf(subject, l.n), subject)
}

// published returns the subject on which a message for subject is published.
func (l partitions) published(subject string) string {
	if l.n == 0 || transport.Match(l.auto, subject) {
		return subject
	}
	return l.stored(subject)
}

// original returns the subject of a stored form.
func (l partitions) original(stored string) string {
	if l.n == 0 {
		return stored
	}
	return trimPartition(stored)
}

func trimPartition(stored string) string {
	rest, ok := strings.CutPrefix(stored, partitionToken+".")
	if _, subject, cut := strings.Cut(rest, "."); ok && cut {
		return subject
	}
	return stored
}

// accepted returns the subjects of the stream.
func (l partitions) accepted() []string {
	if l.n == 0 {
		return l.subjects
	}
	accepted := slices.Clone(l.subjects)
	for i, s := range l.subjects {
		if s != l.auto {
			accepted[i] = l.in(anyPartition, s)
		}
	}
	return accepted
}

// transform returns the stream's transform for messages that are published under auto.
func (l partitions) transform() *jetstream.SubjectTransformConfig {
	if l.n == 0 {
		return nil
	}
	tokens, wildcards := strings.Split(l.auto, "."), 0
	for i, token := range tokens {
		if token == "*" {
			wildcards++
			tokens[i] = "{{wildcard(" + strconv.Itoa(wildcards) + ")}}"
		}
	}
	partition := "{{partition(" + strconv.Itoa(l.n) + "," + strconv.Itoa(wildcards) + ")}}"
	return &jetstream.SubjectTransformConfig{Source: l.auto, Destination: addPartition(partition, strings.Join(tokens, "."))}
}

// filter returns the stored forms of the patterns in a partition. No patterns match everything.
func (l partitions) filter(patterns []string, partition int) []string {
	if l.n == 0 || partition == anyPartition && len(patterns) == 0 {
		return patterns
	}
	if len(patterns) == 0 {
		return []string{l.in(partition, ">")}
	}
	var filter []string
	for _, p := range patterns {
		for _, s := range l.subjects {
			if both, ok := intersect(p, s); ok {
				filter = append(filter, l.in(partition, both))
			}
		}
	}
	return filter
}

// intersect returns the pattern that matches what both patterns match.
func intersect(a, b string) (string, bool) {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	var both []string
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return strings.Join(both, "."), len(as) == len(bs)
		case as[i] == ">":
			return strings.Join(append(both, bs[i:]...), "."), true
		case bs[i] == ">":
			return strings.Join(append(both, as[i:]...), "."), true
		case as[i] == "*":
			both = append(both, bs[i])
		case bs[i] == "*" || as[i] == bs[i]:
			both = append(both, as[i])
		default:
			return "", false
		}
	}
}
