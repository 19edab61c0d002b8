// Package bench measures mono beside fair baselines: the same work, on the same server,
// with the same ids, headers and sync setting, without mono.
//
// Benchmarks of stored messages alternate between the baseline and mono, so that other
// work of the machine affects both, and report the median of the ratios of their speeds:
// 1.00 is as fast as without mono. Of the others the report counts the best round.
// Results are checked in the loop.
package bench
