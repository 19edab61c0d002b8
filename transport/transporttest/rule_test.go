package transporttest

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The comments of package transport are the specification: each case tests a sentence of
// them, and quotes it.
func TestCasesQuoteTheContract(t *testing.T) {
	comments := contractComments(t)
	for _, c := range slices.Concat(cases(), logCases(), reconnectCases(), crashCases()) {
		quote := c.contract
		if quote == "" {
			quote = c.rule
		}
		if len(strings.Fields(quote)) < 3 || !strings.Contains(comments, quote) {
			t.Errorf("%s quotes %q, which is not in the comments of package transport", c.name, quote)
		}
		if c.rule == c.contract {
			t.Errorf("%s has %q as contract and as rule", c.name, c.rule)
		}
	}
}

func TestCasesHaveUniqueNames(t *testing.T) {
	for _, table := range [][]conformanceCase{cases(), logCases(), reconnectCases(), crashCases()} {
		seen := make(map[string]bool)
		for _, c := range table {
			if seen[c.name] {
				t.Errorf("there are two cases %q", c.name)
			}
			seen[c.name] = true
		}
	}
}

// contractComments returns the text of every comment of package transport, with single
// spaces.
func contractComments(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
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
	return strings.Join(all, "\n")
}
