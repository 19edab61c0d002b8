package mono

import (
	"cmp"
	"maps"
	"slices"

	"gomono.dev/mono/internal/contract"
)

// Contract is what a running process declares: its modules and the handles that they use. See
// [App.Contracts].
type Contract struct {
	Program    string       `json:"program"`  // the name of the executable
	Instance   string       `json:"instance"` // the id of one process with this Contract
	Generation uint64       `json:"generation,omitempty"`
	Modules    []ModuleInfo `json:"modules"` // in the order of their start
	Handles    []HandleInfo `json:"handles"` // by kind and name

	// Differences lists the differences from the Contract of this process.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is one difference between what this process and another one declare.
type Difference struct {
	Handle string `json:"handle,omitempty"` // kind and name, as in "queue orders.receipts"; "" for all
	Part   string `json:"part,omitempty"`   // "request", "reply", "message" or "value"; "" for an option
	Path   string `json:"path"`             // the field, as in "lines[].quantity", or the option

	// Broken reports that some messages are refused by their reader, or do not arrive. Otherwise
	// all are read, and a part of some is lost, or zero.
	Broken bool `json:"broken,omitempty"`

	// Direction is "outgoing" if this process sends the messages, "incoming" if it reads them,
	// and "both" for an option.
	Direction string `json:"direction"`

	Program  string `json:"program"`  // the other one
	Instance string `json:"instance"` // a process of it

	// Text is the whole difference, with both declarations and what to do.
	Text string `json:"text"`
}

func differenceOf(d *contract.Difference) Difference {
	return Difference{
		Handle: d.Handle, Part: d.Part, Path: d.Path, Broken: d.Severity == contract.Broken, Direction: string(d.Direction),
		Program: d.Theirs.Program, Instance: d.Theirs.Instance, Text: d.Text,
	}
}

// publicContract returns a Contract for users.
func publicContract(c *contract.Contract) Contract {
	is := Contract{Program: c.Program, Instance: c.Instance, Generation: c.Generation}
	for _, m := range c.Modules {
		info := ModuleInfo{Name: m.Name, Version: m.Version}
		for i := range c.Handles {
			h := &c.Handles[i]
			for _, of := range []struct{ users, handles *[]string }{
				{&h.Provides, &info.Provides}, {&h.Needs, &info.Needs}, {&h.Produces, &info.Produces}, {&h.Consumes, &info.Consumes}, {&h.Reads, &info.Reads},
			} {
				if slices.Contains(*of.users, m.Name) {
					add(of.handles, h.String())
				}
			}
		}
		is.Modules = append(is.Modules, info)
	}
	for i := range c.Handles {
		h := &c.Handles[i]
		info := HandleInfo{
			Kind: Kind(h.Kind), Name: h.Name, Version: h.Version, Codec: h.Codec, Declared: h.Declared, Settings: maps.Clone(h.Options),
			Provides: slices.Clone(h.Provides), Needs: slices.Clone(h.Needs), Produces: slices.Clone(h.Produces), Consumes: slices.Clone(h.Consumes), Reads: slices.Clone(h.Reads),
		}
		for _, p := range []*contract.Payload{h.Request, h.Reply, h.Message, h.Value} {
			if p != nil {
				info.Types = append(info.Types, p.Type)
			}
		}
		is.Handles = append(is.Handles, info)
	}
	slices.SortFunc(is.Handles, func(a, b HandleInfo) int {
		return compareIdentity(identity{a.Kind, a.Name}, identity{b.Kind, b.Name})
	})
	return is
}

// compareContracts orders Contracts by program, generation and instance.
func compareContracts(a, b Contract) int {
	return cmp.Or(cmp.Compare(a.Program, b.Program), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Instance, b.Instance))
}
