// Package interop has tests that stores of package objstore are those of the nats command and
// of nats.js: what one of them writes, the others read and watch.
//
// The tests with the tools themselves run with `make interop`, which installs the tools. The
// other tests replay messages that the tools have written, and compare what mono writes with
// messages that the tools have read.
package interop
