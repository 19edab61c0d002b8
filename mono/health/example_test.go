package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/health"
	"gomono.dev/transport/inproc"
)

// shop is a module with a health check.
type shop struct{ err error }

func (*shop) Name() string                     { return "shop" }
func (*shop) Bind(*mono.Scope) error           { return nil }
func (m *shop) Health(_ context.Context) error { return m.err }

func Example() {
	probes := health.New()
	app := mono.New(inproc.New(inproc.Options{}), mono.DrainDelay(time.Millisecond), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Plugin("health", probes)
	app.Add(&shop{errors.New("no goods")})

	server := httptest.NewServer(probes) // of its own, before the start: it serves at any time
	defer server.Close()
	probe := func(path string) {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		fmt.Printf("%s: %d\n%s", path, resp.StatusCode, body)
	}
	probe("/readyz")
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	probe("/livez")
	probe("/readyz?verbose")
	probe("/readyz/transport")
	probe("/readyz?exclude=module/shop")
	if err := app.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	probe("/readyz?verbose")
	// Output:
	// /readyz: 503
	// [-]app failed
	// readyz check failed
	// /livez: 200
	// ok
	// /readyz?verbose: 503
	// [+]app ok
	// [+]transport ok
	// [+]module/health ok
	// [-]module/shop failed: no goods (no success yet)
	// readyz check failed
	// /readyz/transport: 200
	// ok
	// /readyz?exclude=module/shop: 200
	// ok
	// /readyz?verbose: 503
	// [-]app failed: the App is stopped
	// readyz check failed
}

// A client of the transport asks the service for the JSON of /readyz.
func ExampleReady() {
	jobs := mono.NewQueue[string]("shop.jobs")
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Plugin("health", health.New(health.MaxLag(jobs, 100)))
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		jobs.Handle(s, func(context.Context, string) error { return nil })
		return nil
	}))
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Stop(context.Background())
	report, err := health.Ready.Call(context.Background(), app, struct{}{})
	if err != nil {
		fmt.Println(err)
		return
	}
	delete(report.Checks, "app")
	delete(report.Checks, "module/health")
	delete(report.Checks, "transport")
	text, _ := json.MarshalIndent(report, "", "  ")
	changing := regexp.MustCompile(`"(serviceId|time|duration|lastSuccess|sinceSuccess)": "[^"]+"`)
	fmt.Println(changing.ReplaceAllString(string(text), `"$1": "…"`))
	// Output:
	// {
	//   "status": "pass",
	//   "serviceId": "…",
	//   "checks": {
	//     "lag/queue/shop.jobs": [
	//       {
	//         "componentType": "lag",
	//         "status": "pass",
	//         "time": "…",
	//         "duration": "…",
	//         "lastSuccess": "…",
	//         "sinceSuccess": "…",
	//         "details": {
	//           "workers": {
	//             "inFlight": 0,
	//             "members": 1,
	//             "waiting": 0
	//           }
	//         }
	//       }
	//     ],
	//     "module/shop": [
	//       {
	//         "componentType": "module",
	//         "status": "pass",
	//         "time": "…",
	//         "duration": "…",
	//         "lastSuccess": "…",
	//         "sinceSuccess": "…"
	//       }
	//     ]
	//   }
	// }
}
