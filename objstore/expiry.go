package objstore

import (
	"container/heap"
	"time"
)

// expiries holds when objects expire. The server removes them without a record.
type expiries struct {
	byName map[string]*expiry
	queue  expiryQueue
}

// expiry is when an object expires.
type expiry struct {
	name     string
	revision uint64
	at       time.Time
	index    int // in the queue
}

// set notes when an object expires. The zero time means never.
func (e *expiries) set(name string, revision uint64, at time.Time) {
	e.remove(name)
	if at.IsZero() {
		return
	}
	if e.byName == nil {
		e.byName = make(map[string]*expiry)
	}
	x := &expiry{name: name, revision: revision, at: at}
	e.byName[name] = x
	heap.Push(&e.queue, x)
}

func (e *expiries) remove(name string) {
	if x := e.byName[name]; x != nil {
		heap.Remove(&e.queue, x.index)
		delete(e.byName, name)
	}
}

// next returns the object that expires first, or nil.
func (e *expiries) next() *expiry {
	if len(e.queue) == 0 {
		return nil
	}
	return e.queue[0]
}

// take removes an object that has expired, and returns it, or nil.
func (e *expiries) take(now time.Time) *expiry {
	x := e.next()
	if x == nil || now.Before(x.at) {
		return nil
	}
	e.remove(x.name)
	return x
}

// expiryQueue is a [heap.Interface].
type expiryQueue []*expiry

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *expiryQueue) Push(x any) {
	one := x.(*expiry)
	one.index = len(*q)
	*q = append(*q, one)
}

func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return x
}
