package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results holds, for each benchmark and unit, the measurement of each round.
type results map[string]map[string][]float64

var processors = regexp.MustCompile(`-\d+$`)

// add takes a line of a benchmark's output, and ignores other lines.
func (rs results) add(line string) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return
	}
	name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return
		}
		if rs[name] == nil {
			rs[name] = make(map[string][]float64)
		}
		rs[name][fields[i+1]] = append(rs[name][fields[i+1]], value)
	}
}

// get returns the value of a benchmark over its rounds: the least for a cost of an operation,
// the most for a speed, and the median for anything else. It returns false if nothing was
// measured.
func (rs results) get(name, unit string) (float64, bool) {
	all := slices.Sorted(slices.Values(rs[name][unit]))
	switch {
	case len(all) == 0:
		return 0, false
	case strings.HasSuffix(unit, "/op"):
		return all[0], true
	case strings.HasSuffix(unit, "/s"):
		return all[len(all)-1], true
	}
	return all[len(all)/2], true
}

// Units of measurements.
const (
	nanoseconds = "ns/op"
	processor   = "cpu-ns/op"
	allocations = "allocs/op"
	speed       = "msg/s"
)
