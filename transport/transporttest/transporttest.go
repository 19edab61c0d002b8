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
// A case has a name, and a rule: the sentence of the seam that it pins, which is
// printed when the case fails. Cases run one after another in the order of the
// seam's comments, each on a Transport of its own that is closed behind it.
// Nothing in them depends on how fast a backend is: they wait for what must
// happen, and show that something does not happen by what comes after it.
//
// Of a backend the suite asks one thing that package transport does not: when Ping
// has returned, what the Transport published before has arrived at its own
// subscriptions. Every backend that keeps the order of one connection does that.
//
// Cases that need what a backend cannot do, by its Capabilities, do not run. The
// last subtest, "skipped", logs which and why.
package transporttest

import (
	"slices"
	"testing"
	"testing/synctest"

	"gomono.dev/transport"
)

// Run runs every case as a subtest of t. newTransport makes a connected Transport;
// all of them may use one server, since each case has subjects of its own. What a
// Transport leaves behind is for t.Cleanup of the test that it is given.
func Run(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, func(t *testing.T, body func(*testing.T)) { body(t) })
}

// RunInBubble is Run with every case in a testing/synctest bubble of its own. It
// is for backends that hold still in one: nothing in them waits for the network.
// A goroutine that is blocked for good after the Transport was closed is a
// deadlock, which synctest reports.
func RunInBubble(t *testing.T, newTransport func(t *testing.T) transport.Transport) {
	run(t, newTransport, synctest.Test)
}

// conformanceCase is one row of the suite.
type conformanceCase struct {
	name string
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
		closeCases,
		concurrencyCases,
	)
}

func run(t *testing.T, newTransport func(*testing.T) transport.Transport, around func(*testing.T, func(*testing.T))) {
	var skipped []string
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			around(t, func(t *testing.T) {
				s := newSuite(t, newTransport(t))
				if missing := c.missingFrom(s.Capabilities()); missing != "" {
					skipped = append(skipped, c.name+": needs "+missing)
					return
				}
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("rule: %s", c.rule)
					}
				})
				c.body(s)
			})
		})
	}
	t.Run("skipped", func(t *testing.T) {
		for _, s := range skipped {
			t.Log(s)
		}
	})
}

func (c conformanceCase) missingFrom(has transport.Capabilities) string {
	if c.missing == nil {
		return ""
	}
	return c.missing(has)
}
