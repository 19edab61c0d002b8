package natsx

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// storedMessage is one message of a stream.
type storedMessage struct {
	Subject  string
	Sequence uint64
	Time     time.Time
	Header   nats.Header
	Data     []byte
}

// getMessage asks the log's leader for one message.
func (l *log) getMessage(ctx context.Context, request map[string]any) (*storedMessage, error) {
	return l.t.getMessage(ctx, l.config.Name, request)
}

func (t *Transport) getMessage(ctx context.Context, stream string, request map[string]any) (*storedMessage, error) {
	var answer struct {
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := t.api(ctx, "STREAM.MSG.GET."+stream, request, &answer); err != nil {
		return nil, err
	}
	m := answer.Message
	if m == nil {
		return nil, errNoAck
	}
	header, err := headerOf(m.Header)
	return &storedMessage{m.Subject, m.Sequence, m.Time, header, m.Data}, err
}

func headerOf(block []byte) (nats.Header, error) {
	if len(block) == 0 {
		return nil, nil
	}
	return nats.DecodeHeadersMsg(block)
}

// walkPause is the interval at which a walk that follows looks for new messages.
const walkPause = 100 * time.Millisecond

// walk reads a log message by message.
func (rd *reader) walk(ctx context.Context) error {
	if len(rd.filter) == 0 {
		rd.filter = []string{">"}
	}
	if rd.start.LastPerSubject {
		return rd.walkLast(ctx)
	}
	if rd.start.Sequence > 0 {
		rd.last = rd.start.Sequence - 1
	}
	return rd.walkOn(ctx)
}

// walkOn reads one message after another, and skips removed ones. If it follows, it looks for
// new messages at an interval.
func (rd *reader) walkOn(ctx context.Context) error {
	for {
		m, err := rd.next(ctx)
		switch {
		case err == nil && !rd.follow && m.Sequence > rd.end:
			return nil
		case err == nil:
			if rd.last = m.Sequence; !m.Time.Before(rd.start.Time) && !rd.yieldStored(m) {
				return nil
			}
		case rd.isFinal(err) || rd.follow && !pause(ctx, walkPause):
			return err
		case !rd.follow:
			return nil
		}
	}
}

// isFinal reports whether an error ends the walk. A missing message does not, and for a
// reader that follows, a lost connection does not either.
func (rd *reader) isFinal(err error) bool {
	if missing(err) {
		return codeOfAPI(err) == jetstream.JSErrCodeStreamNotFound
	}
	return !rd.follow || !rd.l.t.passing(err)
}

// next returns the next message that matches one of the patterns.
func (rd *reader) next(ctx context.Context) (first *storedMessage, err error) {
	for _, pattern := range rd.filter {
		m, e := rd.l.get(ctx, map[string]any{"seq": rd.last + 1, "next_by_subj": pattern})
		switch {
		case e == nil && (first == nil || m.Sequence < first.Sequence):
			first = m
		case e != nil && (err == nil || missing(err)):
			err = e
		}
	}
	if first != nil && (err == nil || missing(err)) {
		return first, nil
	}
	return nil, err
}

func (l *log) get(ctx context.Context, request map[string]any) (*storedMessage, error) {
	return callAPI(ctx, l.t, func(ctx context.Context) (*storedMessage, error) { return l.getMessage(ctx, request) })
}

func (rd *reader) yieldStored(m *storedMessage) bool {
	msg := nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	d := new(transport.Delivery)
	d.Sequence, d.Stored = m.Sequence, m.Time
	fillDelivery(d, &msg, rd.l.lanes)
	return rd.yield(d)
}

// walkLast reads the last message of each subject. If it follows, it continues with walkOn.
func (rd *reader) walkLast(ctx context.Context) error {
	var lasts []*storedMessage
	for _, pattern := range rd.filter {
		s, err := callAPI(ctx, rd.l.t, func(ctx context.Context) (*jetstream.StreamInfo, error) {
			s, err := rd.l.t.js(ctx).Stream(ctx, rd.l.config.Name)
			if err != nil {
				return nil, err
			}
			return s.Info(ctx, jetstream.WithSubjectFilter(pattern))
		})
		if err != nil {
			return err
		}
		for subject := range s.State.Subjects {
			m, err := rd.l.get(ctx, map[string]any{"last_by_subj": subject})
			switch {
			case err == nil && m.Sequence <= rd.end:
				lasts = append(lasts, m)
			case err != nil && !missing(err):
				return err
			}
		}
	}
	slices.SortFunc(lasts, func(a, b *storedMessage) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, m := range lasts {
		if !rd.yieldStored(m) {
			return nil
		}
	}
	if rd.last = rd.end; !rd.follow {
		return nil
	}
	return rd.walkOn(ctx)
}
