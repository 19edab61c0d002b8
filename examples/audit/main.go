// Audit makes keys for audit logs, and verifies a log on a NATS server:
//
//	audit -new-key example.com/audit/orders
//	audit -nats nats://127.0.0.1:4222 -key "$PUBLIC_KEY" -checkpoint orders.checkpoint
//
// The first verification reads the whole log and stores its checkpoint in the file. Each later
// one continues there, and finds out whether the log still has the history of that checkpoint.
// -whole reads everything nevertheless, and compares. The exit status is 1 if the log was changed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"

	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o audit.ReadOptions
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	origin := flags.String("new-key", "", "print new keys for a log with this `origin`, and exit")
	url := flags.String("nats", "nats://127.0.0.1:4222", "`URL` of the server")
	credentials := flags.String("credentials", "", "credentials `file`")
	file := flags.String("checkpoint", "", "`file` with the newest checkpoint that was verified")
	whole := flags.Bool("whole", false, "read the whole log, also before the checkpoint")
	flags.StringVar(&o.Key, "key", "", "public `key` of the log")
	flags.StringVar(&o.Name, "name", audit.DefaultName, "`name` of the log")
	flags.StringVar(&o.Namespace, "namespace", "", "`namespace` of the App that writes it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *origin != "" {
		return newKey(*origin, out)
	}
	tr, err := natsx.Connect(ctx, natsx.Options{URLs: []string{*url}, CredentialsFile: *credentials, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = tr.Close(context.Background()) }()
	return verify(ctx, tr, o, *file, *whole, out)
}

func newKey(origin string, out io.Writer) error {
	private, public, err := audit.GenerateKey(origin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "private: %s\npublic:  %s\n", private, public)
	return err
}

// verify verifies a log, and stores its checkpoint.
func verify(ctx context.Context, tr transport.Transport, o audit.ReadOptions, file string, whole bool, out io.Writer) error {
	if file != "" {
		saved, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		o.From = saved // nil: the whole log
	}
	is, err := audit.Verify(ctx, tr, o)
	if err != nil {
		return err
	}
	if whole && o.From != nil {
		o.From = nil
		all, err := audit.Verify(ctx, tr, o)
		if err != nil {
			return err
		}
		if all.Size < is.Size {
			return fmt.Errorf("the log has %d entries, and had %d", all.Size, is.Size)
		}
		is = all
	}
	if file != "" && len(is.Note) > 0 {
		if err := replace(file, is.Note); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%d entries verified\n%s", is.Size, is.Note)
	return err
}

// replace writes a file as a whole.
func replace(file string, content []byte) error {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content) {
		return nil
	}
	next := file + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}
