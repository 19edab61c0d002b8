package health_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/health"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// worker returns a module that works on a queue once release is closed.
func worker(jobs mono.Queue[int], release <-chan struct{}) mono.Module {
	return mono.NewModule("worker", func(s *mono.Scope) error {
		jobs.Handle(s, func(ctx context.Context, _ int) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
		return nil
	})
}

// A group with a lag of more than MaxLag makes the App not ready, in processes that receive from the
// handle, unless the group is paused.
func TestMaxLag(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) transport.Transport{"inproc": openInproc, "nats": openNATS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := mono.NewQueue[int]("lag.jobs")
			none := mono.NewStream[int]("lag.none")
			release := make(chan struct{})
			p := health.New(health.MaxLag(jobs, 2), health.MaxLag(none, 0))
			app := mono.New(open(t), mono.Logger(slog.New(slog.DiscardHandler)))
			app.Plugin("health", p)
			app.Add(worker(jobs, release))
			begin(t, app)
			check := "/readyz/lag/queue/lag.jobs"
			ready := func() bool { return get(p, check, "").Code == 200 }
			for i := range 2 {
				if err := jobs.Enqueue(t.Context(), app, i); err != nil {
					t.Fatal(err)
				}
			}
			realtime.Until(t, "the lag is 2", func() bool {
				_, report := jsonOf(t, p, "/readyz")
				d := string(report.Checks["lag/queue/lag.jobs"][0].Details)
				return d == `{"workers":{"inFlight":1,"members":0,"waiting":1}}` || d == `{"workers":{"inFlight":1,"members":1,"waiting":1}}` || strings.Contains(d, `"inFlight":2`)
			})
			if !ready() {
				t.Error(get(p, check+"?verbose", ""))
			}
			if err := jobs.Enqueue(t.Context(), app, 3); err != nil {
				t.Fatal(err)
			}
			realtime.Until(t, "the lag is 3", func() bool { return !ready() })
			text := get(p, check+"?verbose", "").Body.String()
			if !strings.HasPrefix(text, `[-]lag/queue/lag.jobs failed: queue lag.jobs: the group "workers" lags by 3 messages, more than MaxLag (2); members: `) || !strings.Contains(text, " (last success ") {
				t.Error(text)
			}
			if w := get(p, "/readyz/lag/stream/lag.none", ""); w.Code != 200 {
				t.Errorf("a stream that nobody receives here: %d %s", w.Code, w.Body)
			}
			if err := mono.PauseGroup(t.Context(), app, jobs, mono.DefaultGroup, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			realtime.Until(t, "the pause is seen", ready)
			if err := mono.ResumeGroup(t.Context(), app, jobs, mono.DefaultGroup); err != nil {
				t.Fatal(err)
			}
			realtime.Until(t, "the end of the pause is seen", func() bool { return !ready() })
			close(release)
			realtime.Until(t, "the jobs are done", ready)
		})
	}
}

func openInproc(t testing.TB) transport.Transport { return inproc.New(inproc.Options{}) }

func openNATS(t testing.TB) transport.Transport {
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// An oldest message of more than MaxAge makes the App not ready, also beside MaxLag. An event that is
// not stored has no lag.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := mono.NewQueue[int]("age.jobs")
		heard := mono.NewEvent[int]("age.heard")
		release := make(chan struct{})
		p := health.New(health.MaxAge(jobs, time.Minute), health.MaxLag(jobs, 0), health.MaxAge(heard, time.Second))
		app := newApp(t, p)
		app.Add(worker(jobs, release), mono.NewModule("listener", func(s *mono.Scope) error {
			heard.Handle(s, func(context.Context, int) error { return nil })
			return nil
		}))
		begin(t, app)
		if err := jobs.Enqueue(t.Context(), app, 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute + time.Second)
		want(t, p, "/readyz/lag/queue/age.jobs?verbose", 503, `[-]lag/queue/age.jobs failed: queue age.jobs: the group "workers" lags by 1 messages, more than MaxLag (0); members: 1; `+
			`queue age.jobs: the oldest message of the group "workers" is 1m1s old, more than MaxAge (1m0s); members: 1 (no success yet)`, "readyz check failed")
		if w := get(p, "/readyz/lag/event/age.heard?verbose", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "it is not stored") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		close(release)
		synctest.Wait()
		<-time.After(time.Second)
		want(t, p, "/readyz/lag/queue/age.jobs", 200, "ok")
		if got := fmt.Sprint(app.Describe().Components[1].Settings); got != "map[MaxAge:1m0s MaxLag:0]" {
			t.Error(got)
		}
	})
}

// ahead is a transport whose store has a clock that is an hour ahead, as if this one had been set back.
type ahead struct{ *inproc.Transport }

func (a ahead) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	log, err := a.Transport.Log(ctx, c)
	return aheadLog{log}, err
}

type aheadLog struct{ transport.Log }

func (a aheadLog) Read(ctx context.Context, c transport.ReadConfig) iter.Seq2[*transport.Delivery, error] {
	return func(yield func(*transport.Delivery, error) bool) {
		for d, err := range a.Log.Read(ctx, c) {
			if d != nil {
				later := *d
				later.Stored = later.Stored.Add(time.Hour)
				d = &later
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// If the clock of this process was set back, a message is young, and the App stays ready until the age
// is real.
func TestClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := mono.NewQueue[int]("age.set-back")
		release := make(chan struct{})
		p := health.New(health.MaxAge(jobs, time.Minute))
		app := mono.New(ahead{inproc.New(inproc.Options{})}, mono.Logger(slog.New(slog.DiscardHandler)))
		app.Plugin("health", p)
		app.Add(worker(jobs, release))
		begin(t, app)
		if err := jobs.Enqueue(t.Context(), app, 1); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		want(t, p, "/readyz/lag/queue/age.set-back", 200, "ok")
		<-time.After(2 * time.Minute)
		if w := get(p, "/readyz/lag/queue/age.set-back?verbose", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "is 2m0s old") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		close(release)
	})
}
