// Package conformance holds the long conformance tests: every target and every profile,
// as `make conformance` runs them. Its tests have the build tag conformance, so that go
// test ./... does not run them.
//
//	make conformance                  all of it, in less than twenty minutes
//	make conformance PROFILE=short    all targets, in two minutes
//	make conformance SEED=7           with the random choices of an earlier run
package conformance
