package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Compare returns the differences between what two processes declare, in the order of the
// handles of mine. It compares the handles that both use. Wire versions that differ are the only
// Difference.
func Compare(mine, theirs *Contract) []Difference {
	if mine.Wire != theirs.Wire {
		return []Difference{{
			Path: "wire", Severity: Broken, Direction: Both, Mine: Place{Program: mine.Program, Instance: mine.Instance}, Theirs: Place{Program: theirs.Program, Instance: theirs.Instance},
			Text: fmt.Sprintf("this program has version %d of the wire format of mono, and program %.100s has version %d: build both with releases of mono of one wire version", mine.Wire, theirs.Program, theirs.Wire),
		}}
	}
	others := make(map[[2]string]*Handle)
	for i := range theirs.Handles {
		if h := &theirs.Handles[i]; others[h.identity()] == nil {
			others[h.identity()] = h
		}
	}
	all := renamedTwice(mine, theirs)
	for i := range mine.Handles {
		if len(all) >= maxDifferences {
			return all[:maxDifferences]
		}
		a := &mine.Handles[i]
		if b := others[a.identity()]; b != nil && a.used() && b.used() {
			c := comparison{mine: a, theirs: b, myPlace: placeOf(mine, a), theirPlace: placeOf(theirs, b)}
			all = append(all, c.run()...)
		}
	}
	return all
}

// renamedTwice returns the handles whose address is the name of a renamed handle in the other program:
// they were renamed again, or lost their Formerly.
func renamedTwice(mine, theirs *Contract) (all []Difference) {
	seek := func(one, other *Contract, report func(a, b *Handle)) {
		names := make(map[[2]string]*Handle)
		for i := range one.Handles {
			if h := &one.Handles[i]; h.Renamed != "" && h.used() {
				names[[2]string{h.Kind, h.Renamed}] = h
			}
		}
		for i := range other.Handles {
			if b := &other.Handles[i]; names[b.identity()] != nil && b.used() && len(all) < maxDifferences {
				report(names[b.identity()], b)
			}
		}
	}
	add := func(a, b *Handle, first string) {
		c := comparison{mine: a, theirs: b, myPlace: placeOf(mine, a), theirPlace: placeOf(theirs, b)}
		c.add("Formerly", Broken, "it has the address %s here, and %s there, so neither gets the messages of the other one: declare the newest name with mono.Formerly(%q), the first name", a.Name, b.Name, first)
		all = append(all, c.found...)
	}
	seek(mine, theirs, func(a, b *Handle) { add(a, b, a.Name) })
	seek(theirs, mine, func(b, a *Handle) { add(a, b, b.Name) })
	return all
}

// identity returns what distinguishes a handle in its process.
func (h *Handle) identity() [2]string { return [2]string{h.Kind, h.Name} }

func placeOf(c *Contract, h *Handle) Place {
	p := Place{Declared: h.Declared, Program: c.Program, Instance: c.Instance, Version: h.Version}
	users := append(h.senders(), h.readers()...)
	slices.Sort(users)
	users = slices.Compact(users)
	for _, name := range users[:min(len(users), maxModules)] {
		m := Module{Name: name}
		if i := slices.IndexFunc(c.Modules, func(m Module) bool { return m.Name == name }); i >= 0 {
			m = c.Modules[i]
		}
		p.Modules = append(p.Modules, m)
	}
	return p
}

// comparison compares one handle of two processes.
type comparison struct {
	mine, theirs        *Handle
	myPlace, theirPlace Place
	found               []Difference
}

func (c *comparison) run() []Difference {
	switch c.mine.Kind {
	case KindService:
		c.part("request", c.mine.Request, c.theirs.Request, (*Handle).senders, (*Handle).readers)
		c.part("reply", c.mine.Reply, c.theirs.Reply, (*Handle).readers, (*Handle).senders)
	case KindQueue, KindEvent, KindStream:
		c.part("message", c.mine.Message, c.theirs.Message, (*Handle).senders, (*Handle).readers)
		c.storage()
		c.groups()
	case KindFailure:
		whoever := func(*Handle) []string { return []string{""} }
		c.part("value", c.mine.Value, c.theirs.Value, whoever, whoever)
	default:
		return nil
	}
	c.options()
	return c.found
}

// add adds a difference of an option.
func (c *comparison) add(option string, s Severity, format string, args ...any) {
	c.addTo("", option, s, Both, fmt.Sprintf(format, args...))
}

