package natsx

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// lanes describes how the subjects of a log are stored. Without lanes they are stored
// unchanged. With lanes, a subject is stored as "_lane.<n>.<subject>", so the single filter
// "_lane.<n>.>" selects a lane, whatever the log's subjects are. The server finds the next
// message of a consumer with several filters much more slowly.
//
// The stream transforms messages that are published on the first of the log's patterns, also
// by plain clients. A stream has only one transform. For the other patterns natsx publishes
// on the stored subject itself, and plain clients cannot publish.
type lanes struct {
	n        int
	subjects []string // of the log
	auto     string   // the subject that the stream transforms
}

const laneToken = "_lane"

func newLanes(n int, subjects []string) lanes {
	return lanes{n: n, subjects: subjects, auto: subjects[0]}
}

// anyLane means all lanes.
const anyLane = -1

// in adds a lane to a subject or a pattern.
func (l lanes) in(lane int, subject string) string {
	if lane == anyLane {
		return addLane("*", subject)
	}
	return addLane(strconv.Itoa(lane), subject)
}

func addLane(lane, subject string) string { return laneToken + "." + lane + "." + subject }

// stored returns the stored form of a subject.
func (l lanes) stored(subject string) string {
	if l.n == 0 {
		return subject
	}
	return l.in(transport.LaneOf(subject, l.n), subject)
}

// published returns the subject on which a message for subject is published.
func (l lanes) published(subject string) string {
	if l.n == 0 || transport.Match(l.auto, subject) {
		return subject
	}
	return l.stored(subject)
}

// original returns the subject of a stored form.
func (l lanes) original(stored string) string {
	if l.n == 0 {
		return stored
	}
	return trimLane(stored)
}

func trimLane(stored string) string {
	rest, ok := strings.CutPrefix(stored, laneToken+".")
	if _, subject, cut := strings.Cut(rest, "."); ok && cut {
		return subject
	}
	return stored
}

// accepted returns the subjects of the stream.
func (l lanes) accepted() []string {
	if l.n == 0 {
		return l.subjects
	}
	accepted := slices.Clone(l.subjects)
	for i, s := range l.subjects {
		if s != l.auto {
			accepted[i] = l.in(anyLane, s)
		}
	}
	return accepted
}

// transform returns the stream's transform for messages that are published under auto.
func (l lanes) transform() *jetstream.SubjectTransformConfig {
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
	return &jetstream.SubjectTransformConfig{Source: l.auto, Destination: addLane(partition, strings.Join(tokens, "."))}
}

// filter returns the stored forms of the patterns in a lane. No patterns match everything.
func (l lanes) filter(patterns []string, lane int) []string {
	if l.n == 0 || lane == anyLane && len(patterns) == 0 {
		return patterns
	}
	if len(patterns) == 0 {
		return []string{l.in(lane, ">")}
	}
	var filter []string
	for _, p := range patterns {
		for _, s := range l.subjects {
			if both, ok := intersect(p, s); ok {
				filter = append(filter, l.in(lane, both))
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
