package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var transportCases = []conformanceCase{
	{
		name: "capabilities",
		seam: "Name is what errors and health reports call the backend",
		rule: "Name is what errors and health reports call the backend.",
		body: func(s *suite) {
			if has := s.Capabilities(); has.Name == "" || has.MaxPayload < 0 {
				s.Errorf("got %+v, want a name, and a limit of 0 or more", has)
			}
		},
	},
	{
		name: "ping",
		seam: "Ping reports whether the backend can be reached: nil after a round trip",
		rule: "Ping reports whether the backend can be reached: nil after a round trip.",
		body: func(s *suite) {
			if err := s.tr.Ping(s.patient()); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name: "watch",
		seam: "A backend without permissions never calls f.",
		rule: "Watch calls f for what is denied, and for nothing else.",
		body: func(s *suite) {
			stop := s.tr.Watch(func(d transport.Denial) { s.Errorf("got %+v", d) })
			defer stop()
			s.subscribe(transport.Subscription{Subject: s.subject("a"), Group: "g"}, func(*transport.Message) {})
			s.publish("a", "x")
			s.publish("b", "nobody is subscribed")
			if err := s.tr.Ping(s.patient()); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name: "logs-as-claimed",
		seam: "A backend without Capabilities.Logs answers Unimplemented.",
		rule: "A backend with Capabilities.Logs has logs, and one without answers Unimplemented.",
		body: func(s *suite) {
			_, err := s.tr.Log(s.patient(), transport.LogConfig{Name: s.root, Subjects: []string{s.subject("log")}})
			if !s.Capabilities().Logs {
				s.wantError(err, transport.Unimplemented, transport.OutcomeNotDone)
			} else if err != nil {
				s.Error(err)
			}
		},
	},
	{
		name: "endpoint",
		seam: "A backend without discovery ignores it.",
		rule: "A backend without discovery ignores Endpoint: the subscription is like any other.",
		body: func(s *suite) {
			endpoint := &transport.Endpoint{
				Service: s.root, Instance: s.root + "-1", Version: "1.0.0", Name: "echo",
				Stats: func() transport.EndpointStats { return transport.EndpointStats{ProcessingTime: time.Second} },
			}
			r := s.serve(transport.Subscription{Subject: s.subject("echo"), Group: "g", Endpoint: endpoint}, "echo ")
			if got := s.request("echo", "x"); got != "echo x" {
				s.Errorf("got %q", got)
			}
			s.drain(r)
		},
	},
}
