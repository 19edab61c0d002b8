// Report runs the benchmarks, prints the budgets with the measurements, and writes its part of
// docs/benchmarks.md, and docs/benchmarks.svg. With -peers it runs those of bench/peers instead,
// and writes their part. It is run at the root of the module, by make bench and make peers.
//
// A round runs every benchmark once. There are several, one after another, and the best
// of each benchmark counts: other programs on a machine can only make it slower.
// Benchmarks of stored messages alternate with their baseline.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 3, "number of rounds")
	each := flag.Duration("time", 100*time.Millisecond, "time of each benchmark in a round")
	docs := flag.String("docs", "docs", "directory of the report")
	peers := flag.Bool("peers", false, "compare with other libraries")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	p, err := readPage(filepath.Join(*docs, "benchmarks.md"))
	if err == nil && *peers {
		err = runPeers(ctx, *rounds, *each, p)
	} else if err == nil {
		err = run(ctx, *rounds, *each, *docs, p)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// The benchmarks, by how they are run.
const (
	timed     = "^Benchmark(Service|Event|OrderFlow|Local|With|Yardstick|Callers|Modules|Handles|Testkit|Fresh|Bucket|AccessLog|Operate|OperateNATS|Limit)$"
	contested = "^Benchmark(PipelinedAppend|Unordered|OrderOfKeys|OrderOfMembers|OrderOfEmptyHandlers|ConfirmedPartitions|OnePartition|InprocStream|Audit|ManyLogs|BucketList|BucketWatchers|ObjectList)$"
	large     = "^Benchmark(Object)$" // whose files the system writes at times of its own
	once      = "^Benchmark(Backlog|Delayed)$"
)

func run(ctx context.Context, rounds int, each time.Duration, docs string, p page) error {
	dir, err := os.MkdirTemp("", "mono-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	binary := filepath.Join(dir, "bench.test")
	if err := command(ctx, os.Stderr, "go", "test", "-c", "-o", binary, "./bench"); err != nil {
		return err
	}
	if err := checkListed(ctx, binary); err != nil {
		return err
	}
	found := make(results)
	for round := range rounds {
		log.Printf("round %d of %d (%v)", round+1, rounds, time.Since(began).Round(time.Second))
		if err := found.measure(ctx, binary, timed, each.String()); err != nil {
			return err
		}
	}
	log.Printf("stored messages (%v)", time.Since(began).Round(time.Second))
	if err := found.measure(ctx, binary, contested, "3x"); err != nil {
		return err
	}
	if err := found.measure(ctx, binary, large, "15x"); err != nil {
		return err
	}
	if err := found.measure(ctx, binary, once, "1x"); err != nil {
		return err
	}
	log.Printf("programs (%v)", time.Since(began).Round(time.Second))
	programs, err := programs(ctx, dir)
	if err != nil {
		return err
	}
	r := report{found: found, programs: programs, rounds: rounds, each: each, took: time.Since(began)}
	fmt.Print(r.budgets())
	p.bench = r.markdown()
	if err := p.write(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, "benchmarks.svg"), []byte(r.plot()), 0o644); err != nil {
		return err
	}
	return r.checkMeasured()
}

// checkListed returns an error if a benchmark is in none of the lists.
func checkListed(ctx context.Context, binary string) error {
	var out strings.Builder
	if err := command(ctx, &out, binary, "-test.list", "^Benchmark"); err != nil {
		return err
	}
	listed := regexp.MustCompile(strings.Join([]string{timed, contested, large, once}, "|"))
	for name := range strings.FieldsSeq(out.String()) {
		if strings.HasPrefix(name, "Benchmark") && !listed.MatchString(name) {
			return fmt.Errorf("%s is in no list of bench/report: add it to timed, contested, large, or once", name)
		}
	}
	return nil
}

// measure runs benchmarks and keeps their output.
func (rs results) measure(ctx context.Context, binary, pattern, each string, flags ...string) error {
	var out strings.Builder
	args := append([]string{"-test.run", "^$", "-test.bench", pattern, "-test.benchtime", each, "-test.benchmem", "-test.timeout", "0"}, flags...)
	if err := command(ctx, &out, binary, args...); err != nil {
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		rs.add(line)
	}
	return nil
}

func command(ctx context.Context, out interface{ Write([]byte) (int, error) }, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = out, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	return nil
}
