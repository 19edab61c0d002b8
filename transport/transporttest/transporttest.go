// Package transporttest tests that a [transport.Transport] fulfills the contract of
// package transport.
//
// A backend's test is a constructor and one call:
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transport.Transport {
//			return mybackend.New(nil)
//		})
//	}
//
// A case has a name, a sentence of the transport contract, and a rule: the part of the
// sentence that the case tests. Both are printed when the case fails. Cases run one after
// another in the order of the contract, each on a separate Transport that is closed
// afterwards. Cases about logs, below the subtest "log", run in parallel, because the
// shortest times of a log are seconds. No case depends on the speed of a backend. Cases
// wait for what must happen, and show that something does not happen by what comes after
// it. A case that fails in real time while a heartbeat measured a stall of the machine is
// repeated, but at most one in ten.
//
// Each case about logs has a log with a unique name and unique subjects. These logs
// remain: the contract has no way to delete a log.
//
// The suite requires one thing of a backend that package transport does not: when Ping
// has returned, all messages that the Transport published before are queued at the
// Transport's subscriptions. Every backend that keeps the order of one connection does
// that.
//
// Cases that need a capability that the backend lacks are skipped with the reason. The
// last subtest, "skipped", lists them, and fails for a backend that claims all
// capabilities.
package transporttest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
)

// Run runs every case as a subtest of t. newTransport returns a connected Transport. All
// Transports may use one server, because each case has unique subjects. newTransport
// registers its cleanup with the test that it is given.
func Run(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, inRounds())
}

// RunInBubble is like Run but runs every case in a separate testing/synctest bubble. It
// is for backends that work in one, because they do not wait for the network. synctest
// reports a goroutine that stays blocked after the Transport was closed as a deadlock.
func RunInBubble(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, inBubble)
}

// conformanceCase is one case of the suite.
type conformanceCase struct {
	name string

	// contract is a sentence of the comments of package transport, or a part of one, word
	// by word; it is "" if rule is that sentence.
	contract string

	// rule describes the part of the contract that this case tests.
	rule string

	// missing returns what the case needs and the backend lacks, or "". A nil one is for
	// every backend.
	missing func(transport.Capabilities) string

	body func(*suite)
}

// cases returns all cases, in the order in which they run.
func cases() []conformanceCase {
	return slices.Concat(
		transportCases,
		publishCases,
		groupCases,
		subjectCases,
		headerCases,
		bodyCases,
		requestCases,
		contextCases,
		ownershipCases,
		pendingCases,
		receiverCases,
		handlerCases,
		beginCases,
		closeCases,
		concurrencyCases,
	)
}

// logCases returns the cases about logs, in the order in which they start.
func logCases() []conformanceCase {
	return slices.Concat(
		needing("Logs", func(has transport.Capabilities) bool { return has.Logs }, slices.Concat(
			openCases,
			sequenceCases,
			dedupCases,
			expectCases,
			retentionCases,
			recreatedCases,
			fullCases,
			removeCases,
			configCases,
			appendCases,
			consumeCases,
			settleCases,
			leaveCases,
			positionCases,
			oneKeyCases,
			pauseCases,
			cancelCases,
			readCases,
			logCloseCases,
		)),
		needing("Partitions", func(has transport.Capabilities) bool { return has.Logs && has.Partitions }, slices.Concat(keyCases, memberCases, recreatedPartitionCases, pausedPartitionCases)),
		needing("Delays", func(has transport.Capabilities) bool { return has.Logs && has.Delays }, slices.Concat(delayedCases, cancelDelayedCases)),
	)
}

// needing returns the cases with a required capability. A case's missing function applies
// as well.
func needing(what string, can func(transport.Capabilities) bool, cases []conformanceCase) []conformanceCase {
	cases = slices.Clone(cases)
	for i, c := range cases {
		cases[i].missing = func(has transport.Capabilities) string {
			if !can(has) {
				return what
			}
			return c.missingFrom(has)
		}
	}
	return cases
}

func run(t *testing.T, newTransport func(*testing.T) transport.Transport, around around) {
	r := &runner{
		newSuite: func(test *testing.T, t testing.TB) *suite { return newSuite(test, t, newTransport(test)) },
		around:   around,
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { r.run(t, &c) })
	}
	t.Run("log", func(t *testing.T) { r.table(t, logCases()) })
	t.Run("skipped", r.reportSkipped)
}

// around runs a case: it calls body, perhaps repeatedly, with the test and with the
// testing.TB for the reports of the case.
type around func(test *testing.T, body func(*testing.T, testing.TB))

func inBubble(test *testing.T, body func(*testing.T, testing.TB)) {
	synctest.Test(test, func(t *testing.T) { body(t, t) })
}

// spoils is the shortest stall that can make a case fail: a member sends four signs of
// life per AckWait, and misses one of these.
const spoils = transport.MinAckWait / 5

// inRounds runs cases, each as one round in real time.
func inRounds() around {
	rounds := &realtime.Rounds{Stall: spoils}
	return func(test *testing.T, body func(*testing.T, testing.TB)) {
		rounds.Run(test, func(t testing.TB) { body(test, t) })
	}
}

// runner runs cases, several at once.
type runner struct {
	newSuite func(*testing.T, testing.TB) *suite
	around   around

	mu      sync.Mutex
	has     transport.Capabilities
	skipped []string
}

// table runs cases in parallel.
func (r *runner) table(t *testing.T, cases []conformanceCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r.run(t, &c)
		})
	}
}

func (r *runner) run(t *testing.T, c *conformanceCase) {
	missing := ""
	r.around(t, func(test *testing.T, t testing.TB) {
		s := r.newSuite(test, t)
		if missing = r.missing(c, s.Capabilities()); missing != "" {
			return
		}
		t.Cleanup(func() {
			if !t.Failed() {
				return
			}
			t.Logf("rule: %s", c.rule)
			if c.contract != "" {
				t.Logf("package transport: %q", c.contract)
			}
		})
		c.body(s)
	})
	if missing != "" {
		t.Skip("needs " + missing)
	}
}

// reportSkipped lists the skipped cases. A backend that claims all capabilities must not
// skip any.
func (r *runner) reportSkipped(t *testing.T) {
	report := t.Log
	if claimsEverything(r.has) {
		report = t.Error
	}
	for _, s := range r.skipped {
		report(s)
	}
}

// missing returns what a case needs and a backend lacks, and records it for the last
// subtest.
func (r *runner) missing(c *conformanceCase, has transport.Capabilities) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.has = has
	missing := c.missingFrom(has)
	if missing != "" {
		r.skipped = append(r.skipped, c.name+": needs "+missing)
	}
	return missing
}

func claimsEverything(has transport.Capabilities) bool {
	return has.MaxPayload > 0 && has.Logs && has.Delays && has.Partitions && has.Durable
}

func (c *conformanceCase) missingFrom(has transport.Capabilities) string {
	if c.missing == nil {
		return ""
	}
	return c.missing(has)
}
