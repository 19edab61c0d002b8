package transporttest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"gomono.dev/transport"
)

// Program is a sequence of steps on one log, its groups and their members, and a few
// subscriptions beside it. After each step the run waits until everything is idle, so
// that the observable state is then the same on every backend.
//
// [Model] and [Compare] generate programs; [Replay] runs one.
type Program struct {
	// Log is the configuration of the log. The run sets its Name and Subjects: a message
	// goes to a subject whose last token is the Key of its step. A Filter of its Groups
	// is a list of keys.
	Log transport.LogConfig

	Steps []Step
}

// Action is the action of a step.
type Action string

// The actions, and the fields of a Step that each of them reads, in addition to Process.
const (
	// Append stores Count messages, pipelined, or one. Key, ID, Fates, Delay, TTL, Expect
	// (whose Subject is a key).
	Append Action = "append"

	// Publish sends Count plain messages, or one. The log stores those with a Key; those
	// with a Topic do not concern it. Key or Topic, Fates.
	Publish Action = "publish"

	// Request asks the log to store a message, as a plain client does. Key, Fates.
	Request Action = "request"

	// Subscribe adds a subscription to a Key or a Topic, or a pattern of such. Key or
	// Topic, Group.
	Subscribe Action = "subscribe"

	// Unsubscribe drains the subscription with that Number, in the order of their
	// creation. Number.
	Unsubscribe Action = "unsubscribe"

	// Join adds a member to an existing group. Group, InFlight.
	Join Action = "join"

	// Drain drains a member by its Number, in the order of their joining. The member
	// keeps the deliveries that it holds until they are settled. Number.
	Drain Action = "drain"

	// Close closes a member. Number.
	Close Action = "close"

	// Crash ends the Process, as observed by others, with all its members and
	// subscriptions. It starts again with its next step.
	Crash Action = "crash"

	// Rush appends Count messages through Process, pipelined, while the member of that
	// Number begins to drain. Key, Number.
	Rush Action = "rush"

	// RushCrash appends Count messages through Process, pipelined, while the process with
	// that Number crashes. Key, Number.
	RushCrash Action = "rush and crash"

	// Settle ends a held delivery, by the letter that Fates begins with. Group, Sequence,
	// Fates.
	Settle Action = "settle"

	// Remove deletes a message. Sequence.
	Remove Action = "remove"

	// Purge deletes messages: of a Key or of all, below Sequence unless that is 0, except
	// the last Count.
	Purge Action = "purge"

	// AddGroup adds a group, which begins at Start. Group, Filter, Ordered, Start.
	AddGroup Action = "add group"

	// DeleteGroup deletes a group. Group.
	DeleteGroup Action = "delete group"

	// Wait lets time pass. Delay.
	Wait Action = "wait"
)

// Step is one step of a Program.
type Step struct {
	Do      Action
	Process int // the process of the step: each has a separate Transport

	Key   string
	Topic string
	ID    string
	Count int

	// Fates specify the deliveries of a message in each group, in the order of the
	// groups' creation: a letter for each delivery. "a" acknowledges, "t" terminates, "n"
	// hands back, "d" hands back with a short delay, "D" with a delay of eight minutes,
	// and "h" holds the delivery until a later step settles it. Unspecified deliveries
	// are acknowledged.
	Fates []string

	Delay  time.Duration
	TTL    time.Duration
	Expect *transport.Expectation

	Group    string
	Filter   []string
	Ordered  bool
	Start    transport.Start
	InFlight int
	Number   int
	Sequence uint64
}

// fate is what a member does with a delivery.
type fate byte

const (
	acks       fate = 'a'
	terminates fate = 't'
	naks       fate = 'n'
	delays     fate = 'd'
	postpones  fate = 'D'
	releases   fate = 'r'
	holds      fate = 'h'
)

// nakDelay and longDelay are the delays of the fates delays and postpones.
const (
	nakDelay  = 20 * time.Millisecond
	longDelay = 8 * time.Minute
)

// fateOf returns the fate of the nth delivery of a message in a group.
func fateOf(fates []string, group, n int) fate {
	if group >= len(fates) || n > len(fates[group]) {
		return acks
	}
	return fate(fates[group][n-1])
}

// body returns the unique body of the ith message of a step.
func body(step, i int) string { return fmt.Sprintf("%d.%d", step, i) }

// count returns the number of messages that a step sends.
func (s *Step) count() int { return max(s.Count, 1) }

// String returns the program as Go code, for a test to replay.
func (p Program) String() string {
	var b strings.Builder
	b.WriteString("transporttest.Program{\n")
	if log := literal(reflect.ValueOf(p.Log)); log != "transport.LogConfig{}" {
		fmt.Fprintf(&b, "\tLog: %s,\n", log)
	}
	b.WriteString("\tSteps: []transporttest.Step{\n")
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\t\t%s,\n", strings.TrimPrefix(literal(reflect.ValueOf(s)), "transporttest.Step"))
	}
	b.WriteString("\t},\n}")
	return b.String()
}

// literal returns a value as Go code, without zero fields.
func literal(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		if d%time.Minute == 0 {
			return fmt.Sprintf("%d * time.Minute", d/time.Minute)
		}
		return fmt.Sprintf("%d * time.Millisecond", d/time.Millisecond)
	}
	switch v.Kind() {
	case reflect.Uint64, reflect.Uint8:
		return fmt.Sprint(v.Uint())
	case reflect.Pointer:
		return "&" + literal(v.Elem())
	case reflect.Slice:
		return v.Type().String() + "{" + strings.Join(elements(v), ", ") + "}"
	case reflect.Struct:
		return v.Type().String() + "{" + strings.Join(fields(v), ", ") + "}"
	}
	return fmt.Sprintf("%#v", v)
}

func elements(v reflect.Value) (all []string) {
	for i := range v.Len() {
		all = append(all, literal(v.Index(i)))
	}
	return all
}

func fields(v reflect.Value) (all []string) {
	for field, value := range v.Fields() {
		if !value.IsZero() {
			all = append(all, field.Name+": "+literal(value))
		}
	}
	return all
}
