// Package testkit runs a whole system in a unit test, in memory and in virtual
// time: modules, calls, events, queues and streams, with faults where the test
// wants them, and every question answered at once.
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
//  1. Time is virtual. It stands still while anything can happen without it, and
//     passes in [Harness.Advance], or while the test waits for something. The clock
//     is package time; a module needs no other.
//  2. After [Harness.Settle] nothing can happen any more unless time passes, so what
//     has not happened by then does not happen.
//  3. The order of what could happen next is picked by a seed: the same seed gives
//     the same history, as long as the modules depend on nothing but what they get.
//     The seed is 1 unless [Seed] or the flag -testkit.seed says another.
//  4. Calls cross the transport, as between two processes, so that a fault can meet
//     them and the seed can order them; [HomeCalls] keeps them within the App, as in
//     production.
//  5. A test does not hang. A watchdog in real time ends it, and says who waits for
//     what.
//  6. A fault that was declared and not met, a panic that was contained, a handler
//     that still runs at the end, a message whose handler is not done with it, a
//     goroutine that is left over and an error of the stop fail the test.
//  7. [Harness.Crash] and [Harness.RestartServer] keep what the end of a worker and of a
//     NATS server elsewhere keeps, and forget the same ids of messages. Settled messages
//     may repeat in production, as with [LoseAck] and [Doubled]. docs/durability.md has a
//     table.
//
// # Flags
//
//	-testkit.seed=N      run with this seed only
//	-testkit.runs=N      run each test with the seeds 1 to N
//	-testkit.watchdog=D  how long one run may take, in real time (1m)
//	-testkit.update      write the files of Golden anew
//
// Seeds that failed in several runs are kept in testdata/testkit, a file for each
// test, and are tried first from then on. Remove one when it has no more to tell.
package testkit
