package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var transportCases = []conformanceCase{
	{
		name: "capabilities",
		rule: "Name is what errors and health reports call the backend.",
		body: func(s *suite) {
			if has := s.Capabilities(); has.Name == "" || has.MaxPayload < 0 {
				s.Errorf("got %+v, want a name, and a limit of 0 or more", has)
			}
		},
	},
	{
		name: "ping",
		rule: "Ping reports whether the backend can be reached: nil after a round trip.",
		body: func(s *suite) {
			if err := s.tr.Ping(s.patient()); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name: "log/unimplemented",
		rule: "A backend without Capabilities.Logs answers Unimplemented.",
		missing: func(has transport.Capabilities) string {
			if has.Logs {
				return "a backend without Logs"
			}
			return ""
		},
		body: func(s *suite) {
			_, err := s.tr.Log(s.patient(), transport.LogConfig{Name: "log", Subjects: []string{s.subject("log")}})
			s.wantError(err, transport.Unimplemented, transport.OutcomeNotDone)
		},
	},
	{
		name: "endpoint",
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
