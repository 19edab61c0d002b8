package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// storage compares how the messages of a handle are addressed and stored.
func (c *comparison) storage() {
	a, b := c.mine, c.theirs
	switch {
	case a.Stored != b.Stored && a.Kind == KindQueue:
		c.add("stored", Broken, "%s: give both declarations mono.NonPersistent, or neither", pick(a.Stored, "its jobs are stored here, and not there", "its jobs are stored there, and not here"))
		return
	case a.Stored != b.Stored:
		c.add("stored", Warning, "%s, so messages of one may be lost for the other: give both declarations mono.Durable, or neither", pick(a.Stored, "it is stored here, and not there", "it is stored there, and not here"))
	}
	partitioned := a.Partitions > 0 || b.Partitions > 0
	switch {
	case a.Keyed != b.Keyed:
		c.keyed(partitioned || !a.Stored || !b.Stored)
	case a.Partitions != b.Partitions && a.Unordered != b.Unordered:
		c.add("unordered", Broken, "%s: give both declarations mono.Unordered, or neither; to change it, declare another stream", pick(a.Unordered, "it is unordered here, and not there", "it is unordered there, and not here"))
	case a.Partitions != b.Partitions:
		c.add("partitions", Broken, "it has mono.Partitions(%d) here, and %d there, and the number is fixed when the stream is created: declare another stream for another number", a.Partitions, b.Partitions)
	case a.Unordered != b.Unordered:
		c.add("unordered", Warning, "%s, so receivers of one group contradict each other: give both declarations mono.Unordered, or neither", pick(a.Unordered, "it is unordered here, and not there", "it is unordered there, and not here"))
	}
}

// keyed reports a handle with a key on one side. Messages with and without a key have different
// subjects. Stored ones share a log, unless it has partitions.
func (c *comparison) keyed(apart bool) {
	text := pick(c.mine.Keyed, "its messages have a key here, and not there", "its messages have a key there, and not here")
	if c.mine.Kind == KindQueue {
		c.add("key", Warning, "%s, and workers without a key take the jobs of all keys: declare it with the same key on both sides", text)
		return
	}
	if apart {
		c.add("key", Broken, "%s, so they are not received: declare it with the same key on both sides, or declare another handle", text)
		return
	}
	c.add("key", Warning, "%s, so mono.Keys leaves out those without: start no receiver with Keys before all senders have the key", text)
}

func pick(first bool, yes, no string) string {
	if first {
		return yes
	}
	return no
}

// groups compares the groups of a queue, and the receivers that share a group.
func (c *comparison) groups() {
	if c.mine.Kind == KindQueue {
		c.queueGroups()
	}
	for i := range c.mine.Receivers {
		for j := range c.theirs.Receivers {
			a, b := &c.mine.Receivers[i], &c.theirs.Receivers[j]
			if a.Group != "" && a.Group == b.Group {
				c.sharedGroup(a, b)
			}
		}
	}
}

func (c *comparison) queueGroups() {
	a, b := c.mine, c.theirs
	var only []string
	for _, group := range slices.Sorted(slices.Values(slices.Concat(a.Groups, b.Groups))) {
		if !slices.Contains(a.Groups, group) || !slices.Contains(b.Groups, group) {
			only = append(only, group)
		}
	}
	if len(only) == 0 {
		return
	}
	severity := Warning
	if !a.Stored && (unserved(a, b) || unserved(b, a)) {
		severity = Broken
	}
	c.add("groups", severity, "its groups are [%s] here, and [%s] there, so jobs for %s wait, or are not sent: give both declarations the same mono.Groups", strings.Join(a.Groups, " "), strings.Join(b.Groups, " "), strings.Join(only, ", "))
}

// unserved reports a worker of a group that a sender does not send to. A queue that stores nothing
// sends to the groups that the sender knows.
func unserved(sender, worker *Handle) bool {
	return len(sender.senders()) > 0 && slices.ContainsFunc(worker.Receivers, func(r Receiver) bool {
		return !slices.Contains(sender.Groups, r.Group)
	})
}

func (c *comparison) sharedGroup(a, b *Receiver) {
	switch {
	case c.mine.Kind == KindQueue:
		if !sameKeys(a.Keys, b.Keys) {
			c.add("keys", Warning, "the workers of the group %s have mono.Keys(%s) here, and (%s) there, and those of the program that starts last or has the higher Generation decide for all", a.Group, strings.Join(a.Keys, ", "), strings.Join(b.Keys, ", "))
		}
	case !sameModule(a, b):
		c.add("group", Broken, "module %s here and module %s there share the group %s, so each message reaches one of them: give one of them another mono.Group, or the new name of a module a method Formerly() string", a.Module, b.Module, a.Group)
	case !sameKeys(a.Keys, b.Keys):
		c.add("keys", Broken, "the group %s has mono.Keys(%s) here, and (%s) there, and a group has one filter: give both receivers the same Keys, or one of them another mono.Group", a.Group, strings.Join(a.Keys, ", "), strings.Join(b.Keys, ", "))
	case a.Unordered != b.Unordered:
		c.add("unordered", Warning, "the group %s is unordered in one of the programs only, and a group has one order: give both receivers mono.Unordered, or neither", a.Group)
	}
	c.differing(receiverOptions, a.Options, b.Options, fmt.Sprintf("the group %s", a.Group))
}

// sameModule reports whether two receivers of a group are of one module, or of one that was renamed:
// it says so, or it keeps the group that is named after the other one.
func sameModule(a, b *Receiver) bool {
	return cmp.Or(a.Formerly, a.Module) == cmp.Or(b.Formerly, b.Module) || a.Module == a.Group || b.Module == b.Group
}

func sameKeys(a, b []string) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
}

// sharedOptions are the options that a handle has once, in its log or at its callers.
// receiverOptions are those that the members of a group should share. Other options concern one
// process only.
var (
	sharedOptions   = []string{"MaxAge", "MaxMessages", "MaxBytes", "MaxPerKey", "MaxPending", "MaxDelayed", "DedupWindow", "Code", "HTTPStatus"}
	receiverOptions = []string{"AckWait", "Backoff", "MaxAttempts", "Timeout"}
)

// options compares the options that both sides should share, and the versions.
func (c *comparison) options() {
	c.differing(sharedOptions, c.mine.Options, c.theirs.Options, "it")
	if a, b := major(c.mine.Version), major(c.theirs.Version); a != b && a != "" && b != "" {
		c.add("Version", Warning, "it has mono.Version(%s) here, and %s there, which are incompatible by their numbers: declare another handle for another contract", c.mine.Version, c.theirs.Version)
	}
}

func (c *comparison) differing(names []string, mine, theirs map[string]string, what string) {
	for _, name := range names {
		if a, b := mine[name], theirs[name]; a != b {
			c.add(name, Warning, "%s has %s here, and %s there, and the program that starts last or has the higher Generation decides: give both declarations the same option", what, written(name, a), written(name, b))
		}
	}
}

// written describes an option as a declaration has it.
func written(name, value string) string {
	if value == "" {
		return "no mono." + name
	}
	return fmt.Sprintf("mono.%s(%.100s)", name, value)
}

// major returns the first number of a version, and the second one if that is 0: by Semantic
// Versioning these releases are incompatible.
func major(version string) string {
	first, rest, ok := strings.Cut(version, ".")
	if !ok || first != "0" {
		return first
	}
	second, _, _ := strings.Cut(rest, ".")
	return first + "." + second
}
