package inproc

import "slices"

// element is an element of a heap. It knows its index, so that it can be removed from the
// middle; -1 means that it is not in the heap.
type element[E any] interface {
	before(E) bool
	place() *int
}

// heap is a binary heap: its first element is before all others.
type heap[E element[E]] []E

func (h *heap[E]) push(e E) {
	*e.place() = len(*h)
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

func (h *heap[E]) pop() E {
	e := (*h)[0]
	h.remove(e)
	return e
}

// remove removes e. It does nothing if e is not in the heap.
func (h *heap[E]) remove(e E) {
	i, last := *e.place(), len(*h)-1
	if i < 0 {
		return
	}
	h.swap(i, last)
	var none E
	(*h)[last] = none
	*h = (*h)[:last]
	*e.place() = -1
	if i < last {
		h.fix(i)
	}
}

// fix restores the order after a change of the element at i.
func (h *heap[E]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h *heap[E]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !(*h)[i].before((*h)[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

// down reports whether the element has moved.
func (h *heap[E]) down(i int) bool {
	from := i
	for {
		child := 2*i + 1
		if child >= len(*h) {
			break
		}
		if right := child + 1; right < len(*h) && (*h)[right].before((*h)[child]) {
			child = right
		}
		if !(*h)[child].before((*h)[i]) {
			break
		}
		h.swap(i, child)
		i = child
	}
	return i > from
}

func (h *heap[E]) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	*s[i].place(), *s[j].place() = i, j
}

// together returns the elements of a heap that are like its first, in their order.
func together[E element[E]](h heap[E], like func(E) bool) []E {
	var all []E
	for _, e := range h {
		if like(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b E) int {
		switch {
		case a.before(b):
			return -1
		case b.before(a):
			return 1
		}
		return 0
	})
	return all
}

// nth returns together(h, like)[n]. The first element is found at once.
func nth[E element[E]](h heap[E], n int, like func(E) bool) E {
	if n == 0 {
		return h[0]
	}
	return together(h, like)[n]
}
