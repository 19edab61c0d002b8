package main

import (
	"fmt"
	"strings"
)

// budget is a limit of a benchmark.
type budget struct {
	path  string
	limit string
	check func(results) outcome
	from  string // the benchmark
}

// outcome is the result of a budget.
type outcome struct {
	measured string
	kept     bool
}

var missing = outcome{measured: "not measured"}

// budgets are in the order in which they are shown.
var budgets = []budget{
	{"local call, flat request and reply", "≤ 250 ns, ≤ 2 allocations", cost("Local/flat", 250, 2), "Local/flat"},
	{"local call with mono.Timeout", "≤ 700 ns, ≤ 6 allocations", cost("Local/timeout", 700, 6), "Local/timeout"},
	{"local call, mono.ByReference", "≤ 100 ns, ≤ 1 allocation", cost("Local/by-reference", 100, 1), "Local/by-reference"},
	{"local call, nested order and its confirmation, isolated", "≤ 700 ns", cost("Local/order", 700, -1), "Local/order"},
	{"the same, an order with a map that is sent back", "≤ 700 ns", cost("Local/nested", 700, -1), "Local/nested"},
	{"local call with an access log whose level is off", "≤ 3 × without", times("AccessLog/level-off", "AccessLog/without", 3), "AccessLog/level-off"},
	{"local call with an access log that is discarded", "≤ 3 × without", times("AccessLog/on", "AccessLog/without", 3), "AccessLog/on"},
	{"call over NATS with an access log that is discarded", "≤ 1.15 × without", times("OperateNATS/accesslog", "OperateNATS/none", 1.15), "OperateNATS/accesslog"},
	{"local call that passes a request id on", "≤ 1.3 × without", times("Operate/requestid", "Operate/none", 1.3), "Operate/requestid"},
	{"the order flow, local calls", "≤ 5 µs", cost("OrderFlow/local", 5000, -1), "OrderFlow/local"},
	{"deriving a handle, With(Delay, DedupID)", "0 allocations", cost("With", -1, 0), "With"},
	{"service over inproc, 256 B", "≤ 1.5 µs", cost("Service/256B/inproc", 1500, -1), "Service/256B/inproc"},
	{"event over inproc, 256 B, one subscriber", "≥ 2,000,000/s", atLeast("Event/256B/inproc", speed, 2e6, "%.0f/s"), "Event/256B/inproc"},
	{"service over NATS in process, 256 B", "≤ 1.10 × raw, ≤ 8 more allocations", beside("in-process"), "Service/256B/nats-in-process"},
	{"service over NATS by TCP, 256 B", "≤ 1.10 × raw, ≤ 8 more allocations", beside("tcp"), "Service/256B/nats-tcp"},
	{"event over NATS in process, 256 B", "≥ 0.90 of raw", asFast("in-process"), "Event/256B/nats-in-process"},
	{"event over NATS by TCP, 256 B", "≥ 0.90 of raw", asFast("tcp"), "Event/256B/nats-tcp"},
	{"App on inproc, start with 100 modules", "≤ 5 ms", cost("Modules/100/start", 5e6, -1), "Modules/100/start"},
	{"a call with 1,000 modules, against 10", "≤ 1.1 ×", times("Modules/1000/call", "Modules/10/call", 1.1), "Modules/1000/call"},
	{"start with 20 queues and 10 keyed streams, 3 replicas", "≤ 1.5 × raw", atMost("ManyLogs", "times-raw", 1.5, "%.2f × raw"), "ManyLogs"},
	{"pipelined append", "≥ 0.90 of raw", atLeast("PipelinedAppend", "ratio", 0.90, "%.2f"), "PipelinedAppend"},
	{"audit entries one by one, signed", "≥ 0.30 of raw appends", atLeast("Audit/one-by-one", "ratio", 0.30, "%.2f"), "Audit/one-by-one"},
	{"audit entries of 256 callers, signed", "≥ 0.30 of raw appends", atLeast("Audit/at-once", "ratio", 0.30, "%.2f"), "Audit/at-once"},
	{"unordered handling with acknowledgement", "≥ 0.90 of raw", atLeast("Unordered", "ratio", 0.90, "%.2f"), "Unordered"},
	{"order of a thousand keys, handlers of 5 ms", "≥ 0.90 of no order", atLeast("OrderOfKeys", "ratio", 0.90, "%.2f"), "OrderOfKeys"},
	{"order of a thousand keys, three members", "≥ 1.6 × one member", atLeast("OrderOfMembers/3", "ratio", 1.6, "%.2f"), "OrderOfMembers/3"},
	{"order of a thousand keys, empty handlers", "≥ 0.45 of raw without order", atLeast("OrderOfEmptyHandlers", "ratio", 0.45, "%.2f"), "OrderOfEmptyHandlers"},
	{"a stream without keys", "≥ 0.90 of raw with one in flight", atLeast("OnePartition", "ratio", 0.90, "%.2f"), "OnePartition"},
	{"append, handle, acknowledge on inproc", "≥ 300,000/s", streamed, "InprocStream"},
	{"heap of a million waiting over a hundred thousand", "≤ 64 MB", atMost("Backlog", "MB/900k", 64, "%.1f MB"), "Backlog"},
	{"a delayed job on NATS, after its time", "≤ 300 ms", atMost("Delayed", "latest-ms", 300, "%.0f ms"), "Delayed"},
	{"a fresh job on NATS while 2,000 wait for their next attempt", "≤ 1 ms", cost("Fresh", 1e6, -1), "Fresh"},
	{"Get of a bucket over NATS", "≤ 1.15 × raw", times("Bucket/get/nats", "Bucket/get/raw", 1.15), "Bucket/get/nats"},
	{"Put to a bucket over NATS", "≤ 1.15 × raw", times("Bucket/put/nats", "Bucket/put/raw", 1.15), "Bucket/put/nats"},
	{"Get of a bucket from its cache", "≤ 1.5 × a local call", times("Bucket/get/cached", "Local/flat", 1.5), "Bucket/get/cached"},
	{"Get of a bucket on inproc", "≤ 5 × a local call", times("Bucket/get/inproc", "Local/flat", 5), "Bucket/get/inproc"},
	{"Put to a bucket on inproc", "≤ 5 × a local call", times("Bucket/put/inproc", "Local/flat", 5), "Bucket/put/inproc"},
	{"100,000 keys of a bucket listed", "≥ 0.90 of a raw watch", atLeast("BucketList", "ratio", 0.90, "%.2f"), "BucketList"},
	{"consumers of 1,000 watchers of a bucket", "1", atMost("BucketWatchers", "consumers", 1, "%.0f"), "BucketWatchers"},
	{"memory of 1,000 watchers of a bucket, without stacks", "≤ 2 MB", atMost("BucketWatchers", "MB", 2, "%.1f MB"), "BucketWatchers"},
	{"64 MiB to a store of objects, NATS in process", "≥ 0.95 of nats.go", atLeast("Object/in-process/up", "ratio", 0.95, "%.2f"), "Object/in-process/up"},
	{"64 MiB from a store of objects, NATS in process", "≥ 0.95 of nats.go", atLeast("Object/in-process/down", "ratio", 0.95, "%.2f"), "Object/in-process/down"},
	{"64 MiB to a store of objects, NATS by TCP", "≥ 0.95 of nats.go", atLeast("Object/tcp/up", "ratio", 0.95, "%.2f"), "Object/tcp/up"},
	{"64 MiB from a store of objects, NATS by TCP", "≥ 0.95 of nats.go", atLeast("Object/tcp/down", "ratio", 0.95, "%.2f"), "Object/tcp/down"},
	{"memory to put an object, beyond that of nats.go", "≤ 4 MiB", atMost("Object/tcp/up", "MB", 4.2, "%.1f MB"), "Object/tcp/up"},
	{"memory to get an object, beyond that of nats.go", "≤ 4 MiB", atMost("Object/tcp/down", "MB", 4.2, "%.1f MB"), "Object/tcp/down"},
	{"20,000 objects listed by a prefix", "≥ 0.90 of nats.go's list", atLeast("ObjectList", "ratio", 0.90, "%.2f"), "ObjectList"},
	{"a test of four modules and ten messages", "≤ 2 ms", cost("Testkit/modules", 2e6, -1), "Testkit/modules"},
	{"an hour of retries in virtual time, one a second", "≤ 100 ms", cost("Testkit/hour", 100e6, -1), "Testkit/hour"},
	{"one schedule of an order flow with crashes", "≤ 20 ms", cost("Testkit/schedule", 20e6, -1), "Testkit/schedule"},
	{"longest pause while a million are consumed", "≤ 2 s", atMost("Backlog", "longest-gap-s", 2, "%.2f s"), "Backlog"},
}

