// Package conformance holds the long conformance tests: every target and every profile,
// as `make conformance` runs them. Its tests have the build tag conformance, so that go
// test ./... does not run them.
//
//	make conformance                  all of it, in less than an hour
//	make conformance PROFILE=short    all targets, in a few minutes
//	make conformance SEED=7           with the random choices of an earlier run
package conformance
