package examples_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The code in the documents that names a file is in that file, which compiles.
func TestCodeInDocumentsIsCompiledCode(t *testing.T) {
	for document, least := range map[string]int{"README.md": 5, "docs/testing.md": 9, "docs/patterns.md": 7} {
		text, err := os.ReadFile("../" + document)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)<!-- (\\S+) -->\n```\\w+\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		if len(blocks) < least {
			t.Errorf("%s: %d blocks of code name a file, want at least %d", document, len(blocks), least)
		}
		for _, block := range blocks {
			file, err := os.ReadFile("../" + block[1])
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(file), block[2]) {
				t.Errorf("%s: the code differs from %s: copy it again", document, block[1])
			}
		}
		if n := strings.Count(string(text), "```go\n"); document != "README.md" && n != strings.Count(string(text), "-->\n```go\n") {
			t.Errorf("%s: not every block of code names its file", document)
		}
	}
}

// The README's hello has at most thirty lines.
func TestHelloIsShort(t *testing.T) {
	file, err := os.ReadFile("hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(file), "\n"); n > 30 {
		t.Errorf("hello has %d lines, want at most 30", n)
	}
}