// took is the time of a benchmark in which one thing happens after another. It is at most the
// processor time: the rest was spent waiting for other programs.
func (rs results) took(name string) (ns float64, ok bool) {
	ns, ok = rs.get(name, nanoseconds)
	if busy, known := rs.get(name, processor); known {
		ns = min(ns, busy)
	}
	return ns, ok
}

// cost bounds time and allocations; a negative bound means none.
func cost(name string, ns, allocs float64) func(results) outcome {
	return func(rs results) outcome {
		took, ok := rs.took(name)
		if !ok {
			return missing
		}
		n, _ := rs.get(name, allocations)
		v := outcome{measured: duration(took), kept: ns < 0 || took <= ns}
		if allocs >= 0 {
			v.measured += ", " + plural(n, "allocation")
			v.kept = v.kept && n <= allocs
		}
		return v
	}
}

func atLeast(name, unit string, bound float64, format string) func(results) outcome {
	return func(rs results) outcome {
		got, ok := rs.get(name, unit)
		if !ok {
			return missing
		}
		return outcome{fmt.Sprintf(format, got), got >= bound}
	}
}

// streamed is the speed of durable work in memory, beside the processor time of a message. Both
// ends together have as many processors as there are cores.
func streamed(rs results) outcome {
	v := atLeast("InprocStream", "mono/s", 300_000, "%.0f/s")(rs)
	if busy, ok := rs.get("InprocStream", processor); ok {
		v.measured += " (" + duration(busy) + " of processor time each)"
	}
	return v
}

