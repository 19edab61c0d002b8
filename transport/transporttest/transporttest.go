// Package transporttest holds a [transport.Transport] to what package transport
// promises.
//
// A backend's test is a constructor and one call:
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transport.Transport {
//			return mybackend.New(nil)
//		})
//	}
//
// A case has a name, the sentence of the seam that it pins, and a rule: what of the
// sentence it is about. Both are printed when the case fails. Cases run one after another in the order of the
// seam's comments, each on a Transport of its own that is closed behind it. Those
// about logs, below the subtest "log", run side by side, since the shortest times
// that a log knows are seconds. Nothing in them depends on how fast a backend is:
// they wait for what must happen, and show that something does not happen by what
// comes after it. A case that fails in real time while a heartbeat measured that the
// machine stood still is run again, at most one in ten.
//
// Of logs, each case has one with a name and subjects of its own. They stay
// behind: the seam cannot delete a log.
//
// Of a backend the suite asks one thing that package transport does not: when Ping
// has returned, what the Transport published before has arrived at its own
// subscriptions. Every backend that keeps the order of one connection does that.
//
// Cases that need what a backend cannot do, by its Capabilities, are skipped and
// say why. The last subtest, "skipped", lists them, and fails for a backend that
// says it can do everything.
package transporttest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
)

// Run runs every case as a subtest of t. newTransport makes a connected Transport;
// all of them may use one server, since each case has subjects of its own. What a
// Transport leaves behind is for t.Cleanup of the test that it is given.
func Run(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, inRounds())
}

// RunInBubble is Run with every case in a testing/synctest bubble of its own. It
// is for backends that hold still in one: nothing in them waits for the network.
// A goroutine that is blocked for good after the Transport was closed is a
// deadlock, which synctest reports.
func RunInBubble(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, inBubble)
}

// conformanceCase is one row of the suite.
type conformanceCase struct {
	name string

	// seam is a sentence of the comments of package transport, or a part of one,
	// word by word; "" when rule is that.
	seam string

	// rule says what of it this case pins.
	rule string

	// missing says what the case needs and the backend lacks; "" is nothing. A nil
	// one is for every backend.
	missing func(transport.Capabilities) string

	body func(*suite)
}

// cases are all rows, in the order in which they run.
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

// logCases are the rows about logs, in the order in which they begin.
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
			oneLaneCases,
			readCases,
			logCloseCases,
		)),
		needing("Lanes", func(has transport.Capabilities) bool { return has.Logs && has.Lanes }, slices.Concat(laneCases, recreatedLaneCases)),
		needing("Delays", func(has transport.Capabilities) bool { return has.Logs && has.Delays }, delayedCases),
	)
}

// needing returns the cases with a capability as what they need; one that says
// itself what is missing is asked too.
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

// around runs a case: it calls body, perhaps again, with the test and with the
// testing.TB on which the case reports.
type around func(test *testing.T, body func(*testing.T, testing.TB))

func inBubble(test *testing.T, body func(*testing.T, testing.TB)) {
	synctest.Test(test, func(t *testing.T) { body(t, t) })
}

// spoils is the shortest stall that can make a case fail: a member tells four times
// per AckWait that it lives, and misses one of these.
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

// table runs cases side by side.
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
			if c.seam != "" {
				t.Logf("package transport: %q", c.seam)
			}
		})
		c.body(s)
	})
	if missing != "" {
		t.Skip("needs " + missing)
	}
}

// reportSkipped lists what was skipped. A backend that says it can do everything
// may skip nothing.
func (r *runner) reportSkipped(t *testing.T) {
	report := t.Log
	if claimsEverything(r.has) {
		report = t.Error
	}
	for _, s := range r.skipped {
		report(s)
	}
}

// missing returns what a case needs and a backend lacks, and keeps it for the last
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
	return has.MaxPayload > 0 && has.Logs && has.Delays && has.Lanes && has.Durable
}

func (c *conformanceCase) missingFrom(has transport.Capabilities) string {
	if c.missing == nil {
		return ""
	}
	return c.missing(has)
}
