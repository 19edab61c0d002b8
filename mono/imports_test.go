package mono_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// modulePath is the path of this Go module.
const modulePath = "gomono.dev"

// rule forbids packages to link others. A package stands for itself and the packages below it.
type rule struct {
	packages  []string
	forbidden []string
	but       []string // packages exempt from the rule
	allowed   []string // packages that are not forbidden after all
	why       string
}

var rules = []rule{
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"github.com/nats-io/nats-server"},
		[]string{"transport/natsx/embedded", "transport/internal/clustertest"},
		nil,
		"only a program that runs a NATS server links one",
	},
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"github.com/nats-io"},
		[]string{"transport/natsx", "transport/internal/clustertest", "transport/internal/ordertest"},
		nil,
		"a program that does not use NATS does not link its client",
	},
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"testing", "pgregory.net/rapid", modulePath + "/transport/inproc/inproctest"},
		[]string{"transport/transporttest", "transport/inproc/inproctest", "transport/internal/proxytest", "transport/internal/clustertest", "transport/internal/ordertest", "kv/kvtest", "objstore/objtest"},
		nil,
		"a production binary links no test support",
	},
	{[]string{"codec"}, []string{modulePath + "/transport", modulePath + "/mono", modulePath + "/kv", modulePath + "/objstore"}, nil, nil, oneWay},
	{[]string{"transport"}, []string{modulePath + "/mono", modulePath + "/kv", modulePath + "/objstore"}, nil, []string{"kv/driver", "objstore/driver"}, oneWay},
	{[]string{"kv/driver"}, []string{modulePath + "/kv"}, nil, []string{"kv/driver"}, "a backend implements the contract of buckets without package kv"},
	{
		[]string{"kv"},
		[]string{modulePath + "/mono", modulePath + "/testkit", modulePath + "/transport/inproc", modulePath + "/transport/natsx"},
		nil, nil,
		"kv depends on transport.Host and kv/driver, and neither on mono nor on a backend",
	},
	{[]string{"kv"}, []string{modulePath + "/objstore"}, nil, nil, "objstore stores its entries in a bucket of kv, which knows nothing of objects"},
	{
		[]string{"objstore"},
		[]string{modulePath + "/mono", modulePath + "/testkit", modulePath + "/transport/inproc", modulePath + "/transport/natsx"},
		nil, nil,
		"objstore depends on transport.Host, kv and objstore/driver, and neither on mono nor on a backend",
	},
	{[]string{"objstore/driver"}, []string{modulePath + "/kv", modulePath + "/objstore"}, nil, []string{"kv/driver", "objstore/driver"}, "a backend implements the contract of stores without package objstore"},
	{[]string{"kv"}, []string{"github.com/anishathalye/porcupine"}, nil, nil, "a production binary links no test support"},
	{[]string{"kv/kvtest", "objstore/objtest"}, []string{"pgregory.net/rapid"}, nil, nil, "the test of a backend needs no other module"},
	{
		[]string{"testkit"},
		[]string{"github.com/nats-io"},
		[]string{"testkit/natstest"},
		nil,
		"a unit test without a server links no NATS code",
	},
	{[]string{"mono"}, []string{modulePath + "/transport/inproc", modulePath + "/transport/natsx"}, nil, nil, "mono depends on the transport contract and not on a backend"},
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"golang.org/x/mod"},
		[]string{"mono/audit"},
		nil,
		"a program without an audit log links no transparency log",
	},
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"golang.org/x/time"},
		[]string{"mono/limit", "transport/natsx/embedded", "transport/internal/clustertest"},
		nil,
		"a program without limits links no token bucket; a NATS server has one of its own",
	},
	{
		[]string{"codec", "transport", "mono", "kv", "objstore"},
		[]string{"go.opentelemetry.io", "github.com/prometheus"},
		nil, nil,
		"traces and metrics are in a module of their own: mono/telemetry",
	},
	{[]string{"mono"}, []string{modulePath + "/kv", modulePath + "/objstore"}, []string{"mono/audit", "mono/limit"}, nil, "mono knows buckets and stores as components only: a program without them does not link them"},
}

const oneWay = "imports point one way: transport may import codec and the contracts of buckets and stores, mono and kv may import both, but not each other"

// forbids reports whether a dependency breaks the rule.
func (r *rule) forbids(dep string) bool {
	in := func(dep string, packages []string) bool {
		return slices.ContainsFunc(packages, func(p string) bool { return within(dep, p) })
	}
	return in(dep, r.forbidden) && !in(strings.TrimPrefix(dep, modulePath+"/"), r.allowed)
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
					if rule.forbids(dep) {
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
