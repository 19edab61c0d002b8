package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the state of a log that its key has signed.
type Checkpoint struct {
	Size int64 // number of entries
	Root Hash  // of the Merkle tree of the entries
	Note []byte
}

// signTree returns the signed checkpoint of a tree.
func signTree(t *tree, signer note.Signer) (Checkpoint, error) {
	c := Checkpoint{Size: t.size, Root: t.root()}
	var err error
	c.Note, err = note.Sign(&note.Note{Text: c.text(signer.Name())}, signer)
	return c, err
}

// text returns what is signed.
func (c *Checkpoint) text(origin string) string {
	return origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// openCheckpoint checks the signature of a checkpoint and returns its content.
func openCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("its checkpoint is not signed by %s: %w", key.Name(), err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, errors.New("its checkpoint does not have three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the size of its checkpoint: %w", err)
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the root of its checkpoint: %w", err)
	}
	c := Checkpoint{Size: size, Root: root, Note: signed}
	if size < 1 || n.Text != c.text(key.Name()) {
		return Checkpoint{}, fmt.Errorf("its checkpoint is not one of %s", key.Name())
	}
	return c, nil
}
