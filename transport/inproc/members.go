package inproc

import (
	"cmp"
	"slices"
)

// members holds the members of a group.
type members struct {
	joined uint64 // so far
	all    []*member
	idle   []*member // those that can take a delivery, in the order in which they joined
}

// add adds a member, and numbers it.
func (ms *members) add(m *member) {
	ms.joined++
	m.number = ms.joined
	ms.all = append(ms.all, m)
}

func (ms *members) remove(m *member) {
	is := func(other *member) bool { return other == m }
	ms.all = slices.DeleteFunc(ms.all, is)
	ms.idle = slices.DeleteFunc(ms.idle, is)
}

// rest adds a member to the idle ones, unless it is one.
func (ms *members) rest(m *member) {
	i, there := slices.BinarySearchFunc(ms.idle, m, func(a, b *member) int { return cmp.Compare(a.number, b.number) })
	if !there {
		ms.idle = slices.Insert(ms.idle, i, m)
	}
}

// take takes an idle member.
func (ms *members) take(choice int) *member {
	m := ms.idle[choice]
	ms.idle = slices.Delete(ms.idle, choice, choice+1)
	return m
}
