//go:build !unix

package telemetry_test

import "time"

// spent is the processor time of this process, or 0 if it is not known.
func spent() time.Duration { return 0 }
