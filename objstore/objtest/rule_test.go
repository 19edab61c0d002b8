package objtest

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// The comments of package objstore and its driver are the specification: each case tests a
// sentence of them, and quotes it.
func TestCasesQuoteTheContract(t *testing.T) {
	comments := contractComments(t)
	seen := make(map[string]bool)
	for _, c := range append(cases(), reconnectCases...) {
		if len(strings.Fields(c.contract)) < 3 || !strings.Contains(comments, c.contract) {
			t.Errorf("%s quotes %q, which is not in the comments of package objstore", c.name, c.contract)
		}
		if c.rule == "" || c.rule == c.contract {
			t.Errorf("%s has the rule %q", c.name, c.rule)
		}
		if seen[c.name] {
			t.Errorf("there are two cases %q", c.name)
		}
		seen[c.name] = true
	}
	t.Logf("%d cases", len(seen))
}

// contractComments returns the text of every comment of package objstore and its driver, with
// single spaces.
func contractComments(t *testing.T) string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../*.go", "../driver/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, group := range parsed.Comments {
				all = append(all, strings.Join(strings.Fields(group.Text()), " "))
			}
		}
	}
	return strings.Join(all, "\n")
}
