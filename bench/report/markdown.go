package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// report has all measurements.
type report struct {
	found    results
	programs []program
	rounds   int
	each     time.Duration
	took     time.Duration
}

const benchText = `## Beside its baselines

Each benchmark is shown beside its baseline: the same work without mono, on the same server, with
the same ids, headers and sync setting. Results are checked. Raw is nats.go, or its package jetstream,
alone.

The best round of a benchmark counts, on both sides, since other programs on the machine can only
make it slower. Benchmarks of stored messages alternate with their baseline instead, and give the
median of the ratios. Processor time is the sum over both ends and the server. If it is less than real
time, other programs had the rest. Then it is compared with the budgets of benchmarks that do one
thing after another.

`

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(benchText)
	b.WriteString(machine(fmt.Sprintf("`go run ./bench/report -rounds %d -time %v`, which took %v", r.rounds, r.each, r.took.Round(time.Second)), versions(natsPath, serverPath)))
	if ns, ok := r.found.took("Yardstick"); ok {
		fmt.Fprintf(&b, "- Yardstick: `context.WithTimeout` and its cancellation took %s (330 to 410 ns on the reference machine when nothing else runs)\n", duration(ns))
	}
	b.WriteString("\n")
	b.WriteString("![Time of a call and of an event, by path](benchmarks.svg)\n\n")

	b.WriteString("## Budgets\n\n| path | budget | measured | | benchmark |\n|---|---|---|---|---|\n")
	for _, budget := range budgets {
		v := budget.check(r.found)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", budget.path, budget.limit, v.measured, mark(v), budget.from)
	}
	r.bySize(&b, "Service", "A request and its reply", servicePaths, "One request after another. Ratios are to the baseline: the function for local calls, the channel\nfor inproc, raw nats.go for NATS.")
	r.bySize(&b, "Event", "An event, from its publisher to the end of its handler", eventPaths, "A stream of events with one subscriber.")
	r.localCalls(&b)
	r.growth(&b)
	r.stored(&b)
	r.order(&b)
	r.buckets(&b)
	r.sizes(&b)
	if notes, err := os.ReadFile("bench/report/notes.md"); err == nil {
		b.WriteString("\n" + string(notes))
	}
	return b.String()
}

// path is a row of a table and its baseline.
type path struct{ name, base string }

var (
	payloads     = []string{"64B", "256B", "4KiB", "256KiB"}
	servicePaths = []path{{"function", ""}, {"channel", ""}, {"local", "function"}, {"inproc", "channel"}, {"raw-in-process", ""}, {"nats-in-process", "raw-in-process"}, {"raw-tcp", ""}, {"nats-tcp", "raw-tcp"}}
	eventPaths   = []path{{"function", ""}, {"channel", ""}, {"inproc", "channel"}, {"raw-in-process", ""}, {"nats-in-process", "raw-in-process"}, {"raw-tcp", ""}, {"nats-tcp", "raw-tcp"}}
)

// bySize is a table of paths and payloads.
func (r *report) bySize(b *strings.Builder, benchmark, title string, paths []path, note string) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| path | %s |\n|---|%s\n", title, note, strings.Join(payloads, " | "), strings.Repeat("---|", len(payloads)))
	for _, p := range paths {
		fmt.Fprintf(b, "| %s |", p.name)
		for _, size := range payloads {
			name := benchmark + "/" + size + "/"
			fmt.Fprintf(b, " %s |", r.cell(name+p.name, name+p.base, p.base != ""))
		}
		b.WriteString("\n")
	}
}

// cell is time, allocations, and the ratio to the baseline's time.
func (r *report) cell(name, base string, compare bool) string {
	took, ok := r.found.get(name, nanoseconds)
	if !ok {
		return ""
	}
	n, _ := r.found.get(name, allocations)
	text := fmt.Sprintf("%s, %.0f allocs", duration(took), n)
	if ratio, ok := r.found.ratio(name, base, nanoseconds); ok && compare {
		text += fmt.Sprintf(", **%.3g ×**", ratio)
	}
	return text
}

func (r *report) localCalls(b *strings.Builder) {
	b.WriteString("\n## Local calls, and the order flow\n\nThe flow is an order that asks inventory, payment and notification in turn.\n\n| benchmark | cost |\n|---|---|\n")
	for _, p := range []path{
		{"Local/function", ""}, {"Local/flat", "Local/function"}, {"Local/by-reference", "Local/function"}, {"Local/timeout", "Local/function"}, {"Local/order", "Local/function"}, {"Local/nested", "Local/function"},
		{"AccessLog/without", ""}, {"AccessLog/level-off", "AccessLog/without"}, {"AccessLog/on", "AccessLog/without"}, {"AccessLog/request-id", "AccessLog/without"}, {"AccessLog/sampled", "AccessLog/without"}, {"AccessLog/sent", "AccessLog/without"},
		{"Operate/none", ""}, {"Operate/requestid", "Operate/none"}, {"Operate/requestid/carried", "Operate/none"}, {"Operate/requestid/reading", "Operate/none"},
		{"Limit/without", ""}, {"Limit/rate", "Limit/without"}, {"Limit/concurrency", "Limit/without"}, {"Limit/breaker", "Limit/without"}, {"Limit/retry", "Limit/without"}, {"Limit/window", "Limit/without"},
		{"OperateNATS/none", ""}, {"OperateNATS/requestid", "OperateNATS/none"}, {"OperateNATS/accesslog", "OperateNATS/none"}, {"OperateNATS/limit", "OperateNATS/none"},
		{"OrderFlow/function", ""}, {"OrderFlow/local", "OrderFlow/function"}, {"OrderFlow/inproc", "OrderFlow/function"},
		{"OrderFlow/raw-in-process", ""}, {"OrderFlow/nats-in-process", "OrderFlow/raw-in-process"},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", p.name, r.cell(p.name, p.base, p.base != ""))
	}
}

