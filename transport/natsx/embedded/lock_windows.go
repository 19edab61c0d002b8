package embedded

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// flock locks an open file until it is closed. It locks a byte far beyond the text, so that
// other processes can read the process id of the holder.
func flock(file *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