func (c *comparison) addTo(part, path string, s Severity, d Direction, text string) {
	if len(c.found) == maxDifferences {
		return
	}
	place := c.mine.String()
	if part != "" {
		place += ", " + part
		if path != "" {
			place += " field " + path
		}
	}
	c.found = append(c.found, Difference{
		Handle: c.mine.String(), Part: part, Path: path, Severity: s, Direction: d, Mine: c.myPlace, Theirs: c.theirPlace,
		Text: fmt.Sprintf("%.1200s: %.1000s; declared here at %v, and there at %v", place, text, c.myPlace, c.theirPlace),
	})
}

// part compares the payloads of one part in the directions in which it is sent.
func (c *comparison) part(name string, mine, theirs *Payload, senders, readers func(*Handle) []string) {
	if mine == nil || theirs == nil {
		return
	}
	if len(senders(c.mine)) > 0 && len(readers(c.theirs)) > 0 {
		c.payload(name, Outgoing, c.mine, c.theirs, mine, theirs)
	}
	if len(senders(c.theirs)) > 0 && len(readers(c.mine)) > 0 {
		c.payload(name, Incoming, c.theirs, c.mine, theirs, mine)
	}
}

func (c *comparison) payload(part string, d Direction, sender, reader *Handle, sent, read *Payload) {
	for _, f := range comparePayloads(sender, reader, sent, read) {
		text := fmt.Sprintf("%s: %s", f.text, f.remedy)
		switch d {
		case Outgoing:
			text = "this program sends and the other one reads: " + text
		case Incoming:
			text = "the other program sends and this one reads: " + text
		}
		c.addTo(part, f.path, f.severity, d, text)
	}
}

func comparePayloads(sender, reader *Handle, sent, read *Payload) []fault {
	sentAs, readAs := sender.contentType(), reader.contentType()
	one := func(s Severity, text, remedy string) []fault { return []fault{{"", s, text, remedy}} }
	version, same := read.version(cmp.Or(sent.Version, 1))
	switch {
	case sentAs != readAs && !reader.decodes(sentAs):
		return one(Broken, fmt.Sprintf("%s is sent, and %s is read", sentAs, readAs), "give both declarations the same mono.Codec")
	case sentAs != readAs:
		return one(Warning, fmt.Sprintf("%s is sent, and %s is declared by the reader, so the types are not compared", sentAs, readAs), "give both declarations the same mono.Codec")
	case !same:
		return one(Broken, fmt.Sprintf("version %d of the payload is sent, and the reader knows %s", cmp.Or(sent.Version, 1), read.versions()), "start the new release of the reader first, or keep its mono.Upcasts")
	case sent.Schema != nil && version.Schema != nil:
		return compareSchemas(sentAs, sent.Schema, version.Schema, read.Demands)
	case sent.Type != version.Type:
		return one(Warning, fmt.Sprintf("%s is sent, and %s is read: types in %s are compared by their names", sent.Type, version.Type, sentAs), sameType)
	}
	return nil
}

// version returns the payload that reads a version.
func (p *Payload) version(v int) (*Payload, bool) {
	if cmp.Or(p.Version, 1) == v {
		return p, true
	}
	for i := range p.Older {
		if cmp.Or(p.Older[i].Version, 1) == v {
			return &p.Older[i], true
		}
	}
	return nil, false
}

// versions lists the versions that are read.
func (p *Payload) versions() string {
	var all []string
	for i := range p.Older {
		all = append(all, fmt.Sprint(cmp.Or(p.Older[i].Version, 1)))
	}
	return strings.Join(append(all, fmt.Sprint(cmp.Or(p.Version, 1))), ", ")
}

// contentType is the content type of what is sent. A failure is JSON.
func (h *Handle) contentType() string {
	if h.Kind == KindFailure {
		return mediaJSON
	}
	media, _, _ := strings.Cut(h.Codec, ";")
	return cmp.Or(strings.ToLower(strings.TrimSpace(media)), mediaJSON)
}

// decodes reports whether the process decodes a content type into the handle's type. Every
// process knows JSON. The bytes of another format become nothing but bytes.
func (h *Handle) decodes(contentType string) bool {
	return contentType != mediaBinary && (contentType == mediaJSON || slices.Contains(h.Decodes, contentType))
}