func (r *report) growth(b *strings.Builder) {
	b.WriteString("\n## Growth\n\n| modules | start | a call |\n|---|---|---|\n")
	for _, n := range []string{"10", "100", "1000"} {
		fmt.Fprintf(b, "| %s | %s | %s |\n", n, r.cell("Modules/"+n+"/start", "", false), r.cell("Modules/"+n+"/call", "", false))
	}
	base, _ := r.found.get("ManyLogs", "raw-s")
	own, _ := r.found.get("ManyLogs", "mono-s")
	fmt.Fprintf(b, "\nAn App with 20 queues and 10 keyed streams, none of which exists yet, starts in %.1f s on a cluster\nof three servers that all keep everything. nats.go alone makes the same 50 streams and 200\nconsumers in %.1f s.\n", own, base)
	b.WriteString("\n| handles of a module | a call |\n|---|---|\n")
	for _, n := range []string{"10", "100", "1000", "10000"} {
		fmt.Fprintf(b, "| %s | %s |\n", n, r.cell("Handles/"+n, "", false))
	}
	names := []string{"function", "channel", "local", "inproc", "raw-in-process", "nats-in-process"}
	fmt.Fprintf(b, "\nA call of 256 B, with many callers at once:\n\n| callers | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, n := range []string{"1", "4", "16", "64", "256"} {
		fmt.Fprintf(b, "| %s |", n)
		for _, name := range names {
			took, _ := r.found.get("Callers/"+n+"/"+name, nanoseconds)
			fmt.Fprintf(b, " %s |", duration(took))
		}
		b.WriteString("\n")
	}
}

func (r *report) stored(b *strings.Builder) {
	b.WriteString("\n## Stored messages\n\n256 B, on JetStream with a store on disk.\n\n| benchmark | raw | mono | ratio |\n|---|---|---|---|\n")
	for _, name := range []string{"PipelinedAppend", "Unordered", "OnePartition"} {
		base, _ := r.found.get(name, "baseline/s")
		own, _ := r.found.get(name, "mono/s")
		ratio, _ := r.found.get(name, "ratio")
		fmt.Fprintf(b, "| %s | %.0f/s | %.0f/s | **%.2f** |\n", name, base, own, ratio)
	}
}

func (r *report) order(b *strings.Builder) {
	b.WriteString("\n### Order of keys\n\nA thousand keys in sixteen partitions. ConfirmedPartitions is raw JetStream with as many consumers and\na confirmation of each acknowledgement, without order.\n\n| benchmark | beside | baseline | measured | ratio |\n|---|---|---|---|---|\n")
	for _, row := range [][2]string{
		{"OrderOfKeys", "the same handlers of 5 ms, Unordered"},
		{"OrderOfMembers/2", "one member, 64 handlers of 5 ms each"}, {"OrderOfMembers/3", "one member"},
		{"OrderOfMembers/4", "one member"}, {"OrderOfMembers/8", "one member"},
		{"OrderOfEmptyHandlers", "raw without order"}, {"ConfirmedPartitions", "raw without order"},
	} {
		base, _ := r.found.get(row[0], "baseline/s")
		own, _ := r.found.get(row[0], "mono/s")
		ratio, _ := r.found.get(row[0], "ratio")
		fmt.Fprintf(b, "| %s | %s | %.0f/s | %.0f/s | **%.2f** |\n", row[0], row[1], base, own, ratio)
	}
}

func (r *report) buckets(b *strings.Builder) {
	b.WriteString("\n## Buckets\n\nOne Get or Put of a small struct in JSON at a time. raw is jetstream.KeyValue of nats.go with\nencoding/json, on a store on disk. upcast reads values of an older version on inproc.\n\n| benchmark | cost |\n|---|---|\n")
	for _, p := range []path{
		{"Bucket/get/inproc", ""}, {"Bucket/get/cached", ""}, {"Bucket/get/upcast", "Bucket/get/inproc"}, {"Bucket/get/raw", ""}, {"Bucket/get/nats", "Bucket/get/raw"},
		{"Bucket/put/inproc", ""}, {"Bucket/put/raw", ""}, {"Bucket/put/nats", "Bucket/put/raw"},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", p.name, r.cell(p.name, p.base, p.base != ""))
	}
	base, _ := r.found.get("BucketList", "baseline/s")
	own, _ := r.found.get("BucketList", "mono/s")
	stacks, _ := r.found.get("BucketWatchers", "stacks-MB")
	fmt.Fprintf(b, "\n100,000 keys are listed at %.0f/s; a watch of nats.go gives %.0f/s. The stacks of the goroutines\nof 1,000 watchers take %.1f MB.\n", own, base, stacks)
}

func (r *report) sizes(b *strings.Builder) {
	b.WriteString("\n## Programs\n\nHello, from its execution to its first answer over its transport.\n\n| program | binary | start | resident memory |\n|---|---|---|---|\n")
	for _, p := range r.programs {
		fmt.Fprintf(b, "| %s, %s | %.1f MB | %s | %.1f MB |\n", p.name, p.what, float64(p.size)/1e6, duration(float64(p.start)), float64(p.memory)/1e6)
	}
}

// versions returns the versions of modules that this program links.
func versions(paths ...string) (all []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, dep := range info.Deps {
		for _, path := range paths {
			if dep.Path == path {
				all = append(all, dep.Path+" "+dep.Version)
			}
		}
	}
	return all
}
