package natsx

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// lanes says how the subjects of a log are stored. Without lanes they are stored as
// they are. With lanes, "<parent>.<key>" is stored as "<parent>._lane.<n>.<key>", so
// that a consumer can be given one lane. The lane stands before the key because the
// server finds the subjects of a lane by their beginning; by their end it would look
// at all keys for each message.
//
// The stream itself does that to what is published on the first of the log's
// patterns, by a plain client too: a stream has one transform. What natsx appends
// under the others it gives the stored form itself. What a plain client publishes
// there is stored without one, and lane 0 takes it.
type lanes struct {
	n        int
	subjects []string // of the log
	auto     string   // the one that the stream transforms
}

const laneToken = "_lane"

func newLanes(n int, subjects []string) lanes {
	return lanes{n: n, subjects: subjects, auto: subjects[0]}
}

// anyLane stands for all lanes.
const anyLane = -1

// in adds a lane to a subject or a pattern.
func (l lanes) in(lane int, subject string) string {
	if lane == anyLane {
		return addLane("*", subject)
	}
	return addLane(strconv.Itoa(lane), subject)
}

func addLane(lane, subject string) string {
	key := strings.LastIndexByte(subject, '.')
	return subject[:key+1] + laneToken + "." + lane + subject[key:]
}

// stored returns the form in which a subject is stored.
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

// original undoes stored.
func (l lanes) original(stored string) string {
	if l.n == 0 {
		return stored
	}
	return trimLane(stored)
}

func trimLane(stored string) string {
	key := strings.LastIndexByte(stored, '.')
	if key < 0 {
		return stored
	}
	lane := strings.LastIndexByte(stored[:key], '.')
	if lane < 0 || !strings.HasSuffix(stored[:lane], "."+laneToken) {
		return stored
	}
	return stored[:lane-len(laneToken)-1] + stored[key:]
}

// accepted returns the subjects of the stream.
func (l lanes) accepted() []string {
	if l.n == 0 {
		return l.subjects
	}
	accepted := slices.Clone(l.subjects)
	for _, s := range l.subjects {
		if s != l.auto {
			accepted = append(accepted, l.in(anyLane, s))
		}
	}
	return accepted
}

// transform returns what the stream does to what is published under auto.
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

// filter returns the stored forms of what the patterns match in a lane; none is
// everything.
func (l lanes) filter(patterns []string, lane int) []string {
	if l.n == 0 || lane == anyLane && len(patterns) == 0 {
		return patterns
	}
	if len(patterns) == 0 {
		patterns = []string{">"}
	}
	var filter []string
	for _, p := range patterns {
		for _, s := range l.subjects {
			both, ok := intersect(p, s)
			if !ok {
				continue
			}
			filter = append(filter, l.in(lane, both))
			if s != l.auto && lane <= 0 {
				filter = append(filter, both)
			}
		}
	}
	return filter
}

// intersect returns the pattern of what both patterns match.
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