func atMost(name, unit string, bound float64, format string) func(results) outcome {
	return func(rs results) outcome {
		got, ok := rs.get(name, unit)
		if !ok {
			return missing
		}
		return outcome{fmt.Sprintf(format, got), got <= bound}
	}
}

// times bounds the time of one benchmark by that of another.
func times(name, base string, bound float64) func(results) outcome {
	return func(rs results) outcome {
		ours, ok := rs.took(name)
		other, okBase := rs.took(base)
		if !ok || !okBase {
			return missing
		}
		return outcome{fmt.Sprintf("%.2f ×", ours/other), ours <= bound*other}
	}
}

// beside compares a service over NATS with nats.go alone.
func beside(link string) func(results) outcome {
	name, base := "Service/256B/nats-"+link, "Service/256B/raw-"+link
	return func(rs results) outcome {
		ratio, ok := rs.ratio(name, base, nanoseconds)
		if !ok {
			return missing
		}
		ours, _ := rs.get(name, allocations)
		raw, _ := rs.get(base, allocations)
		processor, _ := rs.ratio(name, base, processor)
		return outcome{fmt.Sprintf("%.2f × (processor time %.2f ×), %+.0f allocations", ratio, processor, ours-raw), ratio <= 1.10 && ours-raw <= 8}
	}
}

// asFast compares the speed of an event over NATS with that of nats.go alone.
func asFast(link string) func(results) outcome {
	name, base := "Event/256B/nats-"+link, "Event/256B/raw-"+link
	return func(rs results) outcome {
		ratio, ok := rs.ratio(name, base, speed)
		if !ok {
			return missing
		}
		processor, _ := rs.ratio(base, name, processor)
		return outcome{fmt.Sprintf("%.2f (by processor time %.2f)", ratio, processor), ratio >= 0.90}
	}
}

func (rs results) ratio(name, base, unit string) (float64, bool) {
	a, ok := rs.get(name, unit)
	b, okBase := rs.get(base, unit)
	if !ok || !okBase || b == 0 {
		return 0, false
	}
	return a / b, true
}

// budgets lists all budgets for human readers.
func (r *report) budgets() string {
	var b strings.Builder
	for _, budget := range budgets {
		v := budget.check(r.found)
		fmt.Fprintf(&b, "%-8s %-52s %-38s %s\n", mark(v), budget.path, budget.limit, v.measured)
	}
	return b.String()
}

// checkMeasured returns an error if a budget was not measured.
func (r *report) checkMeasured() error {
	for _, budget := range budgets {
		if budget.check(r.found) == missing {
			return fmt.Errorf("%s was not measured: no benchmark %s ran", budget.path, budget.from)
		}
	}
	return nil
}

func mark(v outcome) string {
	if v.kept {
		return "kept"
	}
	return "MISSED"
}

func plural(n float64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%.0f %ss", n, what)
}

// duration formats nanoseconds as a time with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.size {
			return fmt.Sprintf("%.3g %s", ns/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}
