//go:build unix

// Package cputime measures processor time.
package cputime

import (
	"syscall"
	"time"
)

// Spent returns the processor time that this process has used, or 0 if it is not known.
func Spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
