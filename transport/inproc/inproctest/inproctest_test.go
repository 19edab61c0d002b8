package inproctest_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

var jobs = transport.LogConfig{
	Name: "jobs", Subjects: []string{"jobs.>"}, Retention: transport.InterestRetention, Delays: true,
	Groups: []transport.GroupConfig{{Name: "g"}},
}

// bubble runs a test in virtual time with a new Backend.
func bubble(t *testing.T, o inproctest.Options, body func(*testing.T, *inproctest.Backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { body(t, inproctest.NewBackend(o)) })
}

// connect returns a Transport that is closed after the test.
func connect(t testing.TB, b *inproctest.Backend) *inproc.Transport {
	tr := b.Connect()
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

func subscribe(t testing.TB, tr transport.Transport, pattern string, h func(*transport.Message)) {
	t.Helper()
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: pattern}, transport.Serial(h)); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, tr transport.Transport, c transport.LogConfig) transport.Log {
	t.Helper()
	l, err := tr.Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func store(t testing.TB, l transport.Log, subject, body string, o transport.AppendOptions) {
	t.Helper()
	if _, err := l.Append(t.Context(), &transport.Message{Subject: subject, Body: []byte(body)}, o); err != nil {
		t.Fatal(err)
	}
}
