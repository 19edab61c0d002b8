package audit

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// turns makes the writers of a log take turns. To learn what others have stored takes longer
// than to store the next message, so the writer that was fastest once would always be. One that
// is too slow asks the others to pause before their next messages. A request that is lost is
// made again after the next failure.
type turns struct {
	transport transport.Transport
	subject   string
	id        string // of this writer
	receiver  transport.Receiver
	until     atomic.Int64 // the end of the pause that others asked for
}

// maxPause limits a pause, whatever others ask for.
const maxPause = 500 * time.Millisecond

// open begins to listen to other writers. Without the permission it does not pause for them.
func (s *turns) open(ctx context.Context, t transport.Transport, subject string) error {
	s.transport, s.subject, s.id = t, subject+"._pause", rand.Text()
	var err error
	s.receiver, err = t.Subscribe(ctx, transport.Subscription{Subject: s.subject}, transport.Serial(s.asked))
	return err
}

func (s *turns) close() {
	if s.receiver != nil {
		s.receiver.Close()
		s.receiver = nil
	}
}

// ask asks the other writers to pause.
func (s *turns) ask(ctx context.Context, d time.Duration) {
	m := &transport.Message{Subject: s.subject, Body: fmt.Appendf(nil, "%s %d", s.id, max(d, 0).Milliseconds()+1)}
	_ = s.transport.Publish(ctx, m)
}

func (s *turns) asked(m *transport.Message) {
	var id string
	var ms int64
	if _, err := fmt.Sscan(string(m.Body), &id, &ms); err != nil || id == s.id || ms < 0 {
		return
	}
	pause := min(time.Duration(min(ms, 1000))*time.Millisecond, maxPause)
	s.until.Store(time.Now().Add(pause).UnixNano())
}

// wait waits until the pause is over.
func (s *turns) wait(ctx context.Context) {
	if rest := time.Until(time.Unix(0, s.until.Load())); rest > 0 {
		pause(ctx, min(rest, maxPause))
	}
}
