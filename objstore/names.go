package objstore

import (
	"cmp"
	"slices"
	"sort"
)

// names holds the descriptions of objects in the order of their names. They are in blocks, so
// that a change moves few of them.
type names struct {
	blocks [][]*named // none is empty
	count  int
}

// named is the description of an object, or the reason why it is unknown.
type named struct {
	Info
	err error
}

// maxBlock is the maximum length of a block. A full one is split.
const maxBlock = 512

// find returns the place of a name. If it is missing, set would add it there.
func (n *names) find(name string) (block, at int, found bool) {
	block = sort.Search(len(n.blocks), func(i int) bool { return n.blocks[i][len(n.blocks[i])-1].Name >= name })
	if block == len(n.blocks) {
		if block == 0 {
			return 0, 0, false
		}
		return block - 1, len(n.blocks[block-1]), false
	}
	at, found = slices.BinarySearchFunc(n.blocks[block], name, func(x *named, name string) int { return cmp.Compare(x.Name, name) })
	return block, at, found
}

// get returns the description of an object, or nil.
func (n *names) get(name string) *named {
	block, at, found := n.find(name)
	if !found {
		return nil
	}
	return n.blocks[block][at]
}

// set adds a description, or replaces the one with its name.
func (n *names) set(x *named) {
	block, at, found := n.find(x.Name)
	switch {
	case found:
		n.blocks[block][at] = x
		return
	case len(n.blocks) == 0:
		n.blocks = [][]*named{{x}}
	default:
		n.blocks[block] = slices.Insert(n.blocks[block], at, x)
	}
	n.count++
	if full := n.blocks[block]; len(full) > maxBlock {
		half := slices.Clone(full[maxBlock/2:])
		clear(full[maxBlock/2:])
		n.blocks[block] = full[:maxBlock/2]
		n.blocks = slices.Insert(n.blocks, block+1, half)
	}
}

// remove removes the description of an object, if there is one.
func (n *names) remove(name string) {
	block, at, found := n.find(name)
	if !found {
		return
	}
	n.count--
	is := slices.Delete(n.blocks[block], at, at+1)
	n.blocks[block] = is
	switch next := block + 1; {
	case len(is) == 0:
		n.blocks = slices.Delete(n.blocks, block, next)
	case next < len(n.blocks) && len(is)+len(n.blocks[next]) <= maxBlock/2:
		n.blocks[block] = append(is, n.blocks[next]...)
		n.blocks = slices.Delete(n.blocks, next, next+1)
	}
}

// from returns some descriptions, in order, that begin at a name or after it. None means that
// there are no others.
func (n *names) from(name string) []*named {
	block, at, _ := n.find(name)
	if block == len(n.blocks) {
		return nil
	}
	const some = 64
	rest := n.blocks[block][at:]
	return slices.Clone(rest[:min(len(rest), some)])
}

// after returns the first text that follows all texts with a prefix, or "".
func after(prefix string) string {
	for last := len(prefix) - 1; last >= 0; last-- {
		if prefix[last] < 0xff {
			return prefix[:last] + string([]byte{prefix[last] + 1})
		}
	}
	return ""
}
