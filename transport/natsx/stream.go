package natsx

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stream calls JetStream's API for one stream. It repeats calls until the server answers.
type stream struct {
	t          *Transport
	name       string
	replicated bool    // stored by several servers
	dry        *dryRun // if not nil, it records changes instead of making them
}

// askStream is callAPI for a stream. The leader of the cluster may learn of a new stream late,
// and reports it as missing until then, so it is asked twice.
func askStream[T any](ctx context.Context, s stream, do func(context.Context) (T, error)) (T, error) {
	result, err := callAPI(ctx, s.t, do)
	if codeOfAPI(err) == jetstream.JSErrCodeStreamNotFound && s.replicated && pause(ctx, 5*apiPause) {
		return callAPI(ctx, s.t, do)
	}
	return result, err
}

// info asks the leader of the stream for its state.
func (s stream) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	return s.call(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
		return js.Stream(ctx, s.name)
	})
}

func (s stream) create(ctx context.Context, c jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	if s.dry != nil {
		return s.dry.set(c, true), nil
	}
	return s.call(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
		return js.CreateStream(ctx, c)
	})
}

// createFitting creates the stream. If its number of replicas is a default, and the cluster
// is too small for it, the stream has one.
func (s stream) createFitting(ctx context.Context, c jetstream.StreamConfig, automatic bool) (*jetstream.StreamInfo, error) {
	if s.dry != nil {
		return s.dry.set(c, automatic), nil
	}
	is, err := s.create(ctx, c)
	if automatic && c.Replicas > 1 && tooFewServers(err) {
		s.t.log.Warn("natsx: a stream has one replica only: the cluster is too small for more", "stream", c.Name, "address", s.t.address)
		c.Replicas = 1
		return s.create(ctx, c)
	}
	return is, err
}

func (s stream) update(ctx context.Context, c jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	if s.dry != nil {
		return s.dry.set(c, true), nil
	}
	return s.call(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
		return js.UpdateStream(ctx, c)
	})
}

func (s stream) call(ctx context.Context, do func(context.Context, jetstream.JetStream) (jetstream.Stream, error)) (*jetstream.StreamInfo, error) {
	answer, err := askStream(ctx, s, func(ctx context.Context) (jetstream.Stream, error) { return do(ctx, s.t.api.js(ctx)) })
	if err != nil {
		return nil, err
	}
	is := answer.CachedInfo()
	s.t.streams.Store(s.name, is.Created)
	s.t.journal.Discard(s.name, is.Created, is.State.LastSeq)
	return is, nil
}

// checkExists returns NotFound if the stream does not exist. Its servers may be offline.
func (s stream) checkExists(ctx context.Context) error {
	_, err := askStream(ctx, s, func(ctx context.Context) (none struct{}, err error) {
		if _, err = s.t.api.js(ctx).Stream(ctx, s.name); codeOfAPI(err) == codeStreamOffline {
			return none, nil
		}
		return none, err
	})
	if missing(err) {
		return err
	}
	return nil
}

// created returns the time of creation of the stream, as of the last look at it.
func (s stream) created() (created time.Time) {
	if found, ok := s.t.streams.Load(s.name); ok {
		created = found.(time.Time)
	}
	return created
}

// storedMessage is one message of a stream.
type storedMessage struct {
	Subject  string      `json:"subject"`
	Sequence uint64      `json:"seq"`
	Time     time.Time   `json:"time"`
	Data     []byte      `json:"data"`
	Encoded  []byte      `json:"hdrs"` // the header
	Header   nats.Header `json:"-"`
}

// message asks the leader of the stream for one message.
func (s stream) message(ctx context.Context, request map[string]any) (*storedMessage, error) {
	return askStream(ctx, s, func(ctx context.Context) (m *storedMessage, err error) {
		var answer struct {
			Message *storedMessage `json:"message"`
		}
		if err := s.t.api.request(ctx, "STREAM.MSG.GET."+s.name, request, &answer); err != nil {
			return nil, err
		}
		if m = answer.Message; m == nil {
			return nil, errNoAck
		}
		if len(m.Encoded) > 0 {
			m.Header, _ = nats.DecodeHeadersMsg(m.Encoded) // a consumer too leaves out a malformed header
		}
		return m, nil
	})
}

