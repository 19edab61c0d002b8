package inproc_test

import (
	"fmt"
	"testing"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// remove deletes group "g" through a Transport that does not declare it.
func remove(t *testing.T, b *inproc.Backend) {
	t.Helper()
	undeclared := jobs
	undeclared.Groups = nil
	if err := open(t, connect(t, b), undeclared).DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
}

// A deleted group is recreated at once, and no later message is lost, whether published,
// appended or delayed.
func TestDeletedGroupLosesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, b *inproc.Backend) {
		tr := connect(t, b)
		l := open(t, tr, jobs)
		store(t, l, "jobs.a", "before", transport.AppendOptions{})
		store(t, l, "jobs.a", "delayed", transport.AppendOptions{NotBefore: time.Now().Add(time.Minute)})
		remove(t, b)
		store(t, l, "jobs.a", "appended", transport.AppendOptions{})
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "jobs.b", Body: []byte("published")}); err != nil {
			t.Fatal(err)
		}
		w := work(t, l, ofG(10))
		advance(time.Hour)
		var bodies []string
		for _, d := range w.got() {
			bodies = append(bodies, string(d.Body))
		}
		if got := fmt.Sprint(bodies); got != "[appended published delayed]" {
			t.Errorf("got %s", got)
		}
	})
}

// A group is recreated only while a Transport that declares it is open.
func TestDeletedGroupOfAClosedTransportIsGone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*inproc.Transport){
		"closed": func(tr *inproc.Transport) { _ = tr.Close(t.Context()) },
		"killed": func(tr *inproc.Transport) { tr.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(t *testing.T, b *inproc.Backend) {
				one, two := connect(t, b), connect(t, b)
				open(t, one, jobs)
				open(t, two, jobs)
				remove(t, b)
				end(one)
				remove(t, b)
				end(two)
				remove(t, b)
				l := open(t, connect(t, b), transport.LogConfig{Name: jobs.Name, Subjects: jobs.Subjects})
				if groups, err := l.Groups(t.Context()); err != nil || len(groups) != 0 {
					t.Errorf("got groups %+v, %v, want none", groups, err)
				}
			})
		})
	}
}

// The members of a deleted group join again in an order that the seed determines.
func TestSameSeedSameStepsAfterADeletion(t *testing.T) {
	t.Parallel()
	rejoining := func(t *testing.T, b *inproc.Backend) {
		var logs []transport.Log
		for range 4 {
			l := open(t, connect(t, b), jobs)
			logs = append(logs, l)
			var join func(error)
			join = func(error) {
				c := ofG(1)
				c.OnEnd = func(err error) { go join(err) }
				if _, err := l.Consume(t.Context(), c, transport.Serial(func(d *transport.Delivery) { _ = d.Ack(t.Context()) })); err != nil {
					t.Error(err)
				}
			}
			join(nil)
		}
		for round := range 3 {
			remove(t, b)
			settle(t, b)
			for n := range 8 {
				store(t, logs[n%len(logs)], fmt.Sprintf("jobs.%d", n), fmt.Sprint(round), transport.AppendOptions{})
			}
			settle(t, b)
		}
	}
	for seed := uint64(1); seed <= 3; seed++ {
		first := steps(t, seed, rejoining)
		for range 20 {
			again := steps(t, seed, rejoining)
			if i := differ(first, again); i >= 0 {
				t.Fatalf("step %d differs:\n%s\n\n%s", i, words(first), words(again))
			}
		}
	}
}
