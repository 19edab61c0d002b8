//go:build unix

package journal

import (
	"os"
	"syscall"
)

// mapFile maps a file into memory, for as long as the process lives.
func mapFile(file *os.File, size int) ([]byte, error) {
	return syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unmapFile(memory []byte) { _ = syscall.Munmap(memory) }
