package testkit

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	seedFlag     = flag.Uint64("testkit.seed", 0, "run the tests that use testkit with this `seed` only")
	runsFlag     = flag.Uint64("testkit.runs", 1, "run each test that uses testkit with the seeds 1 to `n`")
	watchdogFlag = flag.Duration("testkit.watchdog", time.Minute, "limit of one run of a test, in real `time`")
)

// defaultSeed is the seed by default: a test runs the same way each time, unless other seeds
// are requested.
const defaultSeed = 1

// seeds returns the seeds to run with: the one that was set, or the kept ones and those of
// -testkit.runs.
func (s *settings) seeds(t testing.TB) []uint64 {
	switch {
	case *seedFlag != 0:
		return []uint64{*seedFlag}
	case s.seed != 0:
		return []uint64{s.seed}
	case *runsFlag > 1:
		return upTo(*runsFlag, keptSeeds(t, t.Name()))
	}
	return upTo(defaultSeed, keptSeeds(t, t.Name()))
}

// upTo returns first, and then the seeds 1 to n that it does not contain.
func upTo(n uint64, first []uint64) []uint64 {
	seeds := slices.Clone(first)
	for seed := uint64(1); seed <= n; seed++ {
		if !slices.Contains(first, seed) {
			seeds = append(seeds, seed)
		}
	}
	return seeds
}

// seedFile is the file with the kept seeds of a test.
func seedFile(test string) string {
	return filepath.Join("testdata", "testkit", strings.NewReplacer("/", "__", `\`, "__", ":", "_").Replace(test)+".seeds")
}

// keptSeeds reads the seeds of a test, the number at the beginning of each line.
func keptSeeds(t testing.TB, test string) []uint64 {
	f, err := os.Open(seedFile(test))
	if err != nil {
		return nil
	}
	defer f.Close()
	var seeds []uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, _, _ := strings.Cut(lines.Text(), " ")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil || seed == 0 {
			t.Errorf("testkit: %s: %q is not a seed: want a positive number at the beginning of each line", f.Name(), lines.Text())
			continue
		}
		seeds = append(seeds, seed)
	}
	return seeds
}

// keepSeed keeps a seed that failed.
func keepSeed(t testing.TB, test string, seed uint64) {
	if slices.Contains(keptSeeds(t, test), seed) {
		return
	}
	file := seedFile(test)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = appendLine(file, fmt.Sprintf("%d\n", seed))
	}
	if err != nil {
		t.Errorf("testkit: the seed %d failed and cannot be kept: %v", seed, err)
	}
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
