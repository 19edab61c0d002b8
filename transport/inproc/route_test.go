package inproc_test

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

// member is a subscription and the messages that it received. Once it is drained, got may
// be read.
type member struct {
	pattern, group string
	receiver       transport.Receiver
	from           int // the first message that was published while it was in force
	until          int // the first that was published after
	got            []int
}

// For any order of subscriptions, ends and publishes, every message goes to the
// subscriptions that transport.Match selects, in order: once to each plain subscription
// and once to each group.
func TestRoutesAgreeWithMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr := inproctest.NewBackend(inproctest.Options{Seed: rapid.Uint64().Draw(t, "seed")}).Connect()
		defer tr.Close(t.Context())
		var members []*member
		var subjects []string
		inForce := func() []*member {
			return slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.until >= 0 })
		}
		end := func(m *member) {
			if err := m.receiver.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.until = len(subjects)
		}
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				m := &member{pattern: drawPattern(t), group: rapid.SampledFrom([]string{"", "", "g", "h"}).Draw(t, "group"), from: len(subjects), until: -1}
				r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: m.pattern, Group: m.group}, transport.Serial(func(msg *transport.Message) {
					n, _ := strconv.Atoi(string(msg.Body))
					m.got = append(m.got, n)
				}))
				if err != nil {
					t.Fatal(err)
				}
				m.receiver = r
				members = append(members, m)
			},
			"end": func(t *rapid.T) {
				if rest := inForce(); len(rest) > 0 {
					end(rapid.SampledFrom(rest).Draw(t, "member"))
				}
			},
			"publish": func(t *rapid.T) {
				subject := strings.Join(rapid.SliceOfN(token, 1, 4).Draw(t, "subject"), ".")
				if err := tr.Publish(t.Context(), &transport.Message{Subject: subject, Body: []byte(strconv.Itoa(len(subjects)))}); err != nil {
					t.Fatal(err)
				}
				subjects = append(subjects, subject)
			},
		})
		for _, m := range inForce() {
			end(m)
		}
		for n, subject := range subjects {
			checkRoute(t, members, n, subject)
		}
		for _, m := range members {
			if !slices.IsSorted(m.got) {
				t.Errorf("%s of group %q got %v", m.pattern, m.group, m.got)
			}
		}
	})
}

// checkRoute fails unless message n went to exactly the members that should get it.
func checkRoute(t *rapid.T, members []*member, n int, subject string) {
	want, got := make(map[string]int), make(map[string]int)
	for i, m := range members {
		key := "group " + m.group
		if m.group == "" {
			key = "plain " + strconv.Itoa(i)
		}
		matches := m.from <= n && n < m.until && transport.Match(m.pattern, subject)
		for _, id := range m.got {
			if id != n {
				continue
			}
			got[key]++
			if !matches {
				t.Errorf("message %d on %q went to %q", n, subject, m.pattern)
			}
		}
		if matches {
			want[key] = 1
		}
	}
	for key := range want {
		if got[key] != 1 {
			t.Errorf("message %d on %q went to %s %d times", n, subject, key, got[key])
		}
	}
}

var token = rapid.SampledFrom([]string{"a", "b", "_INBOX"})

func drawPattern(t *rapid.T) string {
	tokens := rapid.SliceOfN(rapid.OneOf(token, rapid.Just("*")), 1, 4).Draw(t, "pattern")
	if rapid.Bool().Draw(t, "rest") {
		tokens[len(tokens)-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// There are more subjects than the cache holds: dropped routes are found again.
func TestManySubjects(t *testing.T) {
	t.Parallel()
	const n = 20_000
	tr := inproc.New(inproc.Options{})
	defer tr.Close(t.Context())
	gotAll, gotOne := 0, 0
	all := subscribe(t, tr, "keys.*", func(*transport.Message) { gotAll++ })
	one := subscribe(t, tr, "keys.7", func(*transport.Message) { gotOne++ })
	for round := range 2 {
		for i := range n {
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "keys." + strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			if err := one.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := all.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gotAll != 2*n || gotOne != 1 {
		t.Errorf("%d and %d messages arrived, want %d and 1", gotAll, gotOne, 2*n)
	}
}

// A subscription to everything receives replies too, as on NATS; and the requester still
// gets its reply.
func TestRepliesAreMessages(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	defer tr.Close(t.Context())
	var seen []string
	all := subscribe(t, tr, ">", func(m *transport.Message) { seen = append(seen, m.Subject) })
	subscribe(t, tr, "a", func(m *transport.Message) {
		if err := tr.Publish(t.Context(), &transport.Message{Subject: m.Reply}); err != nil {
			t.Error(err)
		}
	})
	reply, err := tr.Request(t.Context(), &transport.Message{Subject: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := all.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", reply.Subject}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	picks := func(seed uint64) string {
		tr := inproctest.NewBackend(inproctest.Options{Seed: seed}).Connect()
		defer tr.Close(t.Context())
		by := make([]byte, 64)
		var members []transport.Receiver
		for _, name := range "abc" {
			r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "x", Group: "g"}, transport.Serial(func(m *transport.Message) { by[m.Body[0]] = byte(name) }))
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, r)
		}
		for i := range by {
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "x", Body: []byte{byte(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range members {
			if err := r.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return string(by)
	}
	if one, again := picks(1), picks(1); one != again {
		t.Errorf("the same seed picked\n%s and\n%s", one, again)
	}
	if one, two := picks(1), picks(2); one == two {
		t.Errorf("two seeds both picked %s", one)
	}
	if one, two := picks(0), picks(0); one == two {
		t.Errorf("a random seed picked %s twice", one)
	}
}

// Members of a group come and go, each before the last one leaves. A publisher that found
// only leaving members finds the new one. This applies to replies too.
func TestGroupHandsOver(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"a", "_INBOX.of.a.group"} {
		tr := inproc.New(inproc.Options{})
		defer tr.Close(t.Context())
		var got atomic.Int64
		join := func() transport.Receiver {
			r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: subject, Group: "g"}, transport.Serial(func(*transport.Message) { got.Add(1) }))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		const n = 5000
		last := join()
		published := make(chan struct{})
		go func() {
			defer close(published)
			for range n {
				if err := tr.Publish(t.Context(), &transport.Message{Subject: subject}); err != nil {
					t.Error(err)
				}
			}
		}()
		for range 300 {
			next := join()
			if err := last.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			last = next
		}
		<-published
		if err := last.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := tr.Publish(t.Context(), &transport.Message{Subject: subject}); err != nil {
			t.Error(err)
		}
		if got.Load() != n {
			t.Errorf("%s: %d messages of %d were handled", subject, got.Load(), n)
		}
	}
}
