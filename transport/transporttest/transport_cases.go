package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var transportCases = []conformanceCase{
	{
		name:     "capabilities",
		contract: "Name is the backend's name in errors and health reports",
		rule:     "Capabilities.Name is the backend's name in errors and health reports.",
		body: func(s *suite) {
			if has := s.Capabilities(); has.Name == "" || has.MaxPayload < 0 {
				s.Errorf("got %+v, want a name, and a limit of 0 or more", has)
			}
		},
	},
	{
		name:     "ping",
		contract: "Ping reports whether the backend is reachable. It returns nil after a round trip",
		rule:     "Ping returns nil after a round trip to the backend.",
		body: func(s *suite) {
			if err := s.tr.Ping(s.patient()); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name:     "watch",
		contract: "A backend without permissions never calls f.",
		rule:     "Watch calls f for denials, and for nothing else.",
		body: func(s *suite) {
			stop := s.tr.Watch(func(d transport.Denial) { s.Errorf("got %+v", d) })
			defer stop()
			s.subscribe(transport.Subscription{Subject: s.subject("a"), Group: "g"}, func(*transport.Message) {})
			s.publish("a", "x")
			s.publish("b", "no subscriber")
			if err := s.tr.Ping(s.patient()); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name:     "logs-as-claimed",
		contract: "A backend without Capabilities.Logs returns Unimplemented.",
		rule:     "A backend with Capabilities.Logs opens logs, and a backend without it returns Unimplemented.",
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
		name:     "endpoint",
		contract: "A backend without discovery ignores it.",
		rule:     "A backend without discovery ignores Endpoint. The subscription works like any other.",
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
