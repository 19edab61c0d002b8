package docs_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testLink = regexp.MustCompile(`\[(Test\w+)\]\(\.\./([\w/]+_test\.go)\)`)

// Each section of evolution.md links to tests, which exist.
func TestEvolutionIsTested(t *testing.T) {
	page, err := os.ReadFile("evolution.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")[1:]
	if len(sections) < 10 {
		t.Errorf("%d sections were found", len(sections))
	}
	for _, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		links := testLink.FindAllStringSubmatch(section, -1)
		if len(links) == 0 {
			t.Errorf("%s: no test is linked", title)
		}
		for _, link := range links {
			if !slices.Contains(functions(t, link[2]), link[1]) {
				t.Errorf("%s: %s is not in %s", title, link[1], link[2])
			}
		}
	}
}
