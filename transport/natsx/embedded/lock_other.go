//go:build (!unix && !windows) || solaris || aix

package embedded

import (
	"errors"
	"os"
)

// flock returns an error: a store that cannot be locked is not used.
func flock(*os.File) error { return errors.ErrUnsupported }
