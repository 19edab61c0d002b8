// Package peers measures mono beside other libraries, on the same work. It is a
// module of its own, so that they never enter mono's go.mod.
package peers
