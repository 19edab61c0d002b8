package examples_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The code in the README that names a file stands in that file, which compiles.
func TestReadmeCodeIsCompiledCode(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- (examples/\\S+) -->\n```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of code name a file, want at least 2", len(blocks))
	}
	for _, block := range blocks {
		file, err := os.ReadFile("../" + block[1])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(file), block[2]) {
			t.Errorf("the README's code is not that of %s: copy it anew", block[1])
		}
	}
}

// The README's own hello is at most thirty lines.
func TestHelloIsShort(t *testing.T) {
	file, err := os.ReadFile("hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(file), "\n"); n > 30 {
		t.Errorf("hello has %d lines, at most 30 are promised", n)
	}
}
