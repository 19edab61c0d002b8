package mono

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// fullPartitions are the partitions of which a receiver gets no more messages, because
// those that it holds wait for others of their keys.
type fullPartitions struct {
	r *receiver

	mu   sync.Mutex
	keys map[int]string // by partition
}

// set receives a change. See [transport.ConsumeConfig].
func (f *fullPartitions) set(partition int, key string, full bool) {
	f.mu.Lock()
	if full {
		if f.keys == nil {
			f.keys = make(map[int]string)
		}
		f.keys[partition] = key
	} else {
		delete(f.keys, partition)
	}
	f.mu.Unlock()
	module, group := f.r.unit.name, f.r.group()
	if !full {
		f.r.in.log.Info("mono: partition is not full any more", "module", module, "handle", f.r.decl.name, "kind", f.r.decl.kind, "group", group, "partition", partition)
		f.r.in.observe(PartitionResumed{Module: module, Handle: f.r.decl, Group: group, Partition: partition})
		return
	}
	f.r.in.log.Error("mono: partition is full, it waits for a key", "module", module, "handle", f.r.decl.name, "kind", f.r.decl.kind, "group", group, "partition", partition, "key", key)
	f.r.in.observe(PartitionFull{Module: module, Handle: f.r.decl, Group: group, Partition: partition, Key: key})
}

// clear forgets all, when the member that reported them has ended.
func (f *fullPartitions) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = nil
}

// check is the health check of the partitions.
func (f *fullPartitions) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys) == 0 {
		return nil
	}
	var which []string
	for _, p := range slices.Sorted(maps.Keys(f.keys)) {
		which = append(which, fmt.Sprintf("%d (key %q)", p, f.keys[p]))
	}
	return fmt.Errorf("%s: the group %q gets no more messages of %d partitions, whose keys wait for a handler: %s: repair the handler, or lower MaxAttempts",
		f.r.decl, f.r.group(), len(which), strings.Join(which, ", "))
}
