package docs_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gomono.dev/transport"
)

// clients.md shows the functions of the tested clients, whole, and no other code.
func TestCodeOfClientsIsTested(t *testing.T) {
	page := read(t, "clients.md")
	shown := 0
	for _, client := range []struct {
		file, language string
		function       *regexp.Regexp
	}{
		{"client.mjs", "js", regexp.MustCompile(`(?ms)^(?://[^\n]*\n)*(?:async )?function (\w+)\(.*?^}\n`)},
		{"client.py", "python", regexp.MustCompile(`(?m)^(?:#[^\n]*\n)*(?:async )?def (\w+)\(.*\n(?: {4}.*\n)+`)},
	} {
		before := shown
		for _, f := range client.function.FindAllStringSubmatch(read(t, "../mono/interop/"+client.file), -1) {
			code := strings.TrimRight(f[0], "\n")
			switch {
			case strings.Contains(page, "<!-- mono/interop/"+client.file+" -->\n```"+client.language+"\n"+code+"\n```\n"):
				shown++
			case f[1] != "send" && f[1] != "show" && f[1] != "main":
				t.Errorf("clients.md does not show %s as it is in %s: copy it", f[1], client.file)
			}
		}
		if shown < before+15 {
			t.Errorf("clients.md shows %d functions of %s", shown-before, client.file)
		}
	}
	if blocks := strings.Count(page, "```") / 2; blocks != shown {
		t.Errorf("clients.md has %d blocks of code, and %d are functions of the clients", blocks, shown)
	}
}

// clients.md has all headers of a message and all codes.
func TestClientsIsComplete(t *testing.T) {
	page := read(t, "clients.md")
	names := 0
	ast.Inspect(parse(t, "../transport/wire.go"), func(n ast.Node) bool {
		v, ok := n.(*ast.BasicLit)
		if !ok || v.Kind != token.STRING {
			return true
		}
		name, err := strconv.Unquote(v.Value)
		if err != nil || !strings.HasPrefix(name, "Mono-") || strings.HasPrefix(name, "Mono-Dead-Letter-") {
			return true
		}
		names++
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("clients.md lacks the header %s", name)
		}
		return true
	})
	if names < 8 {
		t.Errorf("only %d headers were found", names)
	}
	for _, c := range []transport.Code{
		transport.Canceled, transport.Unknown, transport.InvalidArgument, transport.DeadlineExceeded, transport.NotFound, transport.AlreadyExists,
		transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition, transport.Aborted, transport.OutOfRange,
		transport.Unimplemented, transport.Internal, transport.Unavailable, transport.DataLoss, transport.Unauthenticated,
	} {
		if want := fmt.Sprintf("`%s` %d", c, c.HTTPStatus()); !strings.Contains(strings.ReplaceAll(page, "\n", " "), want) {
			t.Errorf("clients.md lacks the code %s", want)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
