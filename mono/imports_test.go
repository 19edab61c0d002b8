package mono_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// modulePath is the path of this Go module.
const modulePath = "gomono.dev"

// rules lists the packages that others must not link, with the reasons. A package
// stands for itself and the packages below it.
var rules = []struct {
	packages  []string
	forbidden []string
	but       []string // packages exempt from the rule
	why       string
}{
	{
		[]string{"codec", "transport", "mono"},
		[]string{"github.com/nats-io/nats-server"},
		[]string{"transport/natsx/embedded", "transport/internal/clustertest"},
		"only a program that runs a NATS server links one",
	},
	{
		[]string{"codec", "transport", "mono"},
		[]string{"github.com/nats-io"},
		[]string{"transport/natsx", "transport/internal/clustertest"},
		"a program that does not use NATS does not link its client",
	},
	{
		[]string{"codec", "transport", "mono"},
		[]string{"testing", "pgregory.net/rapid", modulePath + "/transport/inproc/inproctest"},
		[]string{"transport/transporttest", "transport/inproc/inproctest", "transport/internal/proxytest", "transport/internal/clustertest"},
		"a production binary links no test support",
	},
	{[]string{"kv"}, []string{"github.com/nats-io", modulePath + "/mono", modulePath + "/transport/inproc", modulePath + "/transport/natsx"}, nil, "kv depends on the contract of its backends, and on none of them"},
	{[]string{"kv"}, []string{"testing", "pgregory.net/rapid", "github.com/anishathalye/porcupine"}, []string{"kv/kvtest"}, "a production binary links no test support"},
	{[]string{"kv/kvtest"}, []string{"pgregory.net/rapid", "github.com/anishathalye/porcupine"}, nil, "the test of a backend needs no other module"},
	{[]string{"codec"}, []string{modulePath + "/transport", modulePath + "/mono"}, nil, "imports point one way: transport may import codec, mono may import both"},
	{[]string{"transport"}, []string{modulePath + "/mono"}, nil, "imports point one way: transport may import codec, mono may import both"},
	{
		[]string{"testkit"},
		[]string{"github.com/nats-io"},
		[]string{"testkit/natstest"},
		"a unit test without a server links no NATS code",
	},
	{[]string{"mono"}, []string{modulePath + "/transport/inproc", modulePath + "/transport/natsx"}, nil, "mono depends on the transport contract and not on a backend"},
}

// No package links a package that a rule forbids.
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

// A program on inproc links neither the NATS client nor the NATS server. A program on the
// embedded server links the server.
func TestPrograms(t *testing.T) {
	t.Parallel()
	hello := dependencies(t, modulePath+"/examples/hello")
	if !slices.Contains(hello, modulePath+"/transport/inproc") {
		t.Fatalf("hello does not link inproc: %q", hello)
	}
	for _, dep := range hello {
		if within(dep, "github.com/nats-io") {
			t.Errorf("hello links %s", dep)
		}
	}
	if !slices.Contains(dependencies(t, modulePath+"/examples/orders"), "github.com/nats-io/nats-server/v2/server") {
		t.Error("go list does not show the server of examples/orders")
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
