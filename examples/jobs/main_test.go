package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

// patience suits a machine that is many times slower than usual.
const patience = 3 * time.Minute

// The example prints the expected lines, in memory and on NATS.
func TestJobs(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*testing.T, func(*testing.T, *testkit.Harness), ...testkit.Option){
		"in memory": testkit.Run, "on NATS": natstest.Run,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, shows)
		})
	}
}

func shows(t *testing.T, h *testkit.Harness) {
	done := make(chan sent, 10)
	h.Add(mailer(done))
	h.MustStart()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out bytes.Buffer
	if err := show(ctx, h, &out, done); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`sent "news" to ada@example.com at attempt 1`,
		`sent "news" to busy@example.com at attempt 2`,
		`sent "a second later" to ada@example.com at attempt 1`,
		"dead: permanent after 1 attempts: no recipient",
		"dead: attempts after 3 attempts: mailbox is full",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), `edited and replayed: sent "news" to grace@example.com`); n != 2 {
		t.Errorf("%d mails were edited, want 2", n)
	}
	dead := testkit.DeadLettered(h, Mails)
	if len(dead) != 2 || dead[0].Value.To != "" || dead[1].Attempts != 3 || dead[1].At < 500*time.Millisecond {
		t.Errorf("dead: %+v", dead)
	}
}

// The program runs as it does from a shell.
func TestProgram(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := run(ctx, "inproc", io.Discard); err != nil {
		t.Error(err)
	}
}
