package mono

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Topology describes what an App consists of. It marshals to JSON, and is the same for
// the same program.
type Topology struct {
	State     State        `json:"state"`
	Transport string       `json:"transport"`
	Namespace string       `json:"namespace,omitempty"`
	Modules   []ModuleInfo `json:"modules"` // in the order of their start
	Handles   []HandleInfo `json:"handles"` // by kind and name; the lists name modules of this process

	Inactive   []ModuleInfo    `json:"inactive,omitempty"`   // modules that run in processes of other roles
	Components []ComponentInfo `json:"components,omitempty"` // by kind and name
}

// ModuleInfo describes a module. The lists hold "kind name".
type ModuleInfo struct {
	Name     string   `json:"name"`
	Formerly string   `json:"formerly,omitempty"` // the name that its groups keep
	Version  string   `json:"version"`
	Plugin   bool     `json:"plugin,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Provides []string `json:"provides,omitempty"`
	Needs    []string `json:"needs,omitempty"`
	Produces []string `json:"produces,omitempty"`
	Consumes []string `json:"consumes,omitempty"`
	Reads    []string `json:"reads,omitempty"`
	Uses     []string `json:"uses,omitempty"` // components
}

// HandleInfo describes a handle. The lists name modules.
type HandleInfo struct {
	Kind        Kind              `json:"kind"`
	Name        string            `json:"name"`
	Version     string            `json:"version,omitempty"`
	Doc         string            `json:"doc,omitempty"`
	Types       []string          `json:"types"` // Go types: request and reply, or payload
	Codec       string            `json:"codec,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Log         string            `json:"log,omitempty"` // of a stored handle; that of its dead letters has "__dead" at the end
	Declared    string            `json:"declared"`      // file:line
	Settings    map[string]string `json:"settings,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"` // texts of the values of Annotate, by key
	Provides    []string          `json:"providedBy,omitempty"`
	Needs       []string          `json:"neededBy,omitempty"`
	Produces    []string          `json:"producedBy,omitempty"`
	Consumes    []string          `json:"consumedBy,omitempty"`
	Reads       []string          `json:"readBy,omitempty"`
	Remote      bool              `json:"remote,omitempty"` // provided by another process
}

// Describe returns the topology of the App. Modules, handles and components are known once
// the App has started. Before that, and after a failed start, the lists are empty.
func (a *App) Describe() Topology {
	t := Topology{State: a.State(), Transport: a.transport.Capabilities().Name, Namespace: string(a.options.namespace)}
	in := a.current.Load()
	if in == nil {
		return t
	}
	handles := make(map[identity]*HandleInfo)
	for id, d := range in.plan.handles {
		_, remote := a.remote[d.address()]
		if p := in.plan.providers[id]; p.service != nil && p.unit.inactive {
			remote = true
		}
		handles[id] = in.describe(d, remote)
	}
	for _, u := range in.plan.units {
		for _, b := range u.usages {
			handles[b.Handle.declared().identity()].note(b)
		}
		t.Modules = append(t.Modules, u.describe())
	}
	for _, u := range in.plan.inactive {
		t.Inactive = append(t.Inactive, u.describe())
	}
	for _, h := range handles {
		t.Handles = append(t.Handles, *h)
	}
	slices.SortFunc(t.Handles, func(a, b HandleInfo) int {
		return compareIdentity(identity{a.Kind, a.Name}, identity{b.Kind, b.Name})
	})
	for _, id := range slices.SortedFunc(maps.Keys(in.plan.components), compareIdentity) {
		t.Components = append(t.Components, in.plan.components[id].describe(in.names))
	}
	return t
}

func (u *unit) describe() ModuleInfo {
	m := ModuleInfo{Name: u.name, Formerly: u.formerly, Version: u.version, Plugin: u.plugin, Roles: u.roles}
	for _, b := range u.usages {
		m.note(b)
	}
	for i := range u.components {
		add(&m.Uses, componentIdentity(&u.components[i]).String())
	}
	return m
}

func compareIdentity(a, b identity) int {
	return cmp.Or(strings.Compare(string(a.kind), string(b.kind)), strings.Compare(a.name, b.name))
}

func (in *instance) describe(d *declaration, remote bool) *HandleInfo {
	h := &HandleInfo{Kind: d.kind, Name: d.name, Version: d.config.Version, Doc: d.config.Doc, Declared: d.place, Settings: d.config.settings(), Annotations: d.config.annotations(), Remote: remote}
	for _, t := range d.types {
		h.Types = append(h.Types, t.String())
	}
	if d.kind.hasMessages() {
		h.Codec = in.codecs.own(d).ContentType()
		h.Subject = in.names.patterns(d, &d.config)[0]
		if d.stored() {
			h.Log = in.names.log(d)
		}
	}
	return h
}

func (m *ModuleInfo) note(b HandleBound) {
	add(map[Usage]*[]string{UsageProvides: &m.Provides, UsageNeeds: &m.Needs, UsageProduces: &m.Produces, UsageConsumes: &m.Consumes, UsageReads: &m.Reads}[b.Usage], b.Handle.declared().String())
}

func (h *HandleInfo) note(b HandleBound) {
	add(map[Usage]*[]string{UsageProvides: &h.Provides, UsageNeeds: &h.Needs, UsageProduces: &h.Produces, UsageConsumes: &h.Consumes, UsageReads: &h.Reads}[b.Usage], b.Module)
}

func add(to *[]string, what string) {
	if !slices.Contains(*to, what) {
		*to = append(*to, what)
	}
}

// observeConfiguration reports the settings, the handles of modules and the components to observers.
func (in *instance) observeConfiguration() {
	in.observeSettings(Configured{}, in.app.settings(), nil)
	for _, id := range slices.SortedFunc(maps.Keys(in.plan.handles), compareIdentity) {
		d := in.plan.handles[id]
		in.observeSettings(Configured{Handle: d}, d.config.settings(), nil)
	}
	for _, u := range in.plan.units {
		for _, usage := range u.usages {
			in.observe(usage)
		}
		for _, r := range u.receivers {
			in.observeSettings(Configured{Handle: r.decl, Module: u.name}, r.config.settings(), r.decl.config.settings())
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(in.plan.components), compareIdentity) {
		in.observeSettings(Configured{Component: id.String()}, in.plan.components[id].Settings, nil)
	}
}

// observeSettings reports the settings that differ from known, as copies of c.
func (in *instance) observeSettings(c Configured, settings, known map[string]string) {
	for _, c.Name = range sortedKeys(settings) {
		c.Value = settings[c.Name]
		if value, ok := known[c.Name]; !ok || value != c.Value {
			in.observe(c)
		}
	}
}

// settings returns the settings of the App, for observers.
func (a *App) settings() map[string]string {
	o := &a.options
	return map[string]string{
		"Namespace": string(o.namespace), "DefaultCodec": o.codec.ContentType(), "StartTimeout": o.startTimeout.String(),
		"StopTimeout": o.stopTimeout.String(), "DrainDelay": o.drainDelay.String(), "HealthTimeout": o.healthTimeout.String(), "NoLocalCalls": fmt.Sprint(o.noLocalCalls), "ActiveRoles": o.activeRoles(),
		"Generation": fmt.Sprint(o.generation), "RefuseDifferences": fmt.Sprint(o.refuseDifferences), "Transport": a.transport.Capabilities().Name,
		"Propagate": strings.Join(o.propagatedHeaders(), ", "),
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
