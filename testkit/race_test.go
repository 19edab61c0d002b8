//go:build race

package testkit_test

// raceEnabled says that the race detector slows everything down.
const raceEnabled = true
