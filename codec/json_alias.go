package codec

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
)

// renaming specifies the places of aliases in the messages of a type. It never changes
// once it is made.
type renaming struct {
	exact, folded map[string]*renamed // of a struct, by names and aliases
	elem          *renaming           // of a list or a map
}

// renamed is a field of a struct, or of a struct embedded in it.
type renamed struct {
	name    string
	quoted  []byte // the name in JSON
	t       reflect.Type
	aliases []string
	within  *renaming
}

// renamingOf returns nil if the messages of a type have no aliases.
func (c *jsonWith) renamingOf(t reflect.Type) (*renaming, error) {
	outcome, ok := c.renamings.Load(t)
	if !ok {
		var made any
		r, err := c.renaming(t, make(map[reflect.Type]*renaming))
		if made = r; err != nil {
			made = err
		}
		outcome, _ = c.renamings.LoadOrStore(t, made)
	}
	if err, failed := outcome.(error); failed {
		return nil, err
	}
	return outcome.(*renaming), nil
}

func (c *jsonWith) renaming(t reflect.Type, made map[reflect.Type]*renaming) (r *renaming, err error) {
	if r, ok := made[t]; ok {
		return r, nil
	}
	if !c.reach(t, jsonMethodSet, make(map[reflect.Type]bool)) {
		return nil, nil
	}
	if t.Kind() == reflect.Pointer {
		return c.renaming(t.Elem(), made)
	}
	r = new(renaming)
	made[t] = r
	if t.Kind() != reflect.Struct {
		r.elem, err = c.renaming(t.Elem(), made)
		return r, err
	}
	names, err := c.names(t)
	if err != nil {
		return nil, err
	}
	r.exact, r.folded = make(map[string]*renamed), make(map[string]*renamed)
	for _, f := range names {
		if f.within, err = c.renaming(f.t, made); err != nil {
			return nil, err
		}
		for _, name := range append([]string{f.name}, f.aliases...) {
			r.exact[name] = f
			if key := foldName(name); r.folded[key] == nil {
				r.folded[key] = f
			}
		}
	}
	return r, nil
}

// names returns the fields of a struct and of those embedded in it, and reports a mistake in their
// aliases.
func (c *jsonWith) names(t reflect.Type) ([]*renamed, error) {
	all, err := c.inlined(t, make(map[reflect.Type]bool))
	if err != nil {
		return nil, err
	}
	owners := make(map[string]*renamed)
	for _, f := range all {
		owners[foldName(f.name)] = f
	}
	for _, f := range all {
		for _, alias := range f.aliases {
			key := foldName(alias)
			if owner := owners[key]; owner != nil && owner != f {
				return nil, nameTaken(t, alias, f.name)
			}
			owners[key] = f
		}
	}
	return all, nil
}

func (c *jsonWith) inlined(t reflect.Type, outer map[reflect.Type]bool) (all []*renamed, err error) {
	if outer[t] {
		return nil, embedsItself(t, rootPath(t))
	}
	outer[t] = true
	defer delete(outer, t)
	for f := range t.Fields() {
		name, inner := parseJSONTag(f).name, indirect(f.Type)
		embeds := f.Anonymous && inner.Kind() == reflect.Struct
		switch {
		case f.Tag.Get("json") == "-", !f.IsExported() && !embeds:
		case embeds && name == "":
			embedded, err := c.inlined(inner, outer)
			if err != nil {
				return nil, err
			}
			all = append(all, embedded...)
		default:
			all = append(all, newRenamed(cmp.Or(name, f.Name), f.Type))
		}
	}
	return all, c.addAliases(t, all)
}

func newRenamed(name string, t reflect.Type) *renamed {
	quoted, _ := json.Marshal(name)
	return &renamed{name: name, quoted: quoted, t: t}
}

// addAliases adds the aliases that were declared for a struct.
func (c *jsonWith) addAliases(t reflect.Type, to []*renamed) error {
	for _, a := range c.of(t) {
		var names []string
		found := false
		for _, f := range to {
			names = append(names, f.name)
			if f.name == a.field {
				f.aliases, found = append(f.aliases, a.others...), true
			}
		}
		if !found {
			return noField(t, a, names)
		}
	}
	return nil
}

// find returns the field that a name in a message denotes, nil if there is none, and whether the
// name is an alias. The case of a name distinguishes only fields that differ by it, as in
// encoding/json.
func (r *renaming) find(name []byte) (f *renamed, alias bool) {
	if f = r.exact[string(name)]; f == nil {
		f = r.folded[foldName(string(name))]
	}
	return f, f != nil && !strings.EqualFold(string(name), f.name)
}

// foldName replaces each letter by the first one that differs from it by case only.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
