package inproctest

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// picker is a source of random choices that needs no lock: SplitMix64 (Steele, Lea and
// Flood, "Fast splittable pseudorandom number generators", 2014), whose state is a
// counter.
type picker struct{ state atomic.Uint64 }

func newPicker(seed uint64) *picker {
	p := new(picker)
	if p.state.Store(seed); seed == 0 {
		p.state.Store(rand.Uint64())
	}
	return p
}

// pick returns a number below n.
func (p *picker) pick(n int) int {
	if n == 1 {
		return 0
	}
	x := p.state.Add(0x9e3779b97f4a7c15)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	hi, _ := bits.Mul64(x^x>>31, uint64(n))
	return int(hi)
}
