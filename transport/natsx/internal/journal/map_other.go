//go:build !unix

package journal

import "os"

// mapFile returns nil: there are no slots, and attempts are written to the segment.
func mapFile(*os.File, int) ([]byte, error) { return nil, nil }

func unmapFile([]byte) {}
