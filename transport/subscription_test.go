package transport_test

import (
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// An invalid Subscription is rejected, even by a backend without service discovery.
func TestSubscriptionValidate(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	defer tr.Close(t.Context())
	stats := func() transport.EndpointStats { return transport.EndpointStats{} }
	for name, c := range map[string]struct {
		change func(*transport.Subscription)
		ok     bool
	}{
		"nothing wrong":         {func(*transport.Subscription) {}, true},
		"no endpoint":           {func(s *transport.Subscription) { s.Endpoint = nil }, true},
		"a version with more":   {func(s *transport.Subscription) { s.Endpoint.Version = "1.2.3-rc.1+build.5" }, true},
		"no pattern":            {func(s *transport.Subscription) { s.Subject = "a..b" }, false},
		"no token":              {func(s *transport.Subscription) { s.Group = "a.b" }, false},
		"a negative limit":      {func(s *transport.Subscription) { s.PendingLimit = -1 }, false},
		"a bad service name":    {func(s *transport.Subscription) { s.Endpoint.Service = "a b" }, false},
		"no endpoint name":      {func(s *transport.Subscription) { s.Endpoint.Name = "" }, false},
		"no stats":              {func(s *transport.Subscription) { s.Endpoint.Stats = nil }, false},
		"a version too short":   {func(s *transport.Subscription) { s.Endpoint.Version = "1.2" }, false},
		"a leading zero":        {func(s *transport.Subscription) { s.Endpoint.Version = "01.2.3" }, false},
		"an empty identifier":   {func(s *transport.Subscription) { s.Endpoint.Version = "1.2.3-" }, false},
		"a version with spaces": {func(s *transport.Subscription) { s.Endpoint.Version = "1.2.3 " }, false},
	} {
		s := transport.Subscription{Subject: "a.>", Group: "g", Endpoint: &transport.Endpoint{Service: "shop", Name: "buy", Version: "1.2.3", Stats: stats}}
		c.change(&s)
		if err := s.Validate(); (err == nil) != c.ok || err != nil && transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
		r, err := tr.Subscribe(t.Context(), s, transport.Serial(func(*transport.Message) {}))
		if (err == nil) != c.ok {
			t.Errorf("%s: inproc: %v", name, err)
		}
		if err == nil {
			r.Close()
		}
	}
}
