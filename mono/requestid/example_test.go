package requestid_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport/inproc"
)

var greet = mono.NewService[string, string]("example.greet")

func Example() {
	log := slog.New(requestid.LogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	app := mono.New(inproc.New(inproc.Options{}), requestid.Propagate(), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Add(mono.NewModule("greeter", func(s *mono.Scope) error {
		greet.Handle(s, func(ctx context.Context, name string) (string, error) {
			log.InfoContext(ctx, "greeted", "name", name)
			return "Hello, " + name, nil
		})
		return nil
	}))
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Stop(context.Background())

	server := requestid.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		greeting, err := greet.Call(r.Context(), app, r.FormValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, greeting)
	}))
	request := httptest.NewRequest(http.MethodGet, "/?name=Ada", nil)
	request.Header.Set("X-Request-ID", "7f3a")
	response := httptest.NewRecorder()
	server.ServeHTTP(response, request)
	fmt.Println(response.Body, response.Header())
	// Output:
	// level=INFO msg=greeted name=Ada request_id=7f3a
	// Hello, Ada map[Content-Type:[text/plain; charset=utf-8] X-Request-Id:[7f3a]]
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}
