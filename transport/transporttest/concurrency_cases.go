package transporttest

import (
	"fmt"
	"strconv"
	"sync"

	"gomono.dev/transport"
)

var concurrencyCases = []conformanceCase{
	{
		name:     "concurrency/thousands-of-subscriptions",
		contract: "Publish hands m to every subscription without a group whose pattern matches",
		rule:     "A Transport supports thousands of subscriptions; each gets only the messages for it.",
		body: func(s *suite) {
			const n = 2000
			received := make(chan string, n)
			for i := range n {
				s.subscribe(transport.Subscription{Subject: s.subject("many." + strconv.Itoa(i))}, func(m *transport.Message) {
					if want := s.subject("many." + string(m.Body)); m.Subject != want {
						s.Errorf("%q went to %q", want, m.Subject)
					}
					received <- string(m.Body)
				})
			}
			for _, body := range numbers(n) {
				s.publish("many."+body, body)
			}
			seen := make(map[string]bool)
			for range n {
				seen[await(s, received, "all messages")] = true
			}
			if len(seen) != n {
				s.Errorf("%d of %d subscriptions got their message", len(seen), n)
			}
		},
	},
	{
		name:     "concurrency/many-receivers",
		contract: "Publish hands m to every subscription without a group whose pattern matches",
		rule:     "Publish hands the message to every subscription without a group whose pattern matches, for any number of them.",
		body: func(s *suite) {
			const n = 500
			received := make(chan int, n)
			for i := range n {
				s.subscribe(transport.Subscription{Subject: s.subject("all")}, func(*transport.Message) { received <- i })
			}
			s.publish("all", "x")
			seen := make(map[int]bool)
			for range n {
				seen[await(s, received, "all receivers")] = true
			}
			if len(seen) != n {
				s.Errorf("%d of %d received it", len(seen), n)
			}
		},
	},
	{
		name:     "concurrency/everything-at-once",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method of every type may be called concurrently.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("steady.*"), Group: "g"}, "")
			var wg sync.WaitGroup
			ctx := s.patient()
			for g := range 8 {
				wg.Go(func() {
					for i := range 40 {
						rest := fmt.Sprintf("own.%d.%d", g, i)
						r, err := s.tr.Subscribe(ctx, transport.Subscription{Subject: s.subject(rest)}, transport.Serial(func(m *transport.Message) { s.reply(m, rest) }))
						if err != nil {
							s.Error(err)
							return
						}
						if reply, err := s.tr.Request(ctx, s.message(rest, "")); err != nil || string(reply.Body) != rest {
							s.Errorf("own service: %v, %v", reply, err)
						}
						if reply, err := s.tr.Request(ctx, s.message("steady."+strconv.Itoa(i%3), rest)); err != nil || string(reply.Body) != rest {
							s.Errorf("steady service: %v, %v", reply, err)
						}
						if err := s.tr.Publish(ctx, s.message("steady.x", rest)); err != nil {
							s.Error(err)
						}
						if i%2 == 0 {
							r.Close()
						} else if err := r.Drain(ctx); err != nil {
							s.Error(err)
						}
						_ = s.tr.Capabilities()
					}
				})
			}
			wg.Wait()
		},
	},
	{
		name:     "concurrency/subscribers-come-and-go",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Messages on one subject reach its subscribers while other subscriptions begin and end.",
		body: func(s *suite) {
			l := s.listen("steady")
			var wg sync.WaitGroup
			for g := range 3 {
				wg.Go(func() {
					for i := range 1000 {
						pattern := []string{"steady", "*", ">", "other." + strconv.Itoa(i)}[i%4]
						r, err := s.tr.Subscribe(s.Context(), transport.Subscription{Subject: s.subject(pattern), Group: []string{"", "g"}[g%2]}, transport.Serial(func(*transport.Message) {}))
						if err != nil {
							s.Error(err)
							return
						}
						r.Close()
					}
				})
			}
			bodies := numbers(1000)
			for _, body := range bodies {
				s.publish("steady", body)
			}
			l.want(bodies...)
			wg.Wait()
			l.wantOnly("steady")
		},
	},
}
