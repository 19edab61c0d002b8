package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// The example shows what it says, on both transports, in under ten seconds.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"inproc", "embedded"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var out bytes.Buffer
			if err := run(ctx, kind, &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range []string{
				`sent "news" to ada@example.com at attempt 1`,
				`sent "news" to busy@example.com at attempt 2`,
				`sent "a second later" to ada@example.com at attempt 1`,
				"dead: dropped after 1 attempts: nobody to send it to",
				"dead: attempts after 3 attempts: mailbox is full",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
			if n := strings.Count(out.String(), `mended and replayed: sent "news" to grace@example.com`); n != 2 {
				t.Errorf("%d mails were mended, want 2", n)
			}
		})
	}
}
