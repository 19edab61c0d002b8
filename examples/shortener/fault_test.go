package main

import (
	"testing"
	"time"

	contract "gomono.dev/examples/shortener/links"
	"gomono.dev/examples/shortener/modules/links"
	"gomono.dev/examples/shortener/modules/stats"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// The answer of the store to a new link, to its change and to its count is lost. Each took
// effect once, and its client learns that.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		made := testkit.FaultBucket(h, links.Bucket, testkit.AmbiguousSend).Times(2)
		testkit.FaultBucket(h, stats.Bucket, testkit.AmbiguousSend)
		c := system(t, h)
		etag := c.want(201, "POST", "/links", golang).Header().Get("ETag")
		c.want(200, "PUT", "/links/golang", `{"url":"https://pkg.go.dev/"}`, "If-Match", etag)
		c.leadsTo("golang", "https://pkg.go.dev/")
		h.Advance(time.Second)
		c.visits("golang", 1)
		if n := made.Triggered(); n != 2 {
			t.Errorf("%d answers were lost", n)
		}
	})
}

// A write that never reached the store is an error, and can be repeated.
func TestLostWrites(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultBucket(h, links.Bucket, testkit.Drop).When(testkit.Writes)
		testkit.FaultBucket(h, stats.Bucket, testkit.Drop).When(testkit.Writes)
		c := system(t, h)
		c.want(503, "POST", "/links", golang)
		c.want(404, "GET", "/golang", "")
		c.want(201, "POST", "/links", golang)
		c.leadsTo("golang", "https://go.dev/")
		h.Advance(time.Minute)
		c.visits("golang", 1)
	})
}

// The process crashes after it has stored a link, before its client has an answer. The link is
// there.
func TestCrashAfterTheLinkIsStored(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultBucket(h, links.Bucket, testkit.Crash(testkit.AfterSend))
		c := system(t, h)
		c.want(503, "POST", "/links", golang)
		h.Settle()
		c.want(409, "POST", "/links", golang)
		c.leadsTo("golang", "https://go.dev/")
	})
}

// The process crashes after it has counted a visit, before the store knows. The visit comes
// again, and is recognized.
func TestCrashAfterTheCount(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]testkit.Fault{
		"before": testkit.Crash(testkit.BeforeSend), "after": testkit.Crash(testkit.AfterSend),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				testkit.FaultBucket(h, stats.Bucket, f)
				c := system(t, h)
				c.want(201, "POST", "/links", golang)
				c.send("GET", "/golang", "") // the crash may come before the answer
				h.Advance(time.Minute)
				c.visits("golang", 1)
				if n := len(testkit.Consumed(h, contract.Visited)); n != 2 {
					t.Errorf("the visit was handled %d times", n)
				}
			})
		})
	}
}

// A visitor is served although the visit cannot be counted.
func TestVisitorsComeFirst(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(contract.Visited, testkit.Fail(mono.ResourceExhausted)).Always()
		c := system(t, h)
		c.want(201, "POST", "/links", golang)
		c.leadsTo("golang", "https://go.dev/")
		c.visits("golang", 0)
	})
}

// Two machines share the links. A change on one is seen by the visitors of the other, whose
// caches follow the bucket.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		second := h.Instance()
		made := c.want(201, "POST", "/links", golang)
		for _, b := range []mono.Binder{h, second} {
			link, err := contract.Get.Call(t.Context(), b, contract.Name{Alias: "golang"})
			if err != nil || link.URL != "https://go.dev/" {
				t.Errorf("%+v: %v", link, err)
			}
		}
		c.want(200, "PUT", "/links/golang", `{"url":"https://pkg.go.dev/"}`, "If-Match", made.Header().Get("ETag"))
		h.Settle()
		for range 10 { // by either machine
			c.leadsTo("golang", "https://pkg.go.dev/")
		}
		h.Advance(time.Second) // counts that conflict start anew
		c.visits("golang", 10)
	})
}

// Under every fault, a link that was promised remains, and no visit counts twice.
func TestAnySchedule(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 60, func(t testing.TB, h *testkit.Harness) {
		for _, f := range []testkit.Fault{testkit.AmbiguousSend, testkit.Drop, testkit.Crash(testkit.AnyPoint), testkit.Stale} {
			h.FaultEverywhere(f).Sometimes(0.03).Times(2)
		}
		c := system(t, h)
		promised := c.send("POST", "/links", golang).Code == 201
		h.Settle()
		visits := 0
		for range 5 {
			code := c.send("GET", "/golang", "").Code
			if code == 404 && promised {
				t.Errorf("the link is lost")
			}
			if code != 404 {
				visits++
			}
			h.Settle()
		}
		h.Advance(5 * time.Minute)
		e, err := testkit.Bucket(h, links.Bucket).Get(t.Context(), "golang")
		if err != nil {
			if promised {
				t.Errorf("the link is lost: %v", err)
			}
			return
		}
		counter, err := testkit.Bucket(h, stats.Bucket).Get(t.Context(), e.Value.ID)
		if counter.Value.Visits > visits {
			t.Errorf("%d of at most %d visits are counted: %v", counter.Value.Visits, visits, err)
		}
	}).MustPass()
}
