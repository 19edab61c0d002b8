package transport

// Texts are scanned eight bytes at a time for bytes that are rare. A word that may
// contain one is scanned again byte by byte.

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// wordAt returns the eight bytes of s at i.
func wordAt(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// anyBelow returns a nonzero value if a byte of w is less than n, which is at most 128.
func anyBelow(w uint64, n byte) uint64 { return (w - ones*uint64(n)) &^ w & tops }

// anyIs returns a nonzero value if a byte of w is c.
func anyIs(w uint64, c byte) uint64 { return anyBelow(w^ones*uint64(c), 1) }

// eachIs returns a word with the top bit set for every byte of w that is c. All bytes of
// w and c must be ASCII.
func eachIs(w uint64, c byte) uint64 { return ^((w ^ ones*uint64(c)) + ones*0x7f) & tops }
