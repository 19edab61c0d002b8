package mono_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const modulePath = "gomono.dev"

// rules say which packages must not be linked into which, and why. A package
// stands for itself and those below it.
var rules = []struct {
	packages  []string
	forbidden []string
	but       []string // packages to which the rule does not apply
	why       string
}{
	{
		[]string{"codec", "transport", "mono"},
		[]string{"github.com/nats-io/nats-server"},
		[]string{"transport/natsx/embedded", "transport/internal/clustertest"},
		"only a program that runs a server links one",
	},
	{
		[]string{"codec", "transport", "mono"},
		[]string{"github.com/nats-io"},
		[]string{"transport/natsx", "transport/internal/clustertest"},
		"a program that does not talk to NATS links none of it",
	},
	{
		[]string{"codec", "transport", "mono"},
		[]string{"testing", "pgregory.net/rapid"},
		[]string{"transport/transporttest", "transport/internal/proxytest", "transport/internal/clustertest"},
		"a production binary links no test support",
	},
	{[]string{"codec"}, []string{modulePath + "/transport", modulePath + "/mono"}, nil, "arrows point one way: codec ← transport ← mono"},
	{[]string{"transport"}, []string{modulePath + "/mono"}, nil, "arrows point one way: codec ← transport ← mono"},
	{
		[]string{"testkit"},
		[]string{"github.com/nats-io"},
		[]string{"testkit/natstest"},
		"a unit test that needs no server links none",
	},
	{[]string{"mono"}, []string{modulePath + "/transport/inproc", modulePath + "/transport/natsx"}, nil, "mono knows the seam, and no backend"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, rule := range rules {
		for _, pkg := range rule.packages {
			for _, path := range packagesBelow(t, pkg) {
				if slices.ContainsFunc(rule.but, func(but string) bool { return within(path, modulePath+"/"+but) }) {
					continue
				}
				for _, dep := range dependencies(t, path) {
					if slices.ContainsFunc(rule.forbidden, func(forbidden string) bool { return within(dep, forbidden) }) {
						t.Errorf("%s links %s: %s", path, dep, rule.why)
					}
				}
			}
		}
	}
}

// A program on inproc alone contains neither NATS client nor server, and one on
// natsx contains no server.
func TestPrograms(t *testing.T) {
	t.Parallel()
	hello := dependencies(t, modulePath+"/examples/hello")
	if !slices.Contains(hello, modulePath+"/transport/inproc") {
		t.Fatalf("hello is not on inproc: %q", hello)
	}
	for _, dep := range hello {
		if within(dep, "github.com/nats-io") {
			t.Errorf("hello links %s", dep)
		}
	}
	if !slices.Contains(dependencies(t, modulePath+"/examples/orders"), "github.com/nats-io/nats-server/v2/server") {
		t.Error("the listing does not show the server where it is linked")
	}
}

func packagesBelow(t *testing.T, pkg string) []string {
	return goList(t, modulePath+"/"+pkg+"/...")
}

func dependencies(t *testing.T, pkg string) []string {
	return goList(t, "-deps", pkg)
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}
