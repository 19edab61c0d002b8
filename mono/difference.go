package mono

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

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
	Handle string `json:"handle,omitempty"` // kind and address, as in "queue orders.receipts"; "" for all
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

// Contracts returns what the running processes of the system declare: the Contract of this
// process first, then each other one with its differences. Processes that declare the same, such
// as the replicas of a release, have one Contract, with the Instance of one of them.
//
// Contracts asks the processes that have the Namespace of the App. It waits until none has
// answered for 250 ms, at most 2 s, so a process that is disconnected or very slow is missing. The
// error reports that they cannot be asked, for example because the account may not use the
// subjects of docs/evolution.md. The App has to run.
func (a *App) Contracts(ctx context.Context) ([]Contract, error) {
	in := a.current.Load()
	if state := a.State(); state != StateRunning || in == nil {
		return nil, notDone(Unavailable, "mono: Contracts: the App is %s", state)
	}
	others, err := in.contracts.ask(ctx)
	if err != nil {
		return nil, err
	}
	return append([]Contract{publicContract(in.contracts.mine)}, others...), nil
}

// RefuseDifferences lets Start fail if what a running process declares cannot work with this
// program: with a Difference that is Broken. The error is a *StartError. Start takes 250 ms
// longer, at most 2 s, to wait for the answers of the other processes.
//
// It is for tests of a deploy. In production a release that repairs such a difference could not
// start. Without the option, a difference is logged and reported to observers.
func RefuseDifferences() AppOption { return func(o *appOptions) { o.refuseDifferences = true } }

// refuseDifferences adds the differences that cannot work to the report, if RefuseDifferences is set.
func (in *instance) refuseDifferences(ctx context.Context) {
	if !in.app.options.refuseDifferences {
		return
	}
	others, err := in.contracts.ask(ctx)
	if err != nil {
		in.report.add("", nil, "RefuseDifferences: %v", err)
	}
	for _, other := range others {
		for _, d := range other.Differences {
			if d.Broken {
				in.report.addObject("", d.Handle, "%s", strings.TrimPrefix(strings.TrimPrefix(d.Text, d.Handle+", "), d.Handle+": "))
			}
		}
	}
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
					add(of.handles, h.Title())
				}
			}
		}
		is.Modules = append(is.Modules, info)
	}
	for i := range c.Handles {
		h := &c.Handles[i]
		info := HandleInfo{
			Kind: Kind(h.Kind), Name: cmp.Or(h.Renamed, h.Name), Version: h.Version, Codec: h.Codec, Declared: h.Declared, Settings: maps.Clone(h.Options),
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
