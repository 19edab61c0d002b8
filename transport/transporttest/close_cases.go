package transporttest

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

var closeCases = []conformanceCase{
	{
		name:     "close/use-after",
		contract: "Every method returns [Unavailable] with [OutcomeNotDone]; Close itself returns nil.",
		rule:     "After Close, every method returns Unavailable with OutcomeNotDone; Close itself returns nil.",
		body: func(s *suite) {
			s.closeNow()
			notDone := func(err error) {
				s.Helper()
				s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			}
			notDone(s.tr.Ping(s.patient()))
			notDone(s.tr.Publish(s.patient(), s.message("a", "")))
			_, err := s.tr.Request(s.patient(), s.message("a", ""))
			notDone(err)
			_, err = s.tr.Subscribe(s.patient(), transport.Subscription{Subject: s.subject("a")}, transport.Serial(func(*transport.Message) {}))
			notDone(err)
			_, err = s.tr.Log(s.patient(), transport.LogConfig{Name: "log", Subjects: []string{s.subject("log")}})
			notDone(err)
			_ = s.Capabilities()
		},
	},
	{
		name:     "close/twice",
		contract: "Every later call returns nil, once the first has finished.",
		rule:     "Every later call of Close returns nil, once the first has finished.",
		body: func(s *suite) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(s.closeNow)
			}
			wg.Wait()
			s.closeNow()
		},
	},
	{
		name:     "close/requests-wait",
		contract: "Unavailable with OutcomeUnknown if the backend lost its connection, or the Transport was closed, while it waited.",
		rule:     "Unavailable with OutcomeUnknown if the Transport was closed while Request waited.",
		body: func(s *suite) {
			const n = 20
			arrived := make(chan struct{}, n)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(*transport.Message) { arrived <- struct{}{} })
			errs := make(chan error, n)
			ctx := s.patient()
			for range n {
				go func() {
					_, err := s.tr.Request(ctx, s.message("a", ""))
					errs <- err
				}()
			}
			for range n {
				await(s, arrived, "all requests")
			}
			s.closeNow()
			for range n {
				s.wantError(await(s, errs, "the requests to return"), transport.Unavailable, transport.OutcomeUnknown)
			}
		},
	},
	{
		name:     "close/ends-subscriptions",
		contract: "Close closes every subscription as [Receiver.Close] does",
		rule:     "Close closes every subscription as Receiver.Close does: it drops the queued messages, and does not wait for a running handler.",
		body: func(s *suite) {
			h := s.held("a", 50)
			s.within("Close", s.closeNow)
			h.release()
			s.drainQuietly(h)
			h.wantSeen(1)
		},
	},
	{
		name:     "close/ends-drains",
		contract: "Close closes every subscription as [Receiver.Close] does",
		rule:     "Close closes every subscription as Receiver.Close does, even those that drain.",
		body: func(s *suite) {
			h := s.held("a", 50)
			drained := h.drainAside()
			s.eventuallyNoSubscriber("a")
			s.within("Close", s.closeNow)
			h.release()
			await(s, drained, "Drain")
			h.wantSeen(1)
		},
	},
	{
		name:     "close/receivers-after",
		contract: "Closing again, or after a Drain, does nothing.",
		rule:     "Closing a Receiver after its Transport does nothing.",
		body: func(s *suite) {
			l := s.listen("a")
			s.closeNow()
			s.within("Receiver.Close", l.Close)
			s.within("Receiver.Drain", func() { _ = l.Drain(context.Background()) })
		},
	},
	{
		name: "close/after-drain",
		rule: "Callers drain their receivers before.",
		body: func(s *suite) {
			h := s.held("a", 100)
			drained := h.drainAside()
			s.eventuallyNoSubscriber("a")
			h.release()
			if err := await(s, drained, "Drain"); err != nil {
				s.Fatal(err)
			}
			s.closeNow()
			h.wantSeen(101)
		},
	},
	{
		name:     "close/publishers",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently: each Publish during a Close is done or not done.",
		body: func(s *suite) {
			s.listen("a")
			started := make(chan struct{}, 4)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for i := range enough {
						if err := s.tr.Publish(context.Background(), s.message("a", "x")); err != nil {
							s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
							return
						}
						if i == 10 {
							started <- struct{}{}
						}
					}
				})
			}
			for range 4 {
				await(s, started, "the publishers")
			}
			s.closeNow()
			s.within("the publishers", wg.Wait)
		},
	},
	{
		name:     "close/requesters",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently: each Request during a Close returns.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("a")}, "")
			started := make(chan struct{}, 4)
			ctx := s.patient()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for i := range enough {
						if _, err := s.tr.Request(ctx, s.message("a", "x")); err != nil {
							s.wantCode(err, transport.Unavailable)
							return
						}
						if i == 10 {
							started <- struct{}{}
						}
					}
				})
			}
			for range 4 {
				await(s, started, "the requesters")
			}
			s.closeNow()
			s.within("the requesters", wg.Wait)
		},
	},
}

// enough is how often something is repeated concurrently with something else. It is
// bounded so that on a failing backend the virtual time of a bubble, and with it a case's
// patience, can run out.
const enough = 20_000

func (s *suite) closeNow() {
	s.Helper()
	if err := s.tr.Close(s.patient()); err != nil {
		s.Errorf("Close: %v", err)
	}
}
