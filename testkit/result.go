package testkit

import "gomono.dev/mono"

// HandlerResult is the result of an attempt for its message.
type HandlerResult string

// The results.
const (
	ResultDone         HandlerResult = "done"       // the handler returned nil
	ResultFailed       HandlerResult = "failed"     // it returned an error, and no attempt follows
	ResultRetried      HandlerResult = "retried"    // it returned an error, and another attempt follows
	ResultDeadLettered HandlerResult = "dead"       // the message became a dead letter
	ResultUnfinished   HandlerResult = "unfinished" // the handler still runs
	ResultCrashed      HandlerResult = "crashed"    // its process crashed before its result was sent
)

// resultOf returns the result of a handled entry for one of its messages.
func (j *journal) resultOf(e *entry, id string, err error) HandlerResult {
	f := j.decisionAfter(e, id, err)
	switch {
	case f.result != "":
		return f.result
	case !e.ended && !e.process.crashed.Load():
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
