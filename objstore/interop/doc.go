// Package interop tests that package objstore, the nats command and nats.js exchange objects:
// each reads and watches the objects of the others. nats.js cannot look up a name outside ASCII.
// tus-js-client uploads, loses its connection or its process, and continues.
//
// The tests with the tools themselves run with `make interop`, which installs the tools. The
// other tests replay messages that the tools have written, and compare what mono writes with
// messages that the tools have read.
package interop
