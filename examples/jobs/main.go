// Jobs shows how a queue handles failing work: it retries, delays jobs until their time, makes
// dead letters of hopeless ones, and lets a person edit and replay these.
//
//	go run ./examples/jobs                    # embedded NATS, in memory
//	go run ./examples/jobs -transport inproc
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// Mail is a mail to be sent.
type Mail struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

// Mails are sent at most three times, a quarter of a second apart.
var Mails = mono.NewQueue[Mail]("jobs.mails", mono.MaxAttempts(3), mono.Backoff(mono.Constant(250*time.Millisecond)))

// sent reports a sent mail to the main function.
type sent struct {
	mail    Mail
	attempt int
}

func main() {
	kind := flag.String("transport", "embedded", "embedded or inproc")
	flag.Parse()
	if err := run(context.Background(), *kind, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kind string, out io.Writer) (err error) {
	tr, err := connect(ctx, kind)
	if err != nil {
		return err
	}
	done := make(chan sent, 10)
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler))).Add(mailer(done))
	if err := app.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Stop(ctx)) }()
	return show(ctx, app, out, done)
}

func connect(ctx context.Context, kind string) (transport.Transport, error) {
	if kind == "inproc" {
		return inproc.New(inproc.Options{}), nil
	}
	return embedded.Open(ctx, embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
}

// mailer is the module that sends mails.
func mailer(done chan<- sent) mono.Module {
	return mono.NewModule("mailer", func(s *mono.Scope) error {
		Mails.Handle(s, func(ctx context.Context, m Mail) error { return send(ctx, m, done) })
		return nil
	})
}

// send is the worker. Its result decides what happens to the job.
func send(ctx context.Context, m Mail, done chan<- sent) error {
	attempt := mono.CallFrom(ctx).Attempt()
	switch {
	case m.To == "":
		return mono.Permanent(errors.New("no recipient"))
	case m.To == "busy@example.com" && attempt == 1:
		return errors.New("mailbox is busy")
	case m.To == "full@example.com":
		return errors.New("mailbox is full")
	}
	done <- sent{m, attempt}
	return nil
}

func show(ctx context.Context, app mono.Binder, out io.Writer, done <-chan sent) error {
	began := time.Now()
	printLine := func(format string, args ...any) {
		fmt.Fprintf(out, "%4.1fs  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
	}
	if err := Mails.With(mono.Delay(time.Second)).Enqueue(ctx, app, Mail{To: "ada@example.com", Text: "a second later"}); err != nil {
		return err
	}
	for _, to := range []string{"ada@example.com", "busy@example.com", "full@example.com", ""} {
		if err := Mails.Enqueue(ctx, app, Mail{To: to, Text: "news"}); err != nil {
			return err
		}
	}
	printLine("five mails are queued")
	for range 3 {
		s := <-done
		printLine("sent %q to %s at attempt %d", s.mail.Text, s.mail.To, s.attempt)
	}
	letters, err := twoDeadLetters(ctx, app)
	if err != nil {
		return err
	}
	dead := Mails.DeadLetters(app)
	for _, l := range letters {
		printLine("dead: %s after %d attempts: %s", l.Reason, l.Attempts, l.Error)
		edited, err := dead.Edit(ctx, l, Mail{To: "grace@example.com", Text: "news"})
		if err != nil {
			return err
		}
		if err := dead.Replay(ctx, edited); err != nil {
			return err
		}
		s := <-done
		printLine("edited and replayed: sent %q to %s", s.mail.Text, s.mail.To)
	}
	return nil
}

// twoDeadLetters waits until two mails are dead letters.
func twoDeadLetters(ctx context.Context, app mono.Binder) ([]mono.DeadLetter[Mail], error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var letters []mono.DeadLetter[Mail]
		for l, err := range Mails.DeadLetters(app).List(ctx, mono.DeadLetterFilter{}) {
			if err != nil {
				return nil, err
			}
			letters = append(letters, l)
		}
		if len(letters) == 2 {
			return letters, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
