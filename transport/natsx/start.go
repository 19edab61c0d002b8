package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

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

// A consumer looks for its start position on its own server. In a cluster that server may be
// behind the stream's leader: a message that is new there is older at the leader, and a
// message stored at a given time may not have arrived. So the leader is asked, and the
// consumer begins at a sequence. Its metadata holds the requested start. The last messages of
// all subjects cannot be expressed as a sequence.

// pinned converts a start at a moment to a start at a sequence. last is the current last
// sequence of the log.
func (l *log) pinned(ctx context.Context, s transport.Start, last uint64) (transport.Start, error) {
	switch {
	case s.New:
		return transport.Start{Sequence: last + 1}, nil
	case s.Time.IsZero():
		return s, nil
	}
	m, err := l.get(ctx, map[string]any{"start_time": s.Time, "next_by_subj": ">"})
	switch {
	case missing(err):
		return transport.Start{Sequence: last + 1}, nil
	case err != nil || m.Time.Before(s.Time): // a server before 2.11 ignores the time
		return s, err
	}
	return transport.Start{Sequence: m.Sequence}, nil
}

// pin makes a consumer begin at a sequence.
func (l *log) pin(ctx context.Context, c *jetstream.ConsumerConfig, s transport.Start) error {
	requested := formatStart(s)
	if requested == "" {
		return nil
	}
	is, err := l.info(ctx)
	if err != nil {
		return err
	}
	at, err := l.pinned(ctx, s, is.State.LastSeq)
	if err != nil || at == s {
		return err
	}
	setStart(c, at)
	c.Metadata[metaStart] = requested
	return nil
}

// copyStart copies the requested start in the metadata of a consumer.
func copyStart(c, is *jetstream.ConsumerConfig) {
	if requested, ok := is.Metadata[metaStart]; ok {
		c.Metadata[metaStart] = requested
	}
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
