package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// peer is a column of the tables: a library in bench/peers.
type peer struct{ name, title string }

var columns = []peer{
	{"nats.go", "nats.go"},
	{"micro", "micro"},
	{"go-monolith", "go-monolith"},
	{"go-monolith-group", "go-monolith's queue group"},
}

// target is the least speed of mono as a multiple of a peer's.
type target map[string]float64

// row is a line of the first table: the benchmark of a kind of work with 256 B, and how fast mono
// should be. A joined benchmark has both ends on one connection, which go-monolith always has.
type row struct {
	title, benchmark, joined string
	targets                  target
}

func rows() (all []row) {
	all = append(all,
		row{"local call, a flat struct", "Local/flat/1", "Local/flat/1", target{"go-monolith": 60}},
		row{"local call, 256 B", "Local/256B/1", "Local/256B/1", target{"go-monolith": 30}},
		row{"the same, with a `context.WithTimeout` for each call", "Local/256B-timeout/1", "Local/256B-timeout/1", target{"go-monolith": 15}},
	)
	for _, link := range links {
		for _, n := range callers {
			r := row{"call over NATS" + of(link.title, n), "Call/" + link.name + "/256B/" + n, "Call/joined-" + link.name + "/256B/" + n, target{}}
			if n != "256" {
				r.targets["micro"], r.targets["nats.go"] = 1, 1/1.15
				if link.name == "in-process" {
					r.targets["go-monolith"] = 1 / 1.05
				}
			}
			all = append(all, r)
		}
	}
	for _, link := range links {
		for _, n := range callers {
			all = append(all, row{"event over NATS" + of(link.title, n), "Event/" + link.name + "/256B/" + n, "Event/joined-" + link.name + "/256B/" + n, target{"nats.go": 0.8}})
		}
	}
	for _, kind := range []string{"Queue", "Stream"} {
		for _, link := range links {
			for _, n := range callers {
				name := kind + "/joined-" + link.name + "/256B/" + n
				all = append(all, row{map[string]string{"Queue": "job", "Stream": "message of a stream"}[kind] + of(link.title, n), name, name, target{"nats.go": 0.9, "go-monolith": 1.5}})
			}
		}
	}
	return all
}

var (
	callers = []string{"1", "16", "256"}
	links   = []struct{ name, title string }{{"in-process", "in process"}, {"tcp", "TCP"}}
)

func of(link, callers string) string {
	if callers == "1" {
		return ", " + link + ", 1 caller"
	}
	return ", " + link + ", " + callers + " callers"
}

// measure is what a table shows: a unit of bench/peers and the unit of its ratios.
type measure struct{ unit, ratio string }

var (
	realTime      = measure{"-ns", "-ratio"}
	processorTime = measure{"-cpu-ns", "-cpu-ratio"}
)

// runPeers replaces the part of make peers.
func runPeers(ctx context.Context, rounds int, turn time.Duration, p page) error {
	began := time.Now()
	versions, err := peerVersions(ctx)
	if err != nil {
		return err
	}
	found, err := measurePeers(ctx, rounds, turn)
	if err != nil {
		return err
	}
	p.peers = peersPart(found, rounds, turn, time.Since(began), versions)
	return p.write()
}

const (
	peersModule  = "bench/peers" // a separate module: mono does not require the others
	natsPath     = "github.com/nats-io/nats.go"
	serverPath   = "github.com/nats-io/nats-server/v2"
	monolithPath = "github.com/go-monolith/mono"
)

// peerVersions returns versions by module.
func peerVersions(ctx context.Context) (map[string]string, error) {
	var out strings.Builder
	if err := command(ctx, &out, "go", "-C", peersModule, "list", "-m", "-f", "{{.Path}} {{.Version}}", natsPath, serverPath, monolithPath); err != nil {
		return nil, err
	}
	versions := make(map[string]string)
	for line := range strings.Lines(out.String()) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[path] = version
	}
	return versions, nil
}

