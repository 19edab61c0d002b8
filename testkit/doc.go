// Package testkit runs a whole system in a unit test, in memory and in virtual time: modules,
// calls, events, queues, streams and the buckets of package kv. A test declares faults, and gets the answer to every
// question at once.
//
//	func TestPlacePublishes(t *testing.T) {
//		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
//			h.Add(&orders.Module{})
//			testkit.Fake(h, payments.Charge, func(context.Context, payments.ChargeRequest) (payments.Receipt, error) {
//				return payments.Receipt{Number: "R-1"}, nil
//			})
//			h.MustStart()
//			if _, err := contract.Place.Call(t.Context(), h, order); err != nil {
//				t.Fatal(err)
//			}
//			testkit.RequirePublished(t, h, contract.Placed)
//		})
//	}
//
// # Guarantees
//
//  1. Time is virtual. It stands still while anything can happen without it. It passes
//     in [Harness.Advance], and while the test waits for something. The clock is
//     package time; a module needs no other.
//  2. After [Harness.Settle] nothing more can happen unless time passes. So an event
//     that has not happened by then does not happen.
//  3. A seed picks the next event among the possible ones. The same seed gives the same
//     history, as long as the modules depend only on their inputs. The seed is 1 unless
//     [Seed] or the flag -testkit.seed sets another.
//  4. Calls use the transport, as between two processes, so that faults can affect them
//     and the seed can order them. [LocalCalls] makes them local, as in production.
//  5. A test does not hang. A watchdog in real time ends it, and reports what each
//     goroutine waits for.
//  6. The test fails on a declared fault that was never triggered, a panic that was
//     contained, a handler that still runs at the end, a message whose handler has not
//     finished it, a goroutine that still runs, and an error of the stop.
//  7. [Harness.Crash] keeps what survives the end of a worker, buckets too, and
//     [Harness.RestartServer] keeps what survives the restart of a remote NATS server. Both
//     forget the same ids of messages as in production. Settled messages may repeat in
//     production, as with [LoseAck] and [Doubled]. docs/durability.md has a table.
//
// # Several programs
//
// [Harness.Program] adds a program beside the first one: another release, or another role. Each has its
// own modules, fakes, options and processes, and is started, stopped and crashed on its own. All of them
// share the server, the time, the faults and the history. [InProgram] narrows a fault to one of them.
//
//	v1, v2 := h.Program("v1", &old.Module{}), h.Program("v2", &orders.Module{})
//	v1.Options(mono.Generation(1))
//	v2.Options(mono.Generation(2))
//	v1.MustStart()
//	v2.MustStart() // both run, as during a deploy
//	v1.Stop()
//	v1.MustStart() // the roll-back
//	v2.Stop()
//
// # Buckets and stores
//
// [Bucket] opens a bucket of the system for the test, which looks inside or prepares it, before
// the start and after a crash too. Values expire in virtual time. [FaultBucket] declares a fault
// for writes and reads:
//
//	testkit.FaultBucket(h, Sessions, testkit.AmbiguousSend)
//	testkit.FaultBucket(h, Sessions, testkit.Fail(mono.Unavailable)).When(testkit.Reads, testkit.Key("ada"))
//
// [Objects] and [FaultObjects] do the same for a store of objects, at any chunk of a Put and at
// its end:
//
//	testkit.FaultObjects(h, Uploads, testkit.Crash(testkit.AfterSend)).When(testkit.Chunk(2))
//	testkit.FaultObjects(h, Uploads, testkit.AmbiguousSend).When(testkit.Key("report.pdf"))
//
// The history has the operations of the App and of the test, with the written keys and values.
//
// # Flags
//
//	-testkit.seed=N      run with this seed only
//	-testkit.runs=N      run each test with the seeds 1 to N
//	-testkit.watchdog=D  limit of one run, in real time (1m)
//	-testkit.update      rewrite the files of Golden
//
// Seeds that failed in several runs are kept in testdata/testkit, in a file for each
// test, and are tried first from then on. Remove a seed when it is no longer useful.
package testkit
