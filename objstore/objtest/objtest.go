// Package objtest tests that a backend and package objstore together keep the guarantees of
// package objstore.
//
// The test of a backend is one call:
//
//	func TestStores(t *testing.T) {
//		objtest.Run(t, objtest.Target{Start: func(*testing.T) func() transport.Transport {
//			return func() transport.Transport { return mybackend.Connect(address) }
//		}})
//	}
//
// A case has a name, a sentence of the documentation of package objstore or its driver, and a
// rule: the part of the sentence that the case tests. Both are printed if the case fails. Each
// case has its own Transports and its own stores, which it deletes. No case depends on the speed
// of the backend. Cases run in parallel.
//
// A case that fails in real time while the machine stood still is repeated, but at most one in
// ten.
package objtest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
)

// Target is a backend to test.
type Target struct {
	// Start prepares the backend for one case. The returned function connects another
	// Transport to it, which the case closes. Cases may share a server: their stores have
	// unique names. Start registers its cleanup with t.
	Start func(t *testing.T) (connect func() transport.Transport)

	// Virtual runs each case in a testing/synctest bubble, if the backend works in one.
	Virtual bool

	// Lags reports that a replica may answer which does not have the last changes yet. Cases
	// then wait until a listing is right.
	Lags bool
}

// Run runs every case as a parallel subtest of t.
func Run(t *testing.T, target Target) {
	around := inRounds()
	if target.Virtual {
		around = inBubble
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			around(t, func(test *testing.T, t testing.TB) { c.run(newSuite(&target, test, t)) })
		})
	}
}

// testCase is one case of the suite.
type testCase struct {
	name string

	// contract is a sentence of the comments of package objstore or its driver, or a part of
	// one, word by word.
	contract string

	// rule describes the part of the contract that this case tests.
	rule string

	body func(*suite)
}

func (c *testCase) run(s *suite) {
	s.Cleanup(func() {
		if !s.Failed() {
			return
		}
		s.Logf("rule: %s", c.rule)
		s.Logf("package objstore: %q", c.contract)
	})
	c.body(s)
}

// cases returns all cases.
func cases() []testCase {
	return slices.Concat(
		putCases,
		failedPutCases,
		conditionCases,
		readCases,
		rangeCases,
		overtakenCases,
		changeCases,
		listCases,
		sweepCases,
		expiryCases,
		foreignCases,
		linkCases,
		storeCases,
		errorCases,
		concurrencyCases,
		driverCases,
	)
}

// around runs a case: it calls body, perhaps repeatedly, with the test and with the
// testing.TB for the reports of the case.
type around func(test *testing.T, body func(*testing.T, testing.TB))

func inBubble(test *testing.T, body func(*testing.T, testing.TB)) {
	test.Helper()
	synctest.Test(test, func(t *testing.T) { body(t, t) })
}

// spoils is the shortest stall that can make a case fail.
const spoils = time.Second / 2

func inRounds() around {
	rounds := &realtime.Rounds{Stall: spoils}
	return func(test *testing.T, body func(*testing.T, testing.TB)) {
		test.Helper()
		rounds.Run(test, func(t testing.TB) { body(test, t) })
	}
}
