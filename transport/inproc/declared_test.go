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
	bubble(t, func(t *testing.T, b *inproc.Backend) {
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
			bubble(t, func(t *testing.T, b *inproc.Backend) {
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
