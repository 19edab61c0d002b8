package testkit_test

import (
	"context"
	"slices"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
	"gomono.dev/testkit"
)

// A handler knows about an event what it would know without the Harness, which knows the id and
// the sender of each.
func TestEventsCarryWhatTheyDoOutsideTests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []testkit.Option
		carries bool
	}{
		"nothing":     {nil, false},
		"request ids": {[]testkit.Option{testkit.AppOptions(requestid.Propagate())}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				var got []string
				h.Add(mono.NewModule("listener", func(s *mono.Scope) error {
					updated.Handle(s, func(ctx context.Context, _ order) error {
						call := mono.CallFrom(ctx)
						got = []string{call.ID(), call.Sender(), call.Header("Testkit-Id"), call.Header("Testkit-Sender")}
						return nil
					})
					return nil
				}), mono.NewModule("shop", func(s *mono.Scope) error {
					s.Use(updated)
					place.Handle(s, func(ctx context.Context, o order) (string, error) { return "", updated.Publish(ctx, s, o) })
					return nil
				}))
				h.MustStart()
				if _, err := place.Call(t.Context(), h, order{ID: "o1"}); err != nil {
					t.Fatal(err)
				}
				h.Settle()
				sent, handled := testkit.Published(h, updated)[0], testkit.RequireConsumed(t, h, updated)
				if handled.ID != sent.ID || handled.From != "shop" || sent.From != "shop" {
					t.Errorf("sent %+v, and handled %+v", sent, handled)
				}
				sender := ""
				if c.carries {
					sender = "shop"
				}
				if (got[0] == sent.ID) != c.carries || !slices.Equal(got[1:], []string{sender, "", ""}) {
					t.Errorf("the handler knows %q of %+v", got, sent)
				}
			}, c.options...)
		})
	}
}
