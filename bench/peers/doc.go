// Package peers measures mono beside other libraries: the same work, in turns, with the results
// checked. A peer is an entry of the table peers, with a function for each kind of work. make peers
// runs the benchmarks and writes their part of docs/benchmarks.md.
//
// It is a separate module, so that the other libraries never enter mono's go.mod.
package peers