func measurePeers(ctx context.Context, rounds int, turn time.Duration) (results, error) {
	dir, err := os.MkdirTemp("", "mono-peers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "peers.test")
	if err := command(ctx, os.Stderr, "go", "-C", peersModule, "test", "-c", "-o", binary, "."); err != nil {
		return nil, err
	}
	found := make(results)
	for _, kind := range []string{"Local", "Call", "Event", "Queue", "Stream", "InMemory", "OrderOfKeys", "OrderOfEmptyHandlers"} {
		log.Printf("peers: %s", kind)
		if err := found.measure(ctx, binary, "^Benchmark"+kind+"$", fmt.Sprintf("%dx", rounds), "-turn", turn.String()); err != nil {
			return nil, err
		}
	}
	return found, nil
}

const peersText = `## Beside other libraries

The same work, in one run, beside what you would use instead. Bold is **how many times as fast as the
other mono is**: at 2 mono takes half the other's time, at 0.5 twice as much. In parentheses is mono's target.

`

const peersNotes = `
### What is compared

- A *local call* stays in the process. A *call* is a request and its reply. An *event* counts when it
  was handled. A *job*, and a message of a *stream* without order, counts when it was stored and handled; the run
  goes on when all are acknowledged. All results are checked.
- *nats.go* is the plain client of NATS, with its package jetstream for stored work, and *micro* its
  package for services. They send no headers.
- *go-monolith* is [github.com/go-monolith/mono](https://github.com/go-monolith/mono) %s. Its local calls
  use the NATS server in its process. Both ends of its work are always on one connection. So its
  ratios are to mono with both ends on one connection, in one App. Those times are below.
- Its queue groups store nothing, and acknowledge a job before it is handled. Jobs with the same
  guarantees as the others' need its stream consumers. Their handlers acknowledge by hand, and
  receive batches of ten. A batch that is not full waits for up to five seconds; here all are full. A
  failed message is tried again after 30 s, three times, and then forgotten. mono has a
  backoff and dead letters.
- mono gives a stored message an id, so that it is stored once if its sender has to repeat it. The others do
  not.

### How it was measured

`

// peersPart is the part of make peers.
func peersPart(found results, rounds int, turn, took time.Duration, versions map[string]string) string {
	var b strings.Builder
	b.WriteString(peersText)
	found.summary(&b, realTime)
	fmt.Fprintf(&b, peersNotes, versions[monolithPath])
	b.WriteString(machine(fmt.Sprintf("`go run ./bench/report -peers -rounds %d -time %v`, which took %v", rounds, turn, took.Round(time.Second)),
		[]string{natsPath + " " + versions[natsPath], serverPath + " " + versions[serverPath]}))
	found.load(&b)
	b.WriteString(`
The libraries of a line work in turns, round after round, each with a server in the process, with its
store on disk and the default interval of its syncs. Times and allocations are medians over the rounds,
and ratios are medians of the ratios within a round. Allocations are those of both ends and the server.

### Processor time

Of both ends and the server together. Other programs on the machine change it less than real time.

`)
	found.summary(&b, processorTime)
	found.details(&b)
	found.others(&b)
	return b.String()
}

// load reports whether other programs used the machine. A local call of one caller never waits, so it
// has a processor all the time on an idle machine.
func (rs results) load(b *strings.Builder) {
	const name = "Local/flat/1"
	busy, ok := rs.get(name, "mono"+processorTime.unit)
	took, okTook := rs.get(name, "mono"+realTime.unit)
	if !ok || !okTook || busy == 0 {
		return
	}
	fmt.Fprintf(b, "- Load: a local call had a processor for %.0f %% of its time", min(busy/took, 1)*100)
	if busy < 0.95*took {
		b.WriteString(". **Other programs had it for the rest, so the times are too long and the ratios uncertain.** Ratios of processor time are better")
	}
	b.WriteString("\n")
}

// summary is a table of the work of 256 B.
func (rs results) summary(b *strings.Builder, m measure) {
	peers := columns[:3]
	b.WriteString("| 256 B | mono |")
	for _, p := range peers {
		fmt.Fprintf(b, " %s |", p.title)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(peers)) + "\n")
	for _, r := range rows() {
		fmt.Fprintf(b, "| %s | %s |", r.title, rs.cost(r.benchmark, "mono", m))
		for _, p := range peers {
			name := r.benchmark
			if p.name == "go-monolith" {
				name = r.joined
			}
			fmt.Fprintf(b, " %s |", rs.beside(name, p.name, m, r.targets[p.name]))
		}
		b.WriteString("\n")
	}
}

