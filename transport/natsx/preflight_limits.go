package natsx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// checkLimits compares the planned streams and consumers with the limits of the account.
func (p *preflight) checkLimits(all []*checked) {
	rooms := make(map[string]*room)
	var order []*room
	for _, is := range all {
		for _, s := range is.streams {
			tier, name := p.tierOf(s.config.Replicas)
			r := rooms[name]
			if r == nil {
				r = &room{name: name, tier: tier}
				rooms[name] = r
				order = append(order, r)
			}
			r.add(&s)
			is.checkStream(&s, &tier.Limits)
			p.checkServers(is, &s)
		}
		p.checkConsumers(is)
	}
	for _, r := range order {
		r.check(p)
	}
}

// tierOf returns the part of the account that has the limits of streams with some replicas.
func (p *preflight) tierOf(replicas int) (*jetstream.Tier, string) {
	name := fmt.Sprintf("R%d", max(replicas, 1))
	if tier, ok := p.account.Tiers[name]; ok {
		return &tier, name
	}
	return &p.account.Tier, ""
}

// room is what is planned in one tier of the account.
type room struct {
	name    string
	tier    *jetstream.Tier
	created []string // names of streams
	store   usage
	memory  usage
}

// usage is the use of files or of memory.
type usage struct {
	streams  []string
	reserved int64
	by       []string // streams that reserve bytes
}

func (r *room) add(s *plannedStream) {
	c, u := &s.config, &r.store
	if c.Storage == jetstream.MemoryStorage {
		u = &r.memory
	}
	bytes := max(c.MaxBytes, 0)
	if s.was != nil {
		bytes = max(bytes-max(s.was.Config.MaxBytes, 0), 0)
	} else {
		r.created = append(r.created, c.Name)
	}
	if r.name == "" { // the server counts each replica
		bytes *= int64(max(c.Replicas, 1))
	}
	u.streams = append(u.streams, c.Name)
	if u.reserved += bytes; bytes > 0 {
		u.by = append(u.by, c.Name)
	}
}

func (r *room) check(p *preflight) {
	has := r.tier
	if limit := has.Limits.MaxStreams; limit > 0 && has.Streams+len(r.created) > limit {
		p.add(transport.Finding{
			Need:   fmt.Sprintf("%d more streams (%s)", len(r.created), strings.Join(r.created, ", ")),
			Found:  fmt.Sprintf("the account has %d streams of at most %d", has.Streams, limit),
			Remedy: "raise its limit of streams (max_streams), or delete streams that are no longer used",
		})
	}
	r.store.check(p, "disk", "max_file", has.Limits.MaxStore, has.Store, has.ReservedStore)
	r.memory.check(p, "memory", "max_memory", has.Limits.MaxMemory, has.Memory, has.ReservedMemory)
}

func (u *usage) check(p *preflight, what, option string, limit int64, used, reserved uint64) {
	if limit < 0 || len(u.streams) == 0 {
		return
	}
	switch {
	case int64(used) >= limit:
		p.add(transport.Finding{
			Need: fmt.Sprintf("%s for the streams %s", what, strings.Join(u.streams, ", ")), Found: fmt.Sprintf("the account is full: it uses %d bytes of at most %d", used, limit),
			Remedy: "make room, or raise its limit (" + option + ")",
		})
	case int64(reserved)+u.reserved > limit:
		p.add(transport.Finding{
			Need: fmt.Sprintf("%d bytes of %s, reserved with MaxBytes for the streams %s", u.reserved, what, strings.Join(u.by, ", ")), Found: fmt.Sprintf("the account has reserved %d bytes of at most %d", reserved, limit),
			Remedy: "lower MaxBytes, or raise the limit of the account (" + option + ")",
		})
	}
}

