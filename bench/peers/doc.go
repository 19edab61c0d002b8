// Package peers measures mono beside other libraries, on the same work. It is a separate
// module, so that they never enter mono's go.mod.
package peers
