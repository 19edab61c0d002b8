package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The code in the documents that names a file is in that file, which compiles.
func TestCodeInDocumentsIsCompiledCode(t *testing.T) {
	for document, least := range map[string]int{"README.md": 5, "docs/testing.md": 9, "docs/patterns.md": 7, "docs/preflight.md": 1} {
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

// Links in documents lead to files that exist.
func TestLinksInDocumentsLeadToFiles(t *testing.T) {
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	documents = append(documents, "../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md")
	code, link := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`"), regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), target[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", document, target[1])
			}
		}
	}
}

// The README lists every file with examples.
func TestReadmeListsExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(path, ".") && path != "." {
			return fs.SkipDir
		}
		isExample, _ := filepath.Match("example*_test.go", filepath.Base(path))
		if isExample && !strings.Contains(string(readme), "]("+path+")") {
			t.Errorf("README.md does not link %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
