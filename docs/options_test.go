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

// options.md lists every option of packages mono, accesslog, audit, auth, health, limit, redact, requestid, telemetry, kv and objstore, and every
// field of the Options of the transports on NATS.
func TestOptionsAreComplete(t *testing.T) {
	page, err := os.ReadFile("options.md")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Concat(
		options(t, "../mono"),
		options(t, "../mono/accesslog"),
		options(t, "../mono/audit"),
		options(t, "../mono/auth"),
		options(t, "../mono/health"),
		options(t, "../mono/limit"),
		options(t, "../mono/redact"),
		options(t, "../mono/requestid"),
		options(t, "../mono/telemetry"),
		options(t, "../kv"),
		options(t, "../objstore"),
	)
	names = append(names, fields(t, "../transport/natsx/options.go")...)
	names = append(names, fields(t, "../mono/audit/trail.go")...)
	names = append(names, fields(t, "../mono/auth/options.go")...)
	names = append(names, fields(t, "../transport/natsx/embedded/options.go")...)
	if len(names) < 60 {
		t.Errorf("only %d options were found: %q", len(names), names)
	}
	for _, name := range names {
		if !regexp.MustCompile("`" + regexp.QuoteMeta(name) + "[` :(]").Match(page) {
			t.Errorf("%s is not in options.md", name)
		}
	}
}

// options lists the functions of a package that return an option.
func options(t *testing.T, dir string) (names []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, d := range parse(t, file).Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && f.Name.IsExported() && f.Type.Results != nil && isOption(f.Type.Results.List[0].Type) {
				names = append(names, filepath.Base(dir)+"."+f.Name.Name)
			}
		}
	}
	return names
}

// isOption reports a type with the name of an option, or an interface of such types.
func isOption(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.Ident:
		return (strings.HasSuffix(t.Name, "Option") || t.Name == "Condition") && t.IsExported()
	case *ast.SelectorExpr:
		return isOption(t.Sel)
	case *ast.InterfaceType:
		return len(t.Methods.List) > 0 && isOption(t.Methods.List[0].Type)
	}
	return false
}

// fields lists the exported fields of the Options of a file.
func fields(t *testing.T, file string) (names []string) {
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Options" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				names = append(names, name.Name)
			}
		}
		return false
	})
	return names
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
