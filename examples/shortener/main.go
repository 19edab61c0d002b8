// Shortener is a link shortener: links with an expiry in a bucket, changes by revision,
// statistics from events, and a web page. It serves until a signal.
//
//	go run ./examples/shortener              # in memory, on http://127.0.0.1:8080
//	go run ./examples/shortener -store DIR   # embedded NATS, whose store in DIR keeps the links
//	go run ./examples/shortener -tour        # make a link, visit it, print the answers, and end
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"gomono.dev/examples/shortener/modules/links"
	"gomono.dev/examples/shortener/modules/stats"
	"gomono.dev/examples/shortener/modules/web"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// settings are the command line.
type settings struct {
	listen, store string
	tour          bool
}

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "shortener:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, err := parse(args, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tr, err := set.connect(ctx, logger)
	if err != nil {
		return err
	}
	app := mono.New(tr, mono.Logger(logger)).Add(&links.Module{}, &stats.Module{})
	site := &web.Module{Addr: set.listen}
	app.Add(site)
	if set.tour {
		return tour(ctx, app, site, stdout)
	}
	site.Serving = func(url string) { fmt.Fprintln(stdout, "serving on", url) }
	return app.Run(ctx)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("shortener", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&set.listen, "listen", "127.0.0.1:8080", "address to serve HTTP on")
	flags.StringVar(&set.store, "store", "", "directory of the embedded server's store (default: in memory)")
	flags.BoolVar(&set.tour, "tour", false, "make a link, visit it, print the answers, and end")
	if err := flags.Parse(args); err != nil {
		return set, err
	}
	if flags.NArg() > 0 {
		return set, fmt.Errorf("unexpected argument %q: shortener takes flags only, see -help", flags.Arg(0))
	}
	if set.tour {
		set.listen = "127.0.0.1:0"
	}
	return set, nil
}

// connect is the only place that knows the transport.
func (set settings) connect(ctx context.Context, logger *slog.Logger) (transport.Transport, error) {
	if set.store == "" {
		return inproc.New(inproc.Options{}), nil
	}
	return embedded.Open(ctx, embedded.Options{Dir: set.store, Logger: logger})
}
