package embedded

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// nameFile is the file in a store directory with the server's name. In a cluster the name
// identifies the stored data, so it belongs to the store, and not to the host. Two members on
// one host have different names. A container that is restarted elsewhere with its volume
// keeps its name.
const nameFile = "mono.server-name"

// storedName returns the name in a store, or a new one if the store has none. The caller has
// locked the store.
func storedName(dir string) (string, error) {
	path := filepath.Join(dir, nameFile)
	text, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", failed("the server's name in its store cannot be read: %w", err)
	}
	name := newName()
	if err := os.WriteFile(path, []byte(name+"\n"), 0o600); err != nil {
		return "", failed("the server's name cannot be stored: %w", err)
	}
	return name, nil
}

func newName() string { return "mono-" + strings.ToLower(rand.Text()[:12]) }
