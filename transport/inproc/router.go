package inproc

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// router finds the subscriptions that a subject goes to. The truth is a tree of
// patterns under a lock; beside it are the answers that the tree has given since
// it last changed, which are read without one.
type router struct {
	answers atomic.Pointer[answers] // nil after close

	mu            sync.Mutex
	root          node
	subscriptions map[*subscription]bool // true: in force; false: it has ended, its goroutine has not. nil after close
}

// answers holds routes by subject. A change of the tree replaces the whole: a
// publisher that holds the old one may still deliver to a subscription that has
// ended, which refuses it.
type answers struct {
	routes sync.Map // string to *route
	count  int      // of routes, under the router's lock
	inbox  bool     // whether a subscription could match an inbox
}

// maxAnswers bounds the routes that are kept. At the bound they are forgotten
// together: a system that publishes on that many subjects pays for a walk of the
// tree now and then, and memory stays bounded.
const maxAnswers = 8192

// route is where a subject goes: to all of plain, and to one of each group.
type route struct {
	plain  []*subscription
	groups [][]*subscription
}

var nowhere = new(route)

func newRouter() *router {
	r := &router{subscriptions: make(map[*subscription]bool)}
	r.answers.Store(new(answers))
	return r
}

func (r *router) isClosed() bool { return r.answers.Load() == nil }

// route returns where subject goes. The subject must be valid.
func (r *router) route(subject string) *route {
	known := r.answers.Load()
	if known == nil {
		return nowhere
	}
	if strings.HasPrefix(subject, inboxPrefix) && !known.inbox {
		return nowhere
	}
	if to, ok := known.routes.Load(subject); ok {
		return to.(*route)
	}
	return r.find(subject)
}

// find asks the tree and keeps the answer, but not that for an inbox: no two
// requests have the same.
func (r *router) find(subject string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := newRoute(r.root.match(subject, nil))
	known := r.answers.Load()
	if known == nil || strings.HasPrefix(subject, inboxPrefix) {
		return to
	}
	if known.count == maxAnswers {
		known = &answers{inbox: known.inbox}
		r.answers.Store(known)
	}
	known.routes.Store(strings.Clone(subject), to)
	known.count++
	return to
}

func newRoute(matches []*subscription) *route {
	to := new(route)
	index := make(map[string]int)
	for _, s := range matches {
		if s.group == "" {
			to.plain = append(to.plain, s)
			continue
		}
		i, ok := index[s.group]
		if !ok {
			i = len(to.groups)
			index[s.group] = i
			to.groups = append(to.groups, nil)
		}
		to.groups[i] = append(to.groups[i], s)
	}
	return to
}

// members returns those of one group.
func (to *route) members(group string) []*subscription {
	for _, members := range to.groups {
		if members[0].group == group {
			return members
		}
	}
	return nil
}

// add puts s in force. It reports false when the router is closed.
func (r *router) add(s *subscription) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscriptions == nil {
		return false
	}
	r.subscriptions[s] = true
	r.root.add(s.pattern, s)
	r.changed()
	return true
}

// remove lets nothing more go to s. Removing twice does nothing.
func (r *router) remove(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.subscriptions[s] {
		return
	}
	r.subscriptions[s] = false
	r.root.remove(s.pattern, s)
	r.changed()
}

// forget ends what add began, after remove. In between, s is still there for
// close: it drains.
func (r *router) forget(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.subscriptions, s)
}

func (r *router) changed() {
	r.answers.Store(&answers{inbox: r.root.mayMatchUnder(inboxToken)})
}

// close forgets every subscription and returns them, those that drain included.
func (r *router) close() []*subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers.Store(nil)
	ended := make([]*subscription, 0, len(r.subscriptions))
	for s := range r.subscriptions {
		ended = append(ended, s)
	}
	r.subscriptions, r.root = nil, node{}
	return ended
}

// node is a place in the tree of patterns. Its children are found by token, "*"
// and ">" among them: no subject has a token of these names, so a wildcard and a
// literal cannot be mistaken for each other.
type node struct {
	children map[string]*node
	ending   []*subscription // whose pattern ends here
}

func (n *node) add(pattern string, s *subscription) {
	for token := range strings.SplitSeq(pattern, ".") {
		n = n.child(token)
	}
	n.ending = append(n.ending, s)
}

func (n *node) child(token string) *node {
	c := n.children[token]
	if c == nil {
		if n.children == nil {
			n.children = make(map[string]*node)
		}
		c = new(node)
		n.children[token] = c
	}
	return c
}

// remove takes s out, and on the way back every node that has become empty.
func (n *node) remove(pattern string, s *subscription) {
	token, rest, more := strings.Cut(pattern, ".")
	c := n.children[token]
	if more {
		c.remove(rest, s)
	} else {
		i := slices.Index(c.ending, s)
		c.ending = slices.Delete(c.ending, i, i+1)
	}
	if len(c.children) == 0 && len(c.ending) == 0 {
		delete(n.children, token)
	}
}

// match appends the subscriptions whose pattern matches subject.
func (n *node) match(subject string, to []*subscription) []*subscription {
	token, rest, more := strings.Cut(subject, ".")
	if c := n.children[">"]; c != nil {
		to = append(to, c.ending...)
	}
	for _, c := range []*node{n.children["*"], n.children[token]} {
		switch {
		case c == nil:
		case more:
			to = c.match(rest, to)
		default:
			to = append(to, c.ending...)
		}
	}
	return to
}

// mayMatchUnder reports whether a subject that begins with token could match.
func (n *node) mayMatchUnder(token string) bool {
	return n.children[token] != nil || n.children["*"] != nil || n.children[">"] != nil
}
