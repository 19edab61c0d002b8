package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxWalk is the number of functions that a reader follows at most.
const maxWalk = 20

var walkRow = regexp.MustCompile("(?m)^\\| `([^`]+\\.go)` \\| `([^`]+)` \\|$")

// The walks in internals.md name functions that exist, each once, in files that they do
// not return to.
func TestWalks(t *testing.T) {
	page, err := os.ReadFile("internals.md")
	if err != nil {
		t.Fatal(err)
	}
	walks := 0
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		title, _, _ := strings.Cut(section, "\n")
		rows := walkRow.FindAllStringSubmatch(section, -1)
		if len(rows) == 0 {
			continue
		}
		walks++
		if len(rows) > maxWalk {
			t.Errorf("%s: %d functions: want at most %d", title, len(rows), maxWalk)
		}
		checkWalk(t, title, rows)
	}
	if walks != 3 {
		t.Errorf("%d walks were found: want 3", walks)
	}
}

func checkWalk(t *testing.T, title string, rows [][]string) {
	var files, names []string
	for _, row := range rows {
		file, function := row[1], row[2]
		if !slices.Contains(functions(t, file), function) {
			t.Errorf("%s: %s is not in %s", title, function, file)
		}
		name := function[strings.LastIndex(function, ".")+1:]
		if slices.Contains(names, name) {
			t.Errorf("%s: two functions have the name %s", title, name)
		}
		names = append(names, name)
		if last := len(files) - 1; last < 0 || files[last] != file {
			if slices.Contains(files, file) {
				t.Errorf("%s: it returns to %s", title, file)
			}
			files = append(files, file)
		}
	}
}

// functions lists the functions of a file, methods with the name of their type.
func functions(t *testing.T, file string) (names []string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		switch {
		case !ok:
		case f.Recv == nil:
			names = append(names, f.Name.Name)
		default:
			names = append(names, typeName(f.Recv.List[0].Type)+"."+f.Name.Name)
		}
	}
	return names
}

// typeName returns the name of a receiver's type.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
