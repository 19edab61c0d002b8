package audit

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash of RFC 6962, section 2.1.
type Hash [32]byte

// String returns the hash in base64, as checkpoints and proofs have it.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

func parseHash(text string) (h Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%q is not a hash in base64", text)
	}
	return Hash(b), nil
}

// tree is a Merkle tree that only grows. It keeps the roots of the largest full subtrees
// from left to right, one for each bit that is set in its size.
type tree struct {
	size int64
	edge []tlog.Hash
}

// add adds the hash of an entry.
func (t *tree) add(h tlog.Hash) {
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		h = tlog.NodeHash(t.edge[last], h)
		t.edge = t.edge[:last]
	}
	t.edge = append(t.edge, h)
	t.size++
}

func (t *tree) root() Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return Hash(h)
	}
	last := len(t.edge) - 1
	h := t.edge[last]
	for _, left := range slices.Backward(t.edge[:last]) {
		h = tlog.NodeHash(left, h)
	}
	return Hash(h)
}

func (t *tree) clone() tree { return tree{t.size, slices.Clone(t.edge)} }

// formatEdge returns the edge as the value of a header.
func (t *tree) formatEdge() string {
	hashes := make([]string, len(t.edge))
	for i, h := range t.edge {
		hashes[i] = Hash(h).String()
	}
	return strings.Join(hashes, ",")
}

// parseTree returns the tree of a size with an edge. The caller compares its root.
func parseTree(size int64, edge string) (tree, error) {
	hashes := strings.Split(edge, ",")
	if n := bits.OnesCount64(uint64(size)); len(hashes) != n {
		return tree{}, fmt.Errorf("its edge has %d hashes: want %d for %d entries", len(hashes), n, size)
	}
	t := tree{size: size}
	for _, text := range hashes {
		h, err := parseHash(text)
		if err != nil {
			return tree{}, err
		}
		t.edge = append(t.edge, tlog.Hash(h))
	}
	return t, nil
}
