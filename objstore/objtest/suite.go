package objtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport"
)

// suite is a running case.
//
// Goroutines of a case report with Error and Errorf. On a failing backend they may do so
// after the case has ended. That is ignored, because testing.T would end the process.
type suite struct {
	testing.TB
	target *Target
	dial   func() transport.Transport
	tr     transport.Transport // of most cases
	line   *Line               // set in the cases about lost connections
	mu     sync.Mutex
	over   bool
	stores int
	root   string // of the names of stores
}

func newSuite(target *Target, test *testing.T, t testing.TB) *suite {
	s := &suite{TB: t, target: target, dial: target.Start(test), root: "objtest-" + strconv.FormatUint(rand.Uint64(), 36)}
	t.Cleanup(s.end)
	s.tr = s.connect()
	return s
}

func (s *suite) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

func (s *suite) Errorf(format string, args ...any) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.TB.Errorf(format, args...)
	}
}

func (s *suite) Error(args ...any) {
	s.Helper()
	s.Errorf("%s", fmt.Sprint(args...))
}

// connect returns another Transport to the backend.
func (s *suite) connect() transport.Transport {
	s.Helper()
	tr := s.dial()
	s.Cleanup(func() { s.close(tr) })
	return tr
}

func (s *suite) close(tr transport.Transport) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), realtime.Patience)
	defer cancel()
	if err := tr.Close(ctx); err != nil {
		s.Errorf("Close: %v", err)
	}
}

// patient returns a context for events that must happen.
func (s *suite) patient() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), realtime.Patience)
	s.Cleanup(cancel)
	return ctx
}

// ended returns a context that has ended.
func (s *suite) ended() context.Context {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	return ctx
}

// pass waits in virtual time.
func (s *suite) pass(d time.Duration) {
	if s.target.Virtual {
		<-time.After(d)
	}
}

// settle reads once. If the replicas of the backend may lag, it reads until a result is right.
func (s *suite) settle(read func() (right bool)) {
	if !read() && s.target.Lags {
		realtime.Within(realtime.Patience, read)
	}
}

// together calls f concurrently, with numbers from 0.
func (s *suite) together(goroutines int, f func(i int)) {
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// name returns the name of another store, which is deleted after the case.
func (s *suite) name() string {
	s.stores++
	name := s.root + "-" + strconv.Itoa(s.stores)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), realtime.Patience)
		defer cancel()
		_ = objstore.DeleteStore(ctx, s.tr, name) // the case may have deleted it, or closed the Transport
	})
	return name
}

// connectAs opens a store by name.
func (s *suite) connectAs(tr transport.Transport, name string, options ...objstore.StoreOption) *objstore.Objects {
	s.Helper()
	opened, err := objstore.Connect(s.patient(), tr, objstore.NewStore(name, options...))
	if err != nil {
		s.Fatalf("Connect: %v", err)
	}
	return opened
}

// wantCode fails unless err is an Error with this code.
func (s *suite) wantCode(err error, code transport.Code) {
	s.Helper()
	e, ok := errors.AsType[*transport.Error](err)
	switch {
	case !ok:
		s.Errorf("got error %v (%T), want an Error with code %s", err, err, code)
	case e.Code != code:
		s.Errorf("got %q with code %s, want %s", err, e.Code, code)
	}
}

// wantError fails unless err is an Error with this code that has had no effect, and that
// contains each of the texts.
func (s *suite) wantError(err error, code transport.Code, texts ...string) {
	s.Helper()
	s.wantCode(err, code)
	if e, ok := errors.AsType[*transport.Error](err); ok && e.Outcome != transport.OutcomeNotDone {
		s.Errorf("got %q with outcome %v, want %v", err, e.Outcome, transport.OutcomeNotDone)
	}
	for _, text := range texts {
		if err != nil && !strings.Contains(err.Error(), text) {
			s.Errorf("got %q, want the text %s in it", err, text)
		}
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func wantEqual[T comparable](s *suite, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// panics fails unless f panics with a text.
func (s *suite) panics(text string, f func()) {
	s.Helper()
	defer func() {
		s.Helper()
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), text) {
			s.Errorf("got panic %v, want one with %q", v, text)
		}
	}()
	f()
}