// checkStream compares one stream with the limits of each stream.
func (is *checked) checkStream(s *plannedStream, limits *jetstream.AccountLimits) {
	limit := limits.StoreMaxStreamBytes
	if s.config.Storage == jetstream.MemoryStorage {
		limit = limits.MemoryMaxStreamBytes
	}
	switch bytes := s.config.MaxBytes; {
	case limits.MaxBytesRequired && bytes <= 0:
		is.lack("the stream "+s.config.Name+" without a limit of bytes", "the account requires one for each stream",
			"set MaxBytes if it has that option, or remove the requirement from the account (max_bytes_required)")
	case limit > 0 && bytes > limit:
		is.lack(fmt.Sprintf("the stream %s with MaxBytes %d", s.config.Name, bytes), fmt.Sprintf("the account allows %d bytes for a stream", limit),
			"lower MaxBytes, or raise the limit of the account for one stream")
	}
}

// checkServers compares replicas and placement with the servers that are known.
func (p *preflight) checkServers(is *checked, s *plannedStream) {
	cluster, name := p.t.nc.ConnectedClusterName(), s.config.Name
	switch replicas := s.config.Replicas; {
	case replicas > 1 && cluster == "":
		is.lack(fmt.Sprintf("%d replicas of the stream %s", replicas, name), "the server is not in a cluster", "connect to a cluster, or set Replicas to 1")
	case replicas > 1+len(p.peers) && !s.automatic:
		is.warn(fmt.Sprintf("%d replicas of the stream %s", replicas, name), fmt.Sprintf("only %d servers of the cluster are known", 1+len(p.peers)),
			"make sure that the cluster has as many, or set fewer Replicas")
	}
	at := s.config.Placement
	switch {
	case at == nil:
	case cluster == "":
		is.warn("the placement of the stream "+name+" ("+describe(at)+")", "the server is not in a cluster and ignores it", "connect to a cluster, or leave the placement out")
	case at.Cluster != "" && at.Cluster != cluster:
		is.warn("the placement of the stream "+name+" ("+describe(at)+")", fmt.Sprintf("the connected cluster is %q", cluster), "make sure that the other cluster exists and is connected, or correct its name")
	}
}

func describe(at *jetstream.Placement) string {
	return fmt.Sprintf("cluster %q, tags %q", at.Cluster, at.Tags)
}

// warn adds a warning.
func (is *checked) warn(need, found, remedy string) {
	is.lack(need, found, remedy)
	is.findings[len(is.findings)-1].Warning = true
}

// checkConsumers compares the consumers of each stream with the limits.
func (p *preflight) checkConsumers(is *checked) {
	created := make(map[string]int)
	var order []string
	for _, c := range is.dryRun.consumers {
		if c.created {
			created[c.stream]++
		}
		if !slices.Contains(order, c.stream) {
			order = append(order, c.stream)
		}
	}
	for _, name := range order {
		existing, allowed := 0, p.account.Limits.MaxConsumers
		replicas, own := is.streamOf(name)
		if tier, of := p.tierOf(replicas); of != "" {
			allowed = tier.Limits.MaxConsumers
		}
		if found := is.found[name]; found != nil {
			existing = found.State.Consumers
		}
		if own > 0 && (allowed <= 0 || own < allowed) {
			allowed = own
		}
		if n := created[name]; n > 0 && allowed > 0 && existing+n > allowed {
			is.lack(fmt.Sprintf("%d more consumers of the stream %s", n, name), fmt.Sprintf("the stream has %d consumers of at most %d", existing, allowed),
				"raise the limit of consumers (max_consumers), or use fewer groups or partitions")
		}
	}
	limit := p.account.Limits.MaxAckPending
	for _, c := range is.dryRun.consumers {
		if limit > 0 && c.config.MaxAckPending > limit {
			is.lack(fmt.Sprintf("consumers of the stream %s with %d unacknowledged messages", c.stream, c.config.MaxAckPending), fmt.Sprintf("the account allows %d", limit),
				"raise its limit (max_ack_pending)")
			return
		}
	}
}

// streamOf returns the replicas and the limit of consumers of a stream.
func (is *checked) streamOf(name string) (replicas, maxConsumers int) {
	for _, s := range is.streams {
		if s.config.Name == name {
			return s.config.Replicas, s.config.MaxConsumers
		}
	}
	if found := is.found[name]; found != nil {
		return found.Config.Replicas, found.Config.MaxConsumers
	}
	return 1, 0
}
