package mono

import (
	"maps"
	"slices"
	"strings"
)

// InRole returns a module that runs only in the processes of a role. All processes of a
// system are the same program, with the same modules; ActiveRoles selects those that a
// process runs. A module without a role runs in every process. A module in several roles
// runs in the processes of each.
//
//	app := mono.New(tr, mono.ActiveRoles("web"))
//	app.Add(&orders.Module{}, mono.InRole("web", &shop.Module{}), mono.InRole("worker", &mail.Module{}))
//
// The start checks all modules. It binds those of other roles too, which does no I/O, and
// neither starts them nor receives for them. Their services are remote, so a process of
// their role has to run. Their durable groups are created with the logs that this
// process opens, so they miss nothing that it sends before they first run. Resources and
// channels do not leave a process: the start reports a module that shares one with a
// module that does not run here.
//
// A role is named like a module. If m has a name of its own, it keeps it.
func InRole(role string, m Module) Module { return &roleModule{m, role} }

type roleModule struct {
	Module
	role string
}

// Name returns the name of the module, for code that gets it before the App does.
func (m *roleModule) Name() string {
	name, _ := moduleName(m.Module)
	return name
}

// ActiveRoles selects the roles of the process. Without it all modules run. A role that no
// module has is a mistake that Start reports.
func ActiveRoles(roles ...string) AppOption {
	return func(o *appOptions) { o.roles, o.rolesSet = append(o.roles, roles...), true }
}

// rolesOf returns a module without its roles.
func rolesOf(module any) (any, []string) {
	var roles []string
	for {
		m, ok := module.(*roleModule)
		if !ok || m == nil {
			return module, roles
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

// checkRoles reports roles that do not exist, and what cannot be shared with a module that does
// not run here.
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
			if p, ok := b.plan.providers[n.decl.identity()]; ok && !u.inactive && p.unit.inactive {
				b.report.add(u.name, n.decl, "module %s provides it, and does not run in this process, since its roles are %q: give both modules the same role", p.unit.name, p.unit.roles)
			}
		}
	}
	for _, role := range b.in.app.options.roles {
		if !slices.Contains(known, role) {
			b.report.add("", nil, "ActiveRoles has %q, and no module is in this role: use one of %q", role, slices.Compact(slices.Sorted(slices.Values(known))))
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(b.plan.channels), compareIdentity) {
		c := b.plan.channels[id]
		users := slices.Concat(c.senders, c.receivers)
		here := slices.IndexFunc(users, func(u *unit) bool { return !u.inactive })
		elsewhere := slices.IndexFunc(users, func(u *unit) bool { return u.inactive })
		switch {
		case here < 0:
			delete(b.plan.channels, id)
		case elsewhere >= 0:
			b.report.add(users[here].name, c.decl, "module %s uses it too, and does not run in this process, since its roles are %q: give both modules the same role", users[elsewhere].name, users[elsewhere].roles)
		}
	}
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
