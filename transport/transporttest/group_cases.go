package transporttest

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"gomono.dev/transport"
)

var groupCases = []conformanceCase{
	{
		name:     "group/one-member",
		contract: "to every subscription without a group whose pattern matches, and to one member of each group.",
		rule:     "Publish hands the message to one member of each group.",
		body: func(s *suite) {
			got := s.newTally()
			for range 4 {
				got.join("a", "g")
			}
			got.publishAll("a", 200)
			got.wantEachOnce(200)
		},
	},
	{
		name:     "group/across-patterns",
		contract: "each message goes to one member whose pattern matches it, even if the patterns differ.",
		rule:     "Each message goes to one member whose pattern matches it, even if the patterns differ.",
		body: func(s *suite) {
			got := s.newTally()
			for _, pattern := range []string{"a.b", "a.*", "*.b", "a.>", ">"} {
				got.join(pattern, "g")
			}
			got.publishAll("a.b", 200)
			got.wantEachOnce(200)
		},
	},
	{
		name: "group/random",
		rule: "Members are picked at random.",
		body: func(s *suite) {
			const n, members = 3000, 3
			got := s.newTally()
			for range members {
				got.join("a", "g")
			}
			got.publishAll("a", n)
			by := got.wantEachOnce(n)
			count, cyclic := make(map[int]int), 0
			for i := range n {
				member := by[strconv.Itoa(i)]
				count[member]++
				if i >= members && member == by[strconv.Itoa(i-members)] {
					cyclic++
				}
			}
			for member := range members {
				if count[member] < n/members/2 {
					s.Errorf("shares are %v of %d", count, n)
				}
			}
			if cyclic > n*3/4 {
				s.Errorf("%d of %d messages went to the member that had the %d before: that is a cycle", cyclic, n, members)
			}
		},
	},
	{
		name:     "group/several",
		contract: "to every subscription without a group whose pattern matches, and to one member of each group.",
		rule:     "Publish hands the message to one member of each group.",
		body: func(s *suite) {
			var groups []*tally
			for _, group := range []string{"g", "h", "g-h"} {
				got := s.newTally()
				got.join("a", group)
				got.join("a", group)
				groups = append(groups, got)
			}
			for _, body := range numbers(100) {
				s.publish("a", body)
			}
			for _, got := range groups {
				got.wantEachOnce(100)
			}
		},
	},
	{
		name:     "group/beside-plain",
		contract: "to every subscription without a group whose pattern matches, and to one member of each group.",
		rule:     "Publish hands the message to every subscription without a group, and to one member of each group.",
		body: func(s *suite) {
			got := s.newTally()
			got.join("a", "g")
			got.join("a", "g")
			one, two := s.listen("a"), s.listen(">")
			bodies := numbers(100)
			for _, body := range bodies {
				s.publish("a", body)
			}
			one.want(bodies...)
			two.want(bodies...)
			got.wantEachOnce(100)
		},
	},
	{
		name:     "group/other-subjects",
		contract: "each message goes to one member whose pattern matches it, even if the patterns differ.",
		rule:     "Members whose pattern does not match receive nothing.",
		body: func(s *suite) {
			a, b := s.join("a", "g"), s.join("b", "g")
			bodies := numbers(50)
			for _, body := range bodies {
				s.publish("a", body)
			}
			a.wantOnly("a", bodies...)
			b.wantOnly("b")
		},
	},
	{
		name:     "group/order",
		contract: "Messages published by one goroutine on one Transport arrive at each subscription in the order in which they were published.",
		rule:     "Messages published by one goroutine arrive at each subscription in the order in which they were published, also at members of a group.",
		body: func(s *suite) {
			got := s.newTally()
			got.join("a", "g")
			got.join("a", "g")
			got.publishAll("a", 1000)
			got.wantEachOnce(1000)
			for member, bodies := range got.bodies {
				if !slices.IsSortedFunc(bodies, func(a, b string) int { return atoi(a) - atoi(b) }) {
					s.Errorf("member %d: %v", member, bodies)
				}
			}
		},
	},
	{
		name:     "group/member-closes",
		contract: "Close ends the subscription and drops the queued messages.",
		rule:     "A member that has ended receives nothing.",
		body: func(s *suite) {
			l := s.join("a", "g")
			for range 10 {
				other := s.join("a", "g")
				other.Close()
				s.publish("a", "x")
				l.want("x")
			}
		},
	},
	{
		name:     "group/member-drains",
		contract: "Drain stops new messages from arriving, lets the handler process the messages that had arrived",
		rule:     "Drain stops new messages from arriving and lets the handler process those that had arrived. While other members stay, nothing is lost.",
		body: func(s *suite) {
			got := s.newTally()
			got.join("a", "g")
			got.join("a", "g")
			leaving := got.join("a", "g")
			var draining sync.WaitGroup
			for i, body := range numbers(2000) {
				if i == 500 {
					draining.Go(func() {
						if err := leaving.Drain(s.patient()); err != nil {
							s.Errorf("Drain: %v", err)
						}
					})
				}
				s.publish("a", body)
			}
			draining.Wait()
			got.wantEachOnce(2000)
		},
	},
	{
		name:     "group/request",
		contract: "shares the messages among all subscriptions with the same group name: each message goes to one member whose pattern matches it",
		rule:     "Request publishes the message: one member of the group replies.",
		body: func(s *suite) {
			got := s.newTally()
			got.join("a", "g")
			got.join("a", "g")
			for _, body := range numbers(50) {
				if reply := s.request("a", body); reply != body {
					s.Fatalf("got %q, want %q", reply, body)
				}
			}
			got.wantEachOnce(50)
		},
	},
}

