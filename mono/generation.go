package mono

import (
	"runtime/debug"
	"slices"
	"time"
)

// Generation orders the versions of a program that share stored handles. After a higher
// generation has set a log's options, a lower one leaves them unchanged. So an older
// binary that restarts does not undo the changes of a newer one.
//
// The default is the time of the commit of the binary, in seconds of Unix time, as the
// go command records it (go help build, -buildvcs). If it recorded none, as for go run,
// the default is 0, and the start of an App with stored handles logs a warning: an older
// binary can undo the changes of a newer one.
func Generation(n uint64) AppOption {
	return func(o *appOptions) { o.generation, o.generationSet = n, true }
}

// checkGeneration warns of a binary without a generation, if stored options outlive it.
func (in *instance) checkGeneration() {
	o := &in.app.options
	if o.generation > 0 || o.generationSet || !in.app.transport.Capabilities().Durable {
		return
	}
	if len(in.plan.components) > 0 || slices.ContainsFunc(in.plan.units, func(u *unit) bool { return slices.ContainsFunc(u.messages, (*declaration).stored) }) {
		in.log.Warn("mono: the binary has Generation 0, so an older one that restarts can undo its changes of stored options: build it with -buildvcs=true, or set mono.Generation")
	}
}

func buildGeneration() uint64 {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return 0
	}
	for _, s := range info.Settings {
		if s.Key != "vcs.time" {
			continue
		}
		if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
			return uint64(max(t.Unix(), 0))
		}
	}
	return 0
}
