package inproc

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// router finds the subscriptions for a subject. The authoritative data is a tree of
// patterns under a lock. Beside it are the routes that the tree has returned since its
// last change; they are read without a lock.
type router struct {
	answers atomic.Pointer[answers]

	mu   sync.Mutex
	root node
}

// answers caches routes by subject. A change of the tree replaces the whole cache. A
// publisher that holds the old one may still deliver to a subscription that has ended,
// which rejects the message.
type answers struct {
	routes sync.Map // string to *route
	count  int      // of routes, under the router's lock
	inbox  bool     // whether a subscription, or a log, could match an inbox
}

// maxAnswers is the maximum number of cached routes. At the limit all are dropped
// together. A system that publishes on more subjects walks the tree now and then, and its
// memory stays bounded.
const maxAnswers = 8192

// route is the destination of a subject: the log, unless it is nil, all of plain, and one
// member of each group.
type route struct {
	log    *log
	plain  []*subscription
	groups [][]*subscription
}

var noRoute = new(route)

func newRouter() *router {
	r := new(router)
	r.answers.Store(new(answers))
	return r
}

// route returns the route of subject, which must be valid.
func (r *router) route(subject string) *route {
	known := r.answers.Load()
	if strings.HasPrefix(subject, inboxPrefix) && !known.inbox {
		return noRoute
	}
	if to, ok := known.routes.Load(subject); ok {
		return to.(*route)
	}
	return r.find(subject)
}

// find walks the tree and caches the route, except that of an inbox: no two requests have
// the same inbox.
func (r *router) find(subject string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := newRoute(r.root.match(subject, new(matches)))
	known := r.answers.Load()
	if strings.HasPrefix(subject, inboxPrefix) {
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

// matches holds the results of a walk of the tree.
type matches struct {
	log           *log
	subscriptions []*subscription
}

func newRoute(found *matches) *route {
	to := &route{log: found.log}
	index := make(map[string]int)
	for _, s := range found.subscriptions {
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

// members returns the members of one group.
func (to *route) members(group string) []*subscription {
	for _, members := range to.groups {
		if members[0].group == group {
			return members
		}
	}
	return nil
}

// add activates s.
func (r *router) add(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.inForce = true
	n := r.root.at(s.pattern)
	n.ending = append(n.ending, s)
	r.changed()
}

// remove deactivates s. Removing it again does nothing.
func (r *router) remove(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.inForce {
		return
	}
	s.inForce = false
	r.root.remove(s.pattern, func(n *node) {
		i := slices.Index(n.ending, s)
		n.ending = slices.Delete(n.ending, i, i+1)
	})
	r.changed()
}

// move replaces the subjects of a log by its current ones.
func (r *router) move(l *log, was, is []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pattern := range was {
		r.root.remove(pattern, func(n *node) { n.log = nil })
	}
	for _, pattern := range is {
		r.root.at(pattern).log = l
	}
	r.changed()
}

func (r *router) changed() {
	r.answers.Store(&answers{inbox: r.root.mayMatchUnder(inboxToken)})
}

// node is a node in the tree of patterns. Its children are found by token, including "*"
// and ">". No token of a subject has these names, so a wildcard and a literal cannot be
// confused.
type node struct {
	children map[string]*node
	ending   []*subscription // subscriptions whose pattern ends here
	log      *log            // a log with a subject that ends here
}

// at finds or creates the node at which a pattern ends.
func (n *node) at(pattern string) *node {
	for token := range strings.SplitSeq(pattern, ".") {
		n = n.child(token)
	}
	return n
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

// remove calls take for the node at which a pattern ends, and removes every node on the
// way that has become empty.
func (n *node) remove(pattern string, take func(*node)) {
	token, rest, more := strings.Cut(pattern, ".")
	c := n.children[token]
	if more {
		c.remove(rest, take)
	} else {
		take(c)
	}
	if len(c.children) == 0 && len(c.ending) == 0 && c.log == nil {
		delete(n.children, token)
	}
}

// match adds the subscriptions whose pattern matches subject, and the log.
func (n *node) match(subject string, found *matches) *matches {
	token, rest, more := strings.Cut(subject, ".")
	if c := n.children[">"]; c != nil {
		found.add(c)
	}
	for _, c := range []*node{n.children["*"], n.children[token]} {
		switch {
		case c == nil:
		case more:
			c.match(rest, found)
		default:
			found.add(c)
		}
	}
	return found
}

func (m *matches) add(n *node) {
	m.subscriptions = append(m.subscriptions, n.ending...)
	if n.log != nil {
		m.log = n.log
	}
}

// mayMatchUnder reports whether a subject that begins with token could match.
func (n *node) mayMatchUnder(token string) bool {
	return n.children[token] != nil || n.children["*"] != nil || n.children[">"] != nil
}
