package docs_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Each row of the tables in the section Tests of operate.md links to tests, which exist.
func TestOperateIsTested(t *testing.T) {
	page, err := os.ReadFile("operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Tests\n")
	rows := 0
	for line := range strings.Lines(section) {
		behaviour, isRow := strings.CutPrefix(line, "| ")
		if !isRow || strings.HasSuffix(line, "| tests |\n") {
			continue
		}
		rows++
		links := testLink.FindAllStringSubmatch(behaviour, -1)
		if len(links) == 0 {
			t.Errorf("no test is linked: %s", line)
		}
		for _, link := range links {
			if !slices.Contains(functions(t, link[2]), link[1]) {
				t.Errorf("%s is not in %s", link[1], link[2])
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows were found", rows)
	}
}
