//go:build rollout

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// change replaces a text of a file, which has it once.
type change struct{ file, old, new string }

// The first release is the program. The second one has a field more in a stored message, an event
// and a reply, other options of queues and groups, and a module that follows the ledger.
var (
	firstRelease  = []change{{"main.go", "mono.StopTimeout(set.stopTimeout)}", "mono.StopTimeout(set.stopTimeout), mono.Generation(1)}"}}
	secondRelease = []change{
		{"main.go", "mono.StopTimeout(set.stopTimeout)}", "mono.StopTimeout(set.stopTimeout), mono.Generation(2)}"},
		{"main.go", `mono.InRole("worker", &analytics.Module{}),`, `mono.InRole("worker", &analytics.Module{}), mono.InRole("worker", &loyalty.Module{}),`},
		{"main.go", `"gomono.dev/examples/orders/modules/inventory"`, `"gomono.dev/examples/orders/modules/inventory"; "gomono.dev/examples/orders/modules/loyalty"`},
		{"orders/orders.go", "Receipt string `json:\"receipt\"`", "Receipt string `json:\"receipt\"`; Points int64 `json:\"points\"`"},
		{"orders/orders.go", "mono.MaxPending(100_000), mono.MaxDelayed(100_000))", "mono.MaxPending(200_000), mono.MaxDelayed(200_000))"},
		{"orders/orders.go", `mono.Version("1.1.0"), mono.Doc("take an order")`, `mono.Version("1.2.0"), mono.Doc("take an order")`},
		{"modules/orders/checkout.go", "Receipt: receipt.Number}, err", "Receipt: receipt.Number, Points: goods.Cents / 100}, err"},
		{"ledger/ledger.go", "mono.AckWait(2*time.Second)", "mono.AckWait(3*time.Second)"},
		{"notifications/notifications.go", "mono.MaxAttempts(3)", "mono.MaxAttempts(5)"},
	}
)

// loyalty is the new module. An order has points once, in a stream with a key.
const loyalty = `package loyalty

import (
	"context"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/mono"
)

type Earned struct {
	Order  string ` + "`json:\"order\"`" + `
	Points int64  ` + "`json:\"points\"`" + `
}

func (e Earned) Key() string { return e.Order }

var Points = mono.NewStream[Earned]("loyalty.points").KeyedBy(Earned.Key)

type Module struct{ scope *mono.Scope }

func (*Module) Name() string { return "loyalty" }

func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	s.Use(Points)
	ledger.Entries.Handle(s, m.earn, mono.Concurrency(8))
	return nil
}

func (m *Module) earn(ctx context.Context, e ledger.Entry) error {
	if e.IsVoid() {
		return nil
	}
	_, err := Points.AppendAfter(ctx, m.scope, 0, Earned{e.Key(), e.Placed.Cents / 100})
	if mono.CodeOf(err) == mono.Aborted {
		return nil
	}
	return err
}
`

// buildRelease builds the program with changes.
func buildRelease(t *testing.T, name string, changes []change) (binary string) {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{"modules/loyalty/loyalty.go": loyalty}
	for _, c := range changes {
		if texts[c.file] == "" {
			file, err := os.ReadFile(c.file)
			must(t, err)
			texts[c.file] = string(file)
		}
		if n := strings.Count(texts[c.file], c.old); n != 1 {
			t.Fatalf("%s has %q %d times: change the %s release in release_test.go", c.file, c.old, n, name)
		}
		texts[c.file] = strings.Replace(texts[c.file], c.old, c.new, 1)
	}
	here, err := os.Getwd()
	must(t, err)
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for file, text := range texts {
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		must(t, os.WriteFile(changed, []byte(text), 0o600))
		overlay.Replace[filepath.Join(here, file)] = changed
	}
	config, err := json.Marshal(overlay)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), config, 0o600))
	binary = filepath.Join(dir, name)
	build := exec.Command("go", "build", "-buildvcs=false", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the %s release: %v\n%s", name, err, output)
	}
	return binary
}
