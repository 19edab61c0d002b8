package mono

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// InRole returns a module that runs only in the processes of a role. All processes of a
// system are the same program, with the same modules; ActiveRoles selects those that a
// process runs. A module without a role runs in every process, and so do middleware and
// observers. A module in several roles runs in the processes of each.
//
//	app := mono.New(tr, mono.ActiveRoles("web"))
//	app.Add(&orders.Module{}, mono.InRole("web", &shop.Module{}), mono.InRole("worker", &mail.Module{}))
//
// The start checks all modules. It binds those of other roles too, which does no I/O, and
// neither starts them nor receives for them; a send through their Scope fails with
// FailedPrecondition. Their services are remote, so a process of their role has to run: a
// call fails with Unavailable until it does, also in the Start of a module. Their durable
// groups are created with the logs that this process opens, so they miss nothing that it
// sends before they first run.
//
// Resources and channels do not leave a process. A module that needs a resource runs only
// in processes of its provider, and the modules that share a channel have the same roles.
// The start reports modules that break these rules, also in a process that runs them all.
//
// A module that wraps another one is wrapped itself: InRole("worker", Traced(&mail.Module{})). If
// it wraps a module with a role, it hides the role, and runs in every process.
//
// A role is named like a module. If m has a name of its own, it keeps it.
func InRole(role string, m Module) Module { return &roleModule{m, role} }

type roleModule struct {
	Module
	role string
}

// Name returns the name of the module, for code that gets it before the App does.
func (m *roleModule) Name() string {
	if m.Module == nil {
		return "" // the start reports it
	}
	name, _ := moduleName(m.Module)
	return name
}

// ActiveRoles selects the roles of the process. Without it all modules run. A role that no
// module has is a mistake that Start reports.
func ActiveRoles(roles ...string) AppOption {
	return func(o *appOptions) { o.roles, o.rolesSet = append(o.roles, roles...), true }
}

// rolesOf returns a module without its roles, and the roles, sorted.
func rolesOf(module any) (any, []string) {
	var roles []string
	for {
		m, ok := module.(*roleModule)
		if !ok || m == nil {
			slices.Sort(roles)
			return module, slices.Compact(roles)
		}
		module, roles = m.Module, append(roles, m.role)
	}
}

// activeRoles returns the roles of the process as a setting.
func (o *appOptions) activeRoles() string {
	if !o.rolesSet {
		return "all"
	}
	return strings.Join(o.roles, " ")
}

// runs reports whether a process runs a module with these roles.
func (o *appOptions) runs(roles []string) bool {
	return len(roles) == 0 || !o.rolesSet || slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(o.roles, r) })
}

// checkRoles reports roles that do not exist, and resources and channels of modules that run
// in different processes. It removes the channels that no module here uses.
func (b *binder) checkRoles() {
	var known []string
	for _, u := range b.plan.units {
		known = append(known, u.roles...)
		for _, role := range u.roles {
			if !isGroup(role) {
				b.report.add(u.name, nil, "its role %q is not a name: want 1 to %d lower-case letters, digits and single hyphens", role, maxName)
			}
		}
		for _, n := range u.needed {
			if p, ok := b.plan.providers[n.decl.identity()]; ok && !p.unit.runsWith(u) {
				b.report.add(u.name, n.decl, "this module runs in %s, and module %s, which provides it, in %s: a resource does not leave its process, so give both modules the same roles", u.processes(), p.unit.name, p.unit.processes())
			}
		}
	}
	slices.Sort(known)
	for _, role := range b.in.app.options.roles {
		switch {
		case len(known) == 0:
			b.report.add("", nil, "ActiveRoles has %q, and no module is in a role: add modules with mono.InRole", role)
		case !slices.Contains(known, role):
			b.report.add("", nil, "ActiveRoles has %q, and no module is in this role: use one of %q", role, slices.Compact(known))
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(b.plan.channels), compareIdentity) {
		c := b.plan.channels[id]
		users := slices.Concat(c.senders, c.receivers)
		first := users[0]
		for _, u := range users[1:] {
			if !slices.Equal(first.roles, u.roles) {
				b.report.add(u.name, c.decl, "this module runs in %s, and module %s, which uses it too, in %s: a channel does not leave its process, so give both modules the same roles", u.processes(), first.name, first.processes())
			}
		}
		if first.inactive {
			delete(b.plan.channels, id)
		}
	}
}

// runsWith reports whether every process that runs other runs u too.
func (u *unit) runsWith(other *unit) bool {
	missing := func(role string) bool { return !slices.Contains(u.roles, role) }
	return len(u.roles) == 0 || len(other.roles) > 0 && !slices.ContainsFunc(other.roles, missing)
}

// processes describes the processes that run a unit.
func (u *unit) processes() string {
	if len(u.roles) == 0 {
		return "every process"
	}
	return fmt.Sprintf("processes of the roles %q", u.roles)
}

// away returns the error of a send by a unit that does not run here, or nil.
func (u *unit) away(d *declaration) error {
	if u == nil || !u.inactive {
		return nil
	}
	return notDone(FailedPrecondition, "%s: module %s does not run in this process, but in %s: use it there, or add its role with mono.ActiveRoles", d, u.name, u.processes())
}

// divide separates the units that do not run here.
func (p *plan) divide() {
	for _, u := range p.units {
		if u.inactive {
			p.inactive = append(p.inactive, u)
		}
	}
	p.units = slices.DeleteFunc(p.units, func(u *unit) bool { return u.inactive })
}