// cost is the time and, beside real time, the allocations of a peer.
func (rs results) cost(name, peer string, m measure) string {
	took, ok := rs.get(name, peer+m.unit)
	if !ok {
		return ""
	}
	if m != realTime {
		return duration(took)
	}
	n, _ := rs.get(name, peer+"-allocs")
	return fmt.Sprintf("%s, %.0f allocs", duration(took), n)
}

// beside is the cost of a peer, the speed of mono as a multiple of its speed, and the target if it
// is not 0.
func (rs results) beside(name, peer string, m measure, least float64) string {
	ratio, ok := rs.get(name, peer+m.ratio)
	if !ok {
		return ""
	}
	text := fmt.Sprintf("%s, **%s ×**", rs.cost(name, peer, m), number(ratio))
	switch {
	case least == 0:
	case ratio >= least:
		text += fmt.Sprintf(" (≥ %s)", number(least))
	default:
		text += fmt.Sprintf(" (≥ %s: MISSED)", number(least))
	}
	return text
}

// number formats a ratio with two or three digits.
func number(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// details are tables by payload and number of callers.
func (rs results) details(b *strings.Builder) {
	b.WriteString("\n### By payload and callers\n\nReal time. 256 callers do not send 256 KiB each: that is more than NATS buffers for one connection.\n")
	rs.detail(b, "Local calls", "Local/", []string{"flat", "256B", "256B-timeout"})
	for _, kind := range []struct{ name, title string }{{"Call", "Calls"}, {"Event", "Events"}} {
		for _, link := range links {
			rs.detail(b, kind.title+", "+link.title, kind.name+"/"+link.name+"/", payloads)
			rs.detail(b, kind.title+", "+link.title+", both ends on one connection", kind.name+"/joined-"+link.name+"/", payloads)
		}
	}
	for _, kind := range []struct{ name, title string }{{"Queue", "Jobs"}, {"Stream", "Messages of a stream"}} {
		for _, link := range links {
			rs.detail(b, kind.title+", "+link.title, kind.name+"/joined-"+link.name+"/", payloads)
		}
	}
}

func (rs results) detail(b *strings.Builder, title, prefix string, payloads []string) {
	var peers []peer
	for _, p := range columns {
		if _, ok := rs.get(prefix+payloads[1]+"/1", p.name+realTime.unit); ok {
			peers = append(peers, p)
		}
	}
	fmt.Fprintf(b, "\n%s:\n\n| payload | callers | mono |", title)
	for _, p := range peers {
		fmt.Fprintf(b, " %s |", p.title)
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(peers)) + "\n")
	for _, payload := range payloads {
		for _, n := range callers {
			name := prefix + payload + "/" + n
			if rs[name] == nil {
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %s |", payload, n, rs.cost(name, "mono", realTime))
			for _, p := range peers {
				fmt.Fprintf(b, " %s |", rs.beside(name, p.name, realTime, 0))
			}
			b.WriteString("\n")
		}
	}
}

// others are libraries that do one kind of work.
func (rs results) others(b *strings.Builder) {
	b.WriteString("\n### Watermill and pcgroups\n\nEvents in memory, 256 B, with the GoChannel of Watermill. Messages of a thousand keys in sixteen partitions with\n[pcgroups](https://github.com/synadia-io/orbit.go/tree/main/pcgroups), handled in the order of their key while they are stored;\nit handles the messages of a partition one after the other, and does not wait for confirmations.\n\n| work | mono | the other |\n|---|---|---|\n")
	for _, r := range []struct{ title, name, peer string }{
		{"event in memory, Watermill", "InMemory/event", "watermill"},
		{"handlers of 5 ms, one member, pcgroups", "OrderOfKeys/1", "pcgroups"},
		{"handlers of 5 ms, three members, pcgroups", "OrderOfKeys/3", "pcgroups"},
		{"empty handlers, one member, pcgroups", "OrderOfEmptyHandlers/1", "pcgroups"},
		{"empty handlers, three members, pcgroups", "OrderOfEmptyHandlers/3", "pcgroups"},
	} {
		fmt.Fprintf(b, "| %s | %s | %s |\n", r.title, rs.cost(r.name, "mono", realTime), rs.beside(r.name, r.peer, realTime, 0))
	}
}
