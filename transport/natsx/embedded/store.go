package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gomono.dev/transport"
)

// lockName is the lock file in a store directory. The server itself does not protect its
// store.
const lockName = "mono.lock"

// errLocked means that another process holds the lock.
var errLocked = errors.New("locked")

// lockStore creates a store directory if needed, and locks it. The lock ends with the
// process, even if that is killed. The returned function frees it.
func lockStore(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failed("the store directory %s cannot be created: %w", dir, err)
	}
	path := filepath.Join(dir, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, failed("the store directory %s cannot be written: %w", dir, err)
	}
	if err := flock(file); err != nil {
		holder, _ := os.ReadFile(path)
		file.Close()
		if errors.Is(err, errLocked) {
			return nil, failed("the store directory %s is used by another server (process %s): stop that one, or choose another directory", dir, strings.TrimSpace(string(holder)))
		}
		return nil, failed("the store directory %s cannot be locked: %w", dir, err)
	}
	if err := writePID(file); err != nil {
		file.Close()
		return nil, failed("the store directory %s cannot be written: %w", dir, err)
	}
	return func() { file.Close() }, nil
}

// writePID writes the process id of the holder.
func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

func failed(format string, args ...any) error {
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "embedded: "+format, args...)
}

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
