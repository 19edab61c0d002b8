package natsx

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// Only the system account can ask for the servers of a cluster. But each server sends its release
// to every client that connects, before it asks for credentials. So natsx connects to all
// servers that the options or the cluster name. Servers that no client can reach stay unknown,
// like those that begin with TLS or WebSocket.

// peer is another server that clients can use.
type peer struct {
	ID      string `json:"server_id"`
	Name    string `json:"server_name"`
	Version string `json:"version"`
	Level   int    `json:"api_lvl"`
	address string
}

// askPeers returns the other servers that answer.
func (t *Transport) askPeers(ctx context.Context) (peers []peer) {
	servers := t.nc.Servers()
	if t.nc.Opts.InProcessServer != nil {
		servers = t.nc.DiscoveredServers()
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, server := range servers {
		u, err := url.Parse(server)
		if err != nil || strings.HasPrefix(u.Scheme, "ws") || t.nc.Opts.CustomDialer == nil {
			continue
		}
		wait.Go(func() {
			p, err := greet(ctx, t.nc.Opts.CustomDialer, u.Host)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && p.ID != t.nc.ConnectedServerId() && !slices.ContainsFunc(peers, func(other peer) bool { return other.ID == p.ID }) {
				peers = append(peers, p)
			}
		})
	}
	wait.Wait()
	slices.SortFunc(peers, func(a, b peer) int { return strings.Compare(a.Name, b.Name) })
	return peers
}

// greet reads what a server sends to each client first.
func greet(ctx context.Context, d nats.CustomDialer, address string) (peer, error) {
	p := peer{address: address}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return p, err
	}
	defer func() { _ = conn.Close() }() // nothing was written
	end := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer end()
	if err := conn.SetReadDeadline(time.Now().Add(probeTimeout)); err != nil {
		return p, err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &p)
}

// checkPeers compares the releases of the other servers with that of the connected one. A stream
// whose settings a server does not know is offline there.
func (p *preflight) checkPeers(all []*checked) {
	level := p.t.account.Load().level
	needed := 0
	for _, is := range all {
		switch c := is.need.Log; {
		case c != nil && c.Delays:
			needed = levelDelays
		case c != nil || is.need.Stored != nil:
			needed = max(needed, min(level, levelBatches))
		}
	}
	for _, other := range p.peers {
		if other.Level < level && needed > 0 {
			p.add(transport.Finding{
				Need:   fmt.Sprintf("servers of one release: JetStream of API level %d on all", needed),
				Found:  fmt.Sprintf("the server %s at %s is nats-server %s with level %d, and the connected one is %s with level %d", other.Name, other.address, other.Version, other.Level, p.t.nc.ConnectedServerVersion(), level),
				Remedy: "upgrade it", Warning: other.Level >= needed,
			})
		}
	}
}
