package foreign_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// writerEnv makes the test binary a process that writes until it is killed: the URL of the
// server, a space, and the key.
const writerEnv = "MONO_AUDIT_WRITER"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(writerEnv)); len(args) == 2 {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the test
			os.Exit(1)
		}()
		if err := runWriter(args[0], args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runWriter records without end, on several goroutines, and prints a line for each entry.
func runWriter(server, key string) error {
	tr, err := natsx.Connect(context.Background(), natsx.Options{URLs: []string{server}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	trail := audit.New(audit.Options{Key: key, Mandatory: true})
	if _, err := start(tr, trail.Name(), func(app *mono.App) { app.Use(trail) }); err != nil {
		return err
	}
	for range 8 {
		go func() {
			for n := 0; ; n++ {
				if err := trail.Record(context.Background(), "test.load", slog.Int("n", n), slog.String("text", strings.Repeat("x", n%300))); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(n)
			}
		}()
	}
	select {}
}

func start(tr transport.Transport, name string, prepare func(*mono.App)) (*mono.App, error) {
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler).With("app", name)))
	prepare(app)
	return app, app.Start(context.Background())
}

// writeUnderLoad runs a writer and kills it after n entries.
func writeUnderLoad(t *testing.T, server, key string, n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+server+" "+key)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range n {
		if !lines.Scan() {
			t.Error("the writer ended")
			break
		}
	}
	_ = cmd.Process.Kill()
	for lines.Scan() {
	}
	_ = cmd.Wait()
}

// log is a log that is written and served.
type log struct {
	server  *embedded.Server
	private string
	public  string
	key     note.Verifier
	tiles   *audit.Tiles
	web     *httptest.Server
}

func newLog(t *testing.T) *log {
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	l := &log{server: server}
	if l.private, l.public, err = audit.GenerateKey("example.com/audit/foreign"); err != nil {
		t.Fatal(err)
	}
	if l.key, err = note.NewVerifier(l.public); err != nil {
		t.Fatal(err)
	}
	tr, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.tiles = audit.NewTiles(audit.TilesOptions{Key: l.public})
	app, err := start(tr, "tiles", func(app *mono.App) { l.tiles.Open(app) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) })
	l.web = httptest.NewServer(l.tiles)
	t.Cleanup(l.web.Close)
	return l
}

// Foreign programs verify a log that was written under load, by writers that were killed.
func TestForeignVerifiers(t *testing.T) {
	l := newLog(t)
	var older torchwood.Checkpoint
	for round := range 4 {
		writeUnderLoad(t, l.server.ClientURL(), l.private, 300*(round+1))
		t.Run(fmt.Sprintf("fsck of Tessera, round %d", round), func(t *testing.T) { runFsck(t, l) })
		t.Run(fmt.Sprintf("client of torchwood, round %d", round), func(t *testing.T) { older = runTorchwood(t, l, older) })
		t.Run(fmt.Sprintf("proofs of transparency-dev, round %d", round), func(t *testing.T) { checkProofs(t, l) })
	}
}

// runFsck reads everything, and computes all hashes again.
func runFsck(t *testing.T, l *log) {
	root, err := url.Parse(l.web.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	hashes := func(bundle []byte) (all [][]byte, err error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		for _, e := range b.Entries {
			all = append(all, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return all, nil
	}
	if err := fsck.New(l.key.Name(), l.key, fetcher, hashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// runTorchwood reads the entries and checks each against the checkpoint, and one by its proof.
func runTorchwood(t *testing.T, l *log, older torchwood.Checkpoint) torchwood.Checkpoint {
	fetcher, err := torchwood.NewTileFetcher(l.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(l.key))
	if err != nil {
		t.Fatal(err)
	}
	is, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil || is.Origin != l.key.Name() || is.N <= older.N {
		t.Fatalf("got %+v, %v", is, err)
	}
	next := int64(0)
	for next < is.N {
		begin := next
		for i, entry := range c.Entries(t.Context(), is.Tree, next) {
			if i != next || len(entry) == 0 {
				t.Fatalf("entry %d: got %d", next, i)
			}
			next++
		}
		if err := c.Err(); err != nil || next == begin {
			t.Fatalf("entry %d: %v", next, err)
		}
	}
	if _, _, err := c.Entry(t.Context(), is.Tree, is.N/2); err != nil {
		t.Error(err)
	}
	return is
}

// checkProofs checks proofs of the package with the code of others.
func checkProofs(t *testing.T, l *log) {
	older, err := l.tiles.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := l.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close(context.Background()) }()
	for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: l.public}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Index%97 != 0 {
			continue
		}
		p, err := l.tiles.Prove(t.Context(), e.Index)
		if err != nil {
			t.Fatal(err)
		}
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var read tlogproof.TLogProof
		if err := read.Unmarshal(text); err != nil {
			t.Fatal(err)
		}
		var hashes [][]byte
		for _, h := range read.Hashes {
			hashes = append(hashes, h[:])
		}
		n, err := note.Open(read.Checkpoint, note.VerifierList(l.key))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := torchwood.ParseCheckpoint(n.Text)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, read.Index, uint64(tree.N), rfc6962.DefaultHasher.HashLeaf(e.Raw), hashes, tree.Hash[:]); err != nil {
			t.Errorf("entry %d: %v", e.Index, err)
		}
	}
	trail := audit.New(audit.Options{Key: l.private})
	other, err := l.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	app, err := start(other, "more", func(app *mono.App) { app.Use(trail) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Stop(context.Background()) }()
	if err := trail.Record(t.Context(), "test.more"); err != nil {
		t.Fatal(err)
	}
	growth, newer, err := l.tiles.ProveGrowth(t.Context(), older)
	if err != nil {
		t.Fatal(err)
	}
	var hashes [][]byte
	for _, h := range growth {
		hashes = append(hashes, h[:])
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(older.Size), uint64(newer.Size), hashes, older.Root[:], newer.Root[:]); err != nil {
		t.Error(err)
	}
}
