// Package bench measures mono beside honest baselines: the same work, on the same
// server, with the same ids, headers and sync setting, without mono.
//
// Each benchmark alternates between the baseline and mono, so that what else the
// machine does hits both, and reports the median of the ratios of their speeds:
// 1.00 is as fast as without mono. Results are checked in the loop.
package bench
