package testkit

import "gomono.dev/mono"

// Outcome is what became of a message after its handler had it.
type Outcome string

// The outcomes.
const (
	Done       Outcome = "done"       // the handler returned nil
	Failed     Outcome = "failed"     // it returned an error, and nobody tries again
	Retried    Outcome = "retried"    // it returned an error, and another attempt follows
	Died       Outcome = "dead"       // it is a dead letter now
	Unfinished Outcome = "unfinished" // the handler still runs
	Crashed    Outcome = "crashed"    // its process crashed before it had said how it ended
)

// outcome returns that of a handled entry for one of its messages.
func (j *journal) outcome(e *entry, id string, err error) Outcome {
	f := j.fateOf(e, id, err)
	switch {
	case f.outcome != "":
		return f.outcome
	case !e.ended && !e.process.dead.Load():
		return Unfinished
	case !e.ended || e.late:
		return Crashed
	case err != nil:
		return Failed
	}
	return Done
}

func isHandled(k handleKey) func(*entry) bool {
	return func(e *entry) bool { return e.handle == k && e.side == mono.Receiving }
}

func isSent(k handleKey) func(*entry) bool {
	return func(e *entry) bool { return e.handle == k && e.side == mono.Sending }
}
