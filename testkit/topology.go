package testkit

import (
	"maps"
	"slices"
	"sync"

	"gomono.dev/mono"
)

// topology is the information that the App of a program gave at its start.
type topology struct {
	mu        sync.Mutex
	usages    map[handleKey]map[mono.Usage][]string // modules
	groups    map[handleKey]map[string]string       // the group of a module with the option Group
	stored    map[handleKey]bool                    // if its options differ from the default of its kind
	modules   map[string]bool
	namespace string
}

func (t *topology) bound(o mono.HandleBound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.usages == nil {
		t.usages = make(map[handleKey]map[mono.Usage][]string)
		t.modules = make(map[string]bool)
	}
	t.modules[o.Module] = true
	k := keyOf(o.Handle)
	if t.usages[k] == nil {
		t.usages[k] = make(map[mono.Usage][]string)
	}
	if !slices.Contains(t.usages[k][o.Usage], o.Module) {
		t.usages[k][o.Usage] = append(t.usages[k][o.Usage], o.Module)
	}
}

func (t *topology) configured(o mono.Configured) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case o.Handle == nil && o.Component == "" && o.Name == "Namespace":
		t.namespace = o.Value
	case o.Name == "Group" && o.Module != "":
		if t.groups == nil {
			t.groups = make(map[handleKey]map[string]string)
		}
		k := keyOf(o.Handle)
		if t.groups[k] == nil {
			t.groups[k] = make(map[string]string)
		}
		t.groups[k][o.Module] = o.Value
	case o.Handle != nil && (o.Name == "Durable" || o.Name == "NonPersistent"):
		if t.stored == nil {
			t.stored = make(map[handleKey]bool)
		}
		t.stored[keyOf(o.Handle)] = o.Name == "Durable"
	}
}

// uses reports whether a module uses a handle.
func (t *topology) uses(k handleKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.usages[k] != nil
}

// handles lists the handles that modules use.
func (t *topology) handles() []handleKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.usages))
}

// provider returns the module that provides a service, or "".
func (t *topology) provider(k handleKey) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.usages[k][mono.UsageProvides]; len(p) > 0 {
		return p[0]
	}
	return ""
}

// member returns the module that receives in a group of a handle, or "" if several share it.
func (t *topology) member(k handleKey, group string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	consumers := t.usages[k][mono.UsageConsumes]
	for _, m := range consumers {
		if own := t.groups[k][m]; own == group || own == "" && m == group {
			return m
		}
	}
	if k.kind == mono.KindQueue && len(consumers) == 1 {
		return consumers[0]
	}
	return ""
}

// moduleNames lists the modules that use a handle.
func (t *topology) moduleNames() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.modules))
}

// isStored reports whether messages of a handle are kept until they are handled.
func (t *topology) isStored(k handleKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stored, ok := t.stored[k]; ok {
		return stored
	}
	return k.kind == mono.KindQueue || k.kind == mono.KindStream
}

// prefix is the namespace of the App, or "".
func (t *topology) prefix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.namespace
}
