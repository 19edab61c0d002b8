package mono

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/contract"
	"gomono.dev/transport"
)

// wireVersion is the version of the subjects, headers and settlements that processes share.
const wireVersion = 1

// declare returns what the modules of this process declare, for comparison with another
// process. Processes of one program return the same.
func (in *instance) declare() *contract.Contract {
	c := &contract.Contract{Program: filepath.Base(os.Args[0]), Wire: wireVersion, Generation: in.app.options.generation}
	handles := make(map[identity]*contract.Handle)
	for _, u := range in.plan.units {
		c.Modules = append(c.Modules, contract.Module{Name: u.name, Version: u.version})
		for _, usage := range u.usages {
			d := in.plan.handles[usage.Handle.declared().identity()]
			if !d.kind.hasMessages() && d.kind != KindFailure {
				continue
			}
			h := handles[d.identity()]
			if h == nil {
				h = in.declareHandle(d)
				handles[d.identity()] = h
			}
			add(usersOf(h, usage.Usage), u.name)
		}
		for _, r := range u.receivers {
			if h := handles[r.decl.identity()]; h != nil && !r.replies() {
				h.Receivers = append(h.Receivers, contract.Receiver{
					Module: u.name, Formerly: u.formerly, Group: r.group(), Keys: r.config.Keys, Unordered: r.config.Unordered, Options: r.config.groupOptions(),
				})
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(handles), compareIdentity) {
		c.Handles = append(c.Handles, *handles[id])
	}
	return c
}

// usersOf returns the list of the modules with a usage of a handle.
func usersOf(h *contract.Handle, u Usage) *[]string {
	switch u {
	case UsageProvides:
		return &h.Provides
	case UsageNeeds:
		return &h.Needs
	case UsageProduces:
		return &h.Produces
	case UsageConsumes:
		return &h.Consumes
	}
	return &h.Reads
}

func (in *instance) declareHandle(d *declaration) *contract.Handle {
	h := &contract.Handle{
		Kind: string(d.kind), Name: d.Address(), Renamed: d.renamed(), Version: d.config.Version, Declared: d.place, Options: d.config.handleOptions(),
		Stored: d.stored(), Keyed: d.key != nil, Partitions: d.partitions(), Unordered: d.config.Unordered,
	}
	k := cmp.Or(d.config.Codec, in.app.options.codec)
	if d.kind == KindFailure {
		h.Value = payloadOf(codec.JSON, d.types[0])
		return h
	}
	h.Codec = k.ContentType()
	for contentType := range in.codecs.byType {
		switch contentType {
		case "", h.Codec, codec.JSON.ContentType(), codec.Raw.ContentType():
		default:
			h.Decodes = append(h.Decodes, contentType)
		}
	}
	slices.Sort(h.Decodes)
	switch d.kind {
	case KindService:
		h.Request, h.Reply = payloadOf(k, d.types[0]), payloadOf(k, d.types[1])
		return h
	case KindQueue:
		h.Groups = d.config.groups()
	}
	h.Message = versionsOf(d.config.Upcasts, k, d.types[0])
	return h
}

// payloadOf describes a type. The schema is nil if the codec cannot describe types.
func payloadOf(k codec.Codec, t reflect.Type) *contract.Payload {
	p, _ := contract.PayloadOf(k, t) // the start reports the error
	return &p
}

// versionsOf describes the version of a message that is sent, with the others that are read.
func versionsOf(u *codec.Upcasts, k codec.Codec, t reflect.Type) *contract.Payload {
	types, written := u.Versions()
	if len(types) == 0 {
		return payloadOf(k, t)
	}
	sent := payloadOf(k, types[written])
	sent.Version = written
	for _, version := range slices.Sorted(maps.Keys(types)) {
		if version != written {
			other := payloadOf(k, types[version])
			other.Version = version
			sent.Older = append(sent.Older, *other)
		}
	}
	return sent
}

// handleOptions returns the options of a handle that other processes may compare, as texts.
func (c *config) handleOptions() map[string]string {
	options := c.settings()
	for _, name := range []string{"Version", "Doc", "Codec", "Upcasts", "Groups", "Keyed"} { // elsewhere in the contract, or of no use to others
		delete(options, name)
	}
	c.normalize(options)
	return options
}

// groupOptions returns the options that the members of a group should share.
func (c *config) groupOptions() map[string]string {
	shared := config{AckWait: c.AckWait, Timeout: c.Timeout, MaxAttempts: c.MaxAttempts, Backoff: c.Backoff}
	return shared.handleOptions()
}

// normalize removes options with their default, and describes a user's policy by its type, since
// it may contain anything.
func (c *config) normalize(options map[string]string) {
	for name, standard := range map[string]string{
		"MaxAttempts": fmt.Sprint(DefaultMaxAttempts), "AckWait": transport.DefaultAckWait.String(), "DedupWindow": transport.DefaultDedupWindow.String(), "Backoff": defaultBackoff.String(),
	} {
		if options[name] == standard {
			delete(options, name)
		}
	}
	switch c.Backoff.(type) {
	case nil, constant, exponential, backoffList:
	default:
		options["Backoff"] = fmt.Sprintf("%T", c.Backoff)
	}
}