// subjects returns the subjects with messages that match a pattern, and the numbers of their
// messages.
func (s stream) subjects(ctx context.Context, pattern string) (map[string]uint64, error) {
	is, err := askStream(ctx, s, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		js, err := s.t.api.js(ctx).Stream(ctx, s.name)
		if err != nil {
			return nil, err
		}
		return js.Info(ctx, jetstream.WithSubjectFilter(pattern))
	})
	if err != nil {
		return nil, err
	}
	return is.State.Subjects, nil
}

// consumer asks for the state of a consumer. See awaitConsumer.
func (s stream) consumer(ctx context.Context, name string) (*jetstream.ConsumerInfo, error) {
	return s.callConsumer(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
		return js.Consumer(ctx, s.name, name)
	})
}

func (s stream) createConsumer(ctx context.Context, c jetstream.ConsumerConfig) (*jetstream.ConsumerInfo, error) {
	if s.dry != nil {
		return s.dry.setConsumer(s.name, c, true), nil
	}
	return s.callConsumer(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
		return js.CreateConsumer(ctx, s.name, c)
	})
}

func (s stream) updateConsumer(ctx context.Context, c jetstream.ConsumerConfig) (*jetstream.ConsumerInfo, error) {
	if s.dry != nil {
		return s.dry.setConsumer(s.name, c, false), nil
	}
	return s.callConsumer(ctx, func(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
		return js.UpdateConsumer(ctx, s.name, c)
	})
}

// unpinConsumer ends the pin of a consumer, so the next pull without a pin gets its messages.
func (s stream) unpinConsumer(ctx context.Context, name, group string) error {
	return s.t.api.request(ctx, "CONSUMER.UNPIN."+s.name+"."+name, map[string]string{"group": group}, &struct{}{})
}

func (s stream) callConsumer(ctx context.Context, do func(context.Context, jetstream.JetStream) (jetstream.Consumer, error)) (*jetstream.ConsumerInfo, error) {
	c, err := askStream(ctx, s, func(ctx context.Context) (jetstream.Consumer, error) { return do(ctx, s.t.api.js(ctx)) })
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// A server of a cluster reports its consumers as missing between its start and the start of
// their replicas. Only the leader of the cluster knows which consumers exist.

// startingTime bounds the wait for a consumer that exists, but that no server has started.
const startingTime = 5 * time.Second

// awaitConsumer is consumer, except that it waits for a consumer that is being started.
func (s stream) awaitConsumer(ctx context.Context, name string) (*jetstream.ConsumerInfo, error) {
	for r := retryFor(startingTime); ; {
		is, err := s.consumer(ctx, name)
		if !s.maybeStarting(err) {
			return is, err
		}
		if exists, listErr := s.listsConsumer(ctx, name); !exists || listErr != nil || !r.next(ctx) {
			return nil, err
		}
	}
}

// maybeStarting reports whether err is that of a consumer that may exist nevertheless.
func (s stream) maybeStarting(err error) bool {
	return codeOfAPI(err) == jetstream.JSErrCodeConsumerNotFound && (s.replicated || s.t.clustered())
}

// listsConsumer reports whether the leader of the cluster lists a consumer.
func (s stream) listsConsumer(ctx context.Context, name string) (bool, error) {
	names, err := callAPI(ctx, s.t, func(ctx context.Context) (names []string, err error) {
		var page struct {
			Total     int      `json:"total"`
			Consumers []string `json:"consumers"`
		}
		for more := true; more && err == nil; more = len(page.Consumers) > 0 && len(names) < page.Total {
			page.Consumers = nil
			err = s.t.api.request(ctx, "CONSUMER.NAMES."+s.name, map[string]any{"offset": len(names)}, &page)
			names = append(names, page.Consumers...)
		}
		return names, err
	})
	return slices.Contains(names, name), err
}

// listConsumers returns all consumers. In a cluster whose servers have just started, it waits
// until they report all. It reports whether some are still lacking.
func (s stream) listConsumers(ctx context.Context) (all []*jetstream.ConsumerInfo, lacking bool, err error) {
	for r := retryFor(startingTime); ; {
		all, lacking, err = s.listReported(ctx)
		if err != nil || !lacking || !r.next(ctx) {
			return all, lacking, err
		}
	}
}

// listReported returns the consumers that a server reports, and whether some are lacking.
// nats.go's ListConsumers hides the latter.
func (s stream) listReported(ctx context.Context) (all []*jetstream.ConsumerInfo, lacking bool, err error) {
	all, err = callAPI(ctx, s.t, func(ctx context.Context) (all []*jetstream.ConsumerInfo, err error) {
		lacking = false
		var page struct {
			Total     int                       `json:"total"`
			Consumers []*jetstream.ConsumerInfo `json:"consumers"`
			Missing   []string                  `json:"missing"`
		}
		for offset, more := 0, true; more && err == nil; more = len(page.Consumers) > 0 && offset < page.Total {
			page.Consumers, page.Missing = nil, nil
			err = s.t.api.request(ctx, "CONSUMER.LIST."+s.name, map[string]any{"offset": offset}, &page)
			all, lacking = append(all, page.Consumers...), lacking || len(page.Missing) > 0
			offset += len(page.Consumers) + len(page.Missing)
		}
		return all, err
	})
	return all, lacking && (s.replicated || s.t.clustered()), err
}

// release deletes a consumer that is no longer needed.
func (s stream) release(ctx context.Context, consumer string) {
	if ctx = context.WithoutCancel(ctx); s.t.ready(ctx) != nil {
		return
	}
	_, _ = attempt(ctx, s.t, probeTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, s.t.api.js(ctx).DeleteConsumer(ctx, s.name, consumer)
	}) // otherwise it expires
}

