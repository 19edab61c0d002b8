package inproctest_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

// Messages aside are delivered, and are no steps: they have no faults, and the steps of a seed are
// the same with and without them.
func TestAside(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, chatter bool) (steps []inproctest.Step, received int) {
		bubble(t, inproctest.Options{
			Seed: 1, Quiesce: synctest.Wait,
			Fault: func(p inproctest.Point) (a inproctest.FaultAction) {
				if strings.HasPrefix(p.Subject, "aside.") {
					t.Errorf("asked for a fault of %v", p)
				}
				return a
			},
			Aside: func(subject string) bool { return strings.HasPrefix(subject, "aside.") },
		}, func(t *testing.T, b *inproctest.Backend) {
			var all []transport.Transport
			for range 2 {
				tr := b.Connect()
				defer tr.Close(t.Context())
				all = append(all, tr)
				for _, subject := range []string{"aside.x", "b"} {
					count := func(*transport.Message) {
						if subject != "b" {
							received++
						}
					}
					if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: subject, Group: "g"}, transport.Serial(count)); err != nil {
						t.Error(err)
					}
				}
			}
			for i := range 20 {
				subjects := []string{"b"}
				if chatter {
					subjects = []string{"aside.x", "b", "aside.x"}
				}
				for _, subject := range subjects {
					if err := all[i%2].Publish(t.Context(), &transport.Message{Subject: subject}); err != nil {
						t.Error(err)
					}
				}
			}
			still(b)
			steps = b.Steps()
		})
		return steps, received
	}
	quiet, none := run(t, false)
	loud, all := run(t, true)
	if none != 0 || all != 40 || len(quiet) != len(loud) {
		t.Fatalf("%d and %d messages aside were received, with %d and %d steps", none, all, len(quiet), len(loud))
	}
	for i := range quiet {
		if quiet[i] != loud[i] {
			t.Errorf("step %d is %v, and %v with messages aside", i, quiet[i], loud[i])
		}
	}
}
