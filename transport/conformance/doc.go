// Package conformance holds the heavy half of the conformance tests: every target,
// every profile, as `make conformance` runs them. Its tests have the build tag
// conformance, so that go test ./... passes them by.
//
//	make conformance                  all of it, in less than twenty minutes
//	make conformance PROFILE=short    all targets, in two minutes
//	make conformance SEED=7           with the random choices of an earlier run
package conformance