// tally counts the messages of the members of one group, and replies to requests.
type tally struct {
	s         *suite
	receivers []transport.Receiver

	mu      sync.Mutex
	changed chan struct{} // holds a value if a message has come since the last look
	total   int
	bodies  map[int][]string // by member, in order
}

func (s *suite) newTally() *tally {
	return &tally{s: s, changed: make(chan struct{}, 1), bodies: make(map[int][]string)}
}

func (t *tally) join(rest, group string) transport.Receiver {
	t.s.Helper()
	member := len(t.receivers)
	r := t.s.subscribe(transport.Subscription{Subject: t.s.subject(rest), Group: group}, func(m *transport.Message) {
		t.add(member, string(m.Body))
		t.s.reply(m, string(m.Body))
	})
	t.receivers = append(t.receivers, r)
	return r
}

func (t *tally) add(member int, body string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	t.bodies[member] = append(t.bodies[member], body)
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

func (t *tally) publishAll(rest string, n int) {
	t.s.Helper()
	for _, body := range numbers(n) {
		t.s.publish(rest, body)
	}
}

// wantEachOnce waits for n messages, and drains all members so that extra messages show.
// It fails unless each number up to n went to one member, once. It returns the member of
// each.
func (t *tally) wantEachOnce(n int) map[string]int {
	t.s.Helper()
	for t.count() < n {
		await(t.s, t.changed, fmt.Sprintf("%d messages", n))
	}
	for _, r := range t.receivers {
		t.s.drain(r)
	}
	by := make(map[string]int)
	for member, bodies := range t.bodies {
		for _, body := range bodies {
			if other, twice := by[body]; twice {
				t.s.Fatalf("message %s went to members %d and %d", body, other, member)
			}
			by[body] = member
		}
	}
	for _, body := range numbers(n) {
		if _, ok := by[body]; !ok {
			t.s.Fatalf("message %s went to no member", body)
		}
	}
	if len(by) != n {
		t.s.Fatalf("got %d messages, want %d", len(by), n)
	}
	return by
}

func atoi(number string) int {
	n, _ := strconv.Atoi(number)
	return n
}
