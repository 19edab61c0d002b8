package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The manifests have the ports of their command line, the paths of the probes, and times that fit
// those of the program.
func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	objects := manifests(t, "kubernetes/orders.yaml")
	deployment, service, budget := objects["Deployment"], objects["Service"], objects["PodDisruptionBudget"]
	pod := deployment.at("spec.template.spec")
	orders := pod.at("containers.0")
	set, err := parse(orders.list("args"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	const startTimeout = time.Minute // the default of mono.StartTimeout
	seconds := func(m manifest, name string) time.Duration { return time.Duration(m.number(t, name)) * time.Second }
	probe := func(name string) manifest { return orders.at(name + "Probe") }
	times := func(m manifest) time.Duration {
		return seconds(m, "periodSeconds") * time.Duration(m.number(t, "failureThreshold"))
	}
	for what, holds := range map[string]bool{
		"the port http is that of -serve":                port(set.serve) == orders["ports.0.containerPort"] && orders["ports.0.name"] == "http",
		"the port probes is that of -probes":             port(set.probes) == orders["ports.1.containerPort"] && orders["ports.1.name"] == "probes",
		"the Service sends to the port http":             service["spec.ports.0.targetPort"] == "http",
		"a replica can drain and stop in its time":       seconds(pod, "terminationGracePeriodSeconds") >= set.drainDelay+set.stopTimeout+2*time.Second,
		"readiness fails before the drain is over":       times(probe("readiness")) < set.drainDelay,
		"a start has its time":                           times(probe("startup")) >= startTimeout,
		"no hook delays the signal":                      !strings.Contains(fmt.Sprint(orders), "preStop"),
		"a roll removes no replica before it adds one":   deployment["spec.strategy.rollingUpdate.maxUnavailable"] == "0" && deployment.number(t, "spec.strategy.rollingUpdate.maxSurge") > 0,
		"a disruption leaves a replica":                  deployment.number(t, "spec.replicas") > budget.number(t, "spec.maxUnavailable"),
		"no process of root":                             pod["securityContext.runAsNonRoot"] == "true" && pod["securityContext.runAsUser"] != "0" && orders["securityContext.allowPrivilegeEscalation"] == "false",
		"nothing is written beside the server's store":   orders["securityContext.readOnlyRootFilesystem"] == "true" && strings.HasPrefix(set.transport, "nats://"),
		"the replicas start without orders of their own": set.orders == os.DevNull && set.takesOrders(),
	} {
		if !holds {
			t.Errorf("the manifests contradict: %s", what)
		}
	}
	for name, path := range map[string]string{"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"} {
		p := probe(name)
		if p["httpGet.path"] != path || p["httpGet.port"] != "probes" || seconds(p, "timeoutSeconds") <= healthTimeout {
			t.Errorf("%s: want %s of the port probes, and a timeout above %v: %v", name, path, healthTimeout, p)
		}
	}
	for _, m := range []manifest{deployment.at("spec.selector.matchLabels"), deployment.at("spec.template.metadata.labels"), service.at("spec.selector"), budget.at("spec.selector.matchLabels")} {
		if m["app"] != "orders" {
			t.Errorf("a label or selector has %v, want the app orders", m)
		}
	}
}

// docs/operate.md quotes the manifests.
func TestManifestsInDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/operate.md")
	must(t, err)
	file, err := os.ReadFile("kubernetes/orders.yaml")
	must(t, err)
	quotes := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(quotes) == 0 {
		t.Error("docs/operate.md has no manifest")
	}
	for _, quote := range quotes {
		if !strings.Contains(string(file), quote[1]) {
			t.Errorf("docs/operate.md differs from kubernetes/orders.yaml: copy it again:\n%s", quote[1])
		}
	}
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// manifest is an object: its values by their paths, such as spec.ports.0.name.
type manifest map[string]string

// at returns the part below a path.
func (m manifest) at(path string) manifest {
	part := make(manifest)
	for name, value := range m {
		if name, ok := strings.CutPrefix(name, path+"."); ok {
			part[name] = value
		}
	}
	return part
}

// list returns the values of a list.
func (m manifest) list(path string) (values []string) {
	for i := 0; m[fmt.Sprint(path, ".", i)] != ""; i++ {
		values = append(values, m[fmt.Sprint(path, ".", i)])
	}
	return values
}

func (m manifest) number(t *testing.T, path string) int {
	t.Helper()
	n, err := strconv.Atoi(m[path])
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return n
}

// manifests reads the objects of a file by their kinds. It knows the part of YAML that they use: maps,
// indented lists and plain values, one a line.
func manifests(t *testing.T, file string) map[string]manifest {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	objects := make(map[string]manifest)
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		object := make(manifest)
		var path []string               // of the last line
		var indents []int               // of the elements of path
		lengths := make(map[string]int) // of lists, by their paths
		for line := range strings.SplitSeq(comment.ReplaceAllString(document, ""), "\n") {
			part := plain.FindStringSubmatch(line)
			if part == nil {
				t.Fatalf("%s: this test cannot read %q", file, line)
			}
			indent, element, name, value := len(part[1]), part[2] != "", part[3], part[4]
			for n := len(path) - 1; n >= 0 && indents[n] >= indent && name+value != ""; n-- {
				path, indents = path[:n], indents[:n]
			}
			if element {
				list := strings.Join(path, ".")
				path, indents = append(path, strconv.Itoa(lengths[list])), append(indents, indent)
				lengths[list]++
				indent += len("- ")
			}
			if name != "" {
				path, indents = append(path, name), append(indents, indent)
			}
			if value != "" {
				object[strings.Join(path, ".")] = value
			}
		}
		objects[object["kind"]] = object
	}
	return objects
}

var (
	comment = regexp.MustCompile(`(?m)(^| +)#.*$`)
	plain   = regexp.MustCompile(`^( *)(- )?(?:(\w+):(?: |$))?([\w./:=-]*)$`)
)
