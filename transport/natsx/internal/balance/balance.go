// Package balance divides partitions among the members of a group. Each member knows the others
// by what it hears from them, and all that know the same members compute the same shares.
//
// Members may disagree for a moment. They then ask for the same partition, or none asks for it;
// a consumer with the priority policy pinned_client has one owner all the same.
package balance

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
)

// maxMembers bounds the members that a Roster knows, since anybody may claim to be one.
const maxMembers = 1024

// Roster is the members of a group, according to one of them. It has no clock: its owner counts
// periods in which every member is heard. So a process that stood still does not think that the
// others are gone. It is not for concurrent use.
type Roster struct {
	self   string
	others map[string]int // the periods since it was heard
}

// maxSilence is the number of periods after which a member that is not heard is forgotten.
const maxSilence = 3

// NewRoster returns a roster with one member.
func NewRoster(self string) *Roster { return &Roster{self: self, others: make(map[string]int)} }

// Heard notes that a member was heard, and reports whether it is a new one.
func (r *Roster) Heard(member string) (joined bool) {
	_, known := r.others[member]
	if member == r.self || !known && len(r.others) >= maxMembers {
		return false
	}
	r.others[member] = 0
	return !known
}

// Left removes a member, and reports whether it was known.
func (r *Roster) Left(member string) (left bool) {
	_, left = r.others[member]
	delete(r.others, member)
	return left
}

// Pass ends a period. It reports whether members were forgotten.
func (r *Roster) Pass() (left bool) {
	for member := range r.others {
		if r.others[member]++; r.others[member] > maxSilence {
			delete(r.others, member)
			left = true
		}
	}
	return left
}

// Alone reports whether no other member is known.
func (r *Roster) Alone() bool { return len(r.others) == 0 }

// Share returns the partitions of the roster's own member, among those from 0 to n-1.
func (r *Roster) Share(n int) []bool {
	return Share(n, r.self, append(slices.Collect(maps.Keys(r.others)), r.self))
}

// Share returns the partitions of a member, among those from 0 to n-1. The numbers of partitions
// of any two members differ by one at most.
//
// It is rendezvous hashing with a bound for each member: of all pairs of a partition and a member,
// those with the highest weights come first. Few partitions move when a member joins or leaves.
func Share(n int, member string, members []string) []bool {
	members = slices.Compact(slices.Sorted(slices.Values(members)))
	type pair struct {
		weight            uint64
		partition, member int
	}
	pairs := make([]pair, 0, n*len(members))
	for partition := range n {
		for i, name := range members {
			pairs = append(pairs, pair{weight(name, partition), partition, i})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.partition, b.partition), cmp.Compare(a.member, b.member))
	})
	least, more := n/len(members), n%len(members) // so many members have one more
	count, taken, share := make([]int, len(members)), make([]bool, n), make([]bool, n)
	for _, p := range pairs {
		if taken[p.partition] || count[p.member] > least || count[p.member] == least && more == 0 {
			continue
		}
		if count[p.member]++; count[p.member] > least {
			more--
		}
		taken[p.partition] = true
		share[p.partition] = members[p.member] == member
	}
	return share
}

// weight is a hash of a member and a partition. FNV-1a changes its high bits too little with the
// last bytes of its input, so a finalizer (of MurmurHash3) follows.
func weight(member string, partition int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(member))
	h.Write([]byte(strconv.Itoa(partition)))
	w := h.Sum64()
	w = (w ^ w>>33) * 0xff51afd7ed558ccd
	w = (w ^ w>>33) * 0xc4ceb9fe1a85ec53
	return w ^ w>>33
}
