package audit_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
)

// startTiles runs an App with the Tiles of a log until the end of the test.
func startTiles(t testing.TB, tr transport.Transport, k keys) *audit.Tiles {
	t.Helper()
	tiles := audit.NewTiles(audit.TilesOptions{Key: k.public})
	app := mono.New(tr, mono.Logger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	tiles.Open(app)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) })
	return tiles
}

// Every entry is proved, and every older tree is proved to be a part of the newer ones, while
// the log grows, and after each restart.
func TestProofs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		var older []audit.Checkpoint
		for wave := range 4 {
			recordMany(t, trail, fmt.Sprint(wave), 40, 3+2*wave)
			tiles := startTiles(t, connect(), k) // continues where the last one ended
			for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Index%7 == 0 {
					requireProof(t, tiles, k, &e)
				}
			}
			for _, c := range older {
				proof, newer, err := tiles.ProveGrowth(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				if err := audit.CheckGrowth(proof, c, newer); err != nil {
					t.Error(err)
				}
				c.Root[5]++
				if err := audit.CheckGrowth(proof, c, newer); mono.CodeOf(err) != mono.DataLoss {
					t.Errorf("another root: %v", err)
				}
			}
			c, err := tiles.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			older = append(older, c)
			if _, err := tiles.Prove(t.Context(), c.Size); mono.CodeOf(err) != mono.OutOfRange {
				t.Errorf("the proof of a missing entry: %v", err)
			}
		}
		if older[3].Size < 900 {
			t.Errorf("only %d entries", older[3].Size)
		}
	})
}

func requireProof(t testing.TB, tiles *audit.Tiles, k keys, e *audit.Recorded) {
	t.Helper()
	proof, err := tiles.Prove(t.Context(), e.Index)
	if err != nil {
		t.Fatal(err)
	}
	text, err := proof.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 1024 {
		t.Errorf("the proof has %d bytes", len(text))
	}
	var read audit.Proof
	if err := read.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if err := read.Check(e.Raw, k.public); err != nil {
		t.Error(err)
	}
	if err := read.Check(append(slices.Clone(e.Raw), ' '), k.public); mono.CodeOf(err) != mono.DataLoss {
		t.Errorf("another entry: %v", err)
	}
	read.Index++
	if err := read.Check(e.Raw, k.public); mono.CodeOf(err) != mono.DataLoss {
		t.Errorf("another index: %v", err)
	}
}

// get returns the body of a resource.
func get(t testing.TB, server *httptest.Server, path string, want int) []byte {
	t.Helper()
	r, err := server.Client().Get(server.URL + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != want {
		t.Fatalf("%s: %s, %v", path, r.Status, err)
	}
	return b
}

// httpTiles reads tiles as the specification says.
type httpTiles struct {
	t      testing.TB
	server *httptest.Server
}

func (httpTiles) Height() int                     { return 8 }
func (httpTiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (h httpTiles) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		all = append(all, get(h.t, h.server, "tile/"+strings.TrimPrefix(tile.Path(), "tile/8/"), http.StatusOK))
	}
	return all, nil
}

// The resources are those of tlog-tiles, and their entries and hashes fit the checkpoint.
func TestServeHTTP(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		tiles := startTiles(t, connect(), k)
		server := httptest.NewServer(tiles)
		t.Cleanup(server.Close)
		get(t, server, "checkpoint", http.StatusNotFound)
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		recordMany(t, trail, "a", 60, 10)
		key, err := note.NewVerifier(k.public)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Open(get(t, server, "checkpoint", http.StatusOK), note.VerifierList(key))
		if err != nil {
			t.Fatal(err)
		}
		var origin, root string
		var size int64
		if _, err := fmt.Sscan(signed.Text, &origin, &size, &root); err != nil || origin != key.Name() {
			t.Fatalf("got %q, %v", signed.Text, err)
		}
		hash, err := tlog.ParseHash(root)
		if err != nil {
			t.Fatal(err)
		}
		hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: hash}, httpTiles{t, server})
		for n := int64(0); n*256 < size; n++ {
			path := fmt.Sprintf("tile/entries/%03d", n)
			if width := size - n*256; width < 256 {
				path += fmt.Sprintf(".p/%d", width)
			}
			bundle := get(t, server, path, http.StatusOK)
			for i := n * 256; i < min(size, (n+1)*256); i++ {
				length := binary.BigEndian.Uint16(bundle)
				entry := bundle[2 : 2+length]
				bundle = bundle[2+length:]
				h, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
				if err != nil || h[0] != tlog.RecordHash(entry) {
					t.Fatalf("entry %d: %v", i, err)
				}
			}
			if len(bundle) > 0 {
				t.Errorf("%s has %d bytes more", path, len(bundle))
			}
		}
		for _, path := range []string{"", "x", "tile/0/x", "tile/0/999", "tile/7/000", "tile/entries/999", "tile/data/000", "tile/0/000.p/256", "tile/-1/000", "tile/entries/../0/000"} {
			get(t, server, path, http.StatusNotFound)
		}
		r, err := server.Client().Post(server.URL+"/checkpoint", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %s", r.Status)
		}
	})
}

// Several Tiles of one log read it at the same time.
func TestSeveralTiles(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		recordMany(t, trail, "first", 1, 5)
		all := []*audit.Tiles{startTiles(t, connect(), k), startTiles(t, connect(), k), startTiles(t, connect(), k)}
		var wait sync.WaitGroup
		wait.Go(func() { recordMany(t, trail, "a", 20, 40) })
		for _, tiles := range all {
			for range 2 {
				wait.Go(func() {
					for n := range int64(20) {
						proof, err := tiles.Prove(t.Context(), n%5)
						if err != nil {
							t.Error(err)
							return
						}
						if proof.Index != n%5 {
							t.Errorf("got the proof of entry %d", proof.Index)
						}
					}
				})
			}
		}
		wait.Wait()
	})
}

// Wrong hashes in the bucket are found, and a bucket that is deleted is made again.
func TestDamagedBucket(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		recordMany(t, trail, "a", 30, 20)
		if _, err := startTiles(t, connect(), k).Prove(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		bucket, err := kv.Connect(t.Context(), tr, kv.NewBucket[[]byte]("audit-trail", kv.Codec(codec.Raw)))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"0/0", "0/2", "1/0", "checkpoint"} {
			old, err := bucket.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			bad := slices.Clone(old.Value)
			bad[len(bad)-10] ^= 1
			if _, err := bucket.Put(t.Context(), key, bad); err != nil {
				t.Fatal(err)
			}
			if _, err := startTiles(t, connect(), k).Prove(t.Context(), 3); mono.CodeOf(err) != mono.DataLoss {
				t.Errorf("%s: got %v", key, err)
			}
			if _, err := bucket.Put(t.Context(), key, old.Value); err != nil {
				t.Fatal(err)
			}
		}
		if err := bucket.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := kv.DeleteBucket(t.Context(), tr, "audit-trail"); err != nil {
			t.Fatal(err)
		}
		if _, err := startTiles(t, connect(), k).Prove(t.Context(), 3); err != nil {
			t.Error(err)
		}
	})
}
