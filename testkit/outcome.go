package testkit

import "gomono.dev/mono"

// Outcome is what became of a message after its handler had it.
type HandlerResult string

// The outcomes.
const (
	ResultDone         HandlerResult = "done"       // the handler returned nil
	ResultFailed       HandlerResult = "failed"     // it returned an error, and nobody tries again
	ResultRetried      HandlerResult = "retried"    // it returned an error, and another attempt follows
	ResultDeadLettered HandlerResult = "dead"       // it is a dead letter now
	ResultUnfinished   HandlerResult = "unfinished" // the handler still runs
	ResultCrashed      HandlerResult = "crashed"    // its process crashed before it had said how it ended
)

// outcome returns that of a handled entry for one of its messages.
func (j *journal) outcome(e *entry, id string, err error) HandlerResult {
	f := j.fateOf(e, id, err)
	switch {
	case f.outcome != "":
		return f.outcome
	case !e.ended && !e.process.dead.Load():
		return ResultUnfinished
	case !e.ended || e.late:
		return ResultCrashed
	case err != nil:
		return ResultFailed
	}
	return ResultDone
}

func isHandled(k handleKey) func(*entry) bool {
	return func(e *entry) bool { return e.handle == k && e.side == mono.SideReceiver }
}

func isSent(k handleKey) func(*entry) bool {
	return func(e *entry) bool { return e.handle == k && e.side == mono.SideSender }
}
