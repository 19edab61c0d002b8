//go:build !unix

package bench

import "time"

// spent is the processor time that this process has used, where it is known.
func spent() time.Duration { return 0 }
