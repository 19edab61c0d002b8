package transport

// Texts are looked at eight bytes at a time: what is sought is rare, and where it may
// be, somebody looks again.

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// wordAt returns eight bytes of s.
func wordAt(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// anyBelow is not 0 when a byte of w is less than n, which is at most 128.
func anyBelow(w uint64, n byte) uint64 { return (w - ones*uint64(n)) &^ w & tops }

// anyIs is not 0 when a byte of w is c.
func anyIs(w uint64, c byte) uint64 { return anyBelow(w^ones*uint64(c), 1) }

// eachIs has the top bit of every byte that is c, which is ASCII as all of w is.
func eachIs(w uint64, c byte) uint64 { return ^((w ^ ones*uint64(c)) + ones*0x7f) & tops }
