package testkit_test

import (
	"context"
	"strings"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// A change of a value after it was passed by reference fails the test, with the handle's name.
// This affects local calls only; over the transport each side has a copy.
func TestSharedValuesThatChange(t *testing.T) {
	t.Parallel()
	lend := mono.NewService[[]string, []string]("shop.lend", mono.ByReference())
	body := func(t testing.TB, h *testkit.Harness) {
		h.Add(mono.NewModule("lender", func(sc *mono.Scope) error {
			lend.Handle(sc, func(_ context.Context, list []string) ([]string, error) {
				list[0] = "changed"
				return nil, nil
			})
			return nil
		}))
		h.MustStart()
		if _, err := lend.Call(t.Context(), h, []string{"mine"}); err != nil {
			t.Fatal(err)
		}
	}
	text := failing(t, body, testkit.LocalCalls())
	for _, want := range []string{"shop.lend", "request", "the test", "module lender", "was changed after it was sent"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in: %s", want, text)
		}
	}
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) { body(t, h) })
}