// Outside a cluster, the server stops listing a deleted consumer before it has removed the
// files of its state. A new consumer of the same name would read them, or lose its own files.
// Until the files are gone, the stream counts more consumers than it lists.
const (
	deletionTimeout = 5 * time.Second
	deletionPause   = 5 * time.Millisecond
)

// awaitDeletions waits until the state of deleted consumers is removed.
func (s stream) awaitDeletions(ctx context.Context) {
	for begun := time.Now(); !s.replicated && time.Since(begun) < deletionTimeout && s.deleting(ctx); {
		if !pause(ctx, deletionPause) {
			return
		}
	}
}

// deleting reports whether the server is deleting consumers.
func (s stream) deleting(ctx context.Context) bool {
	is, err := s.info(ctx)
	if err != nil {
		return false
	}
	all, _, err := s.listReported(ctx)
	names := make(map[string]bool) // a page may repeat names while consumers vanish
	for _, c := range all {
		names[c.Name] = true
	}
	return err == nil && is.State.Consumers > len(names)
}

// remove removes a part of the stream. The server may remove it in an attempt whose answer
// does not arrive in time. The next attempt then finds nothing, which is not an error.
func (s stream) remove(ctx context.Context, do func(context.Context) error) error {
	return s.removeItem(ctx, do, func(err error) bool {
		return missing(s.t.api.explain(err)) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound
	})
}

// delete deletes the stream.
func (s stream) delete(ctx context.Context) error {
	return s.removeItem(ctx, func(ctx context.Context) error { return s.t.api.js(ctx).DeleteStream(ctx, s.name) },
		func(err error) bool { return codeOfAPI(err) == jetstream.JSErrCodeStreamNotFound })
}

// removeItem calls do until the server answers. gone reports whether an error means that
// there is nothing to remove.
func (s stream) removeItem(ctx context.Context, do func(context.Context) error, gone func(error) bool) error {
	unanswered := false
	_, err := callAPI(ctx, s.t, func(ctx context.Context) (none struct{}, err error) {
		err = do(ctx)
		if unanswered && gone(err) {
			return none, nil
		}
		unanswered = unanswered || err != nil && ctx.Err() != nil
		return none, err
	})
	return err
}
