package intake

import "gomono.dev/transport"

// Loop takes steps, one after another, as an [Intake] takes messages: each step that may be
// followed by more puts the next one in. When there are no more, or a step ends its
// goroutine, Loop calls end. The work of a step runs beside the next steps, unless recent work
// was quick: then it may delay them by up to 400 µs.
func Loop(step func() (w transport.Work, more bool), end func()) {
	var steps *Intake[struct{}]
	steps = New(1, nil, func(struct{}) (w transport.Work) {
		more := false
		defer func() {
			if !more {
				steps.End()
				end()
			}
		}()
		if w, more = step(); more {
			steps.Put(struct{}{})
		}
		return w
	})
	steps.lease = newLease(steps.pass)
	steps.Put(struct{}{})
}
