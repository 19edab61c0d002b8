package embedded

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/internal/redact"
)

// Options specifies how the server runs. Dir, Memory, or a ConfigFile with a store directory
// is required. The other fields have defaults.
type Options struct {
	// Dir is the directory of the store. It is created if it does not exist. Nothing else may
	// use it.
	Dir string

	// Memory keeps everything in memory instead: nothing survives the end of the server. The
	// client of this process uses the option automatically. A client elsewhere sets Memory in
	// its natsx.Options, or uses only logs with MemoryStorage.
	Memory bool

	// Listen is the address for clients, such as "127.0.0.1:4222". Port 0 selects a free
	// port, which ClientURL returns. If Listen is empty, only this process can connect.
	// Without authorization, every client that can reach the address may do everything.
	Listen string

	// TLS, if not nil, is required of clients on Listen.
	TLS *tls.Config

	// User and Password, or Token, are required of clients. The client of this process uses
	// them. Accounts and finer permissions need a ConfigFile.
	User, Password string
	Token          string

	// ServerName must be unique in a cluster and must not change over restarts. The default
	// is generated once and kept in the store.
	ServerName string

	// ConfigFile is a configuration file of the NATS server. Fields that are set in these
	// Options override it. Settings that the file does not contain have the defaults
	// described here, except that the file may specify where to listen.
	ConfigFile string

	// Client specifies how this process connects, for a server that requires credentials that
	// only the caller has, such as JWTs. Its URLs are ignored. By default this process has
	// its own user, who cannot connect from elsewhere.
	Client natsx.Options

	// Account is the account of the ConfigFile to which this process connects. It is optional
	// if there is at most one account, or a no_auth_user.
	Account string

	// SyncInterval relaxes guarantee 3. At 0 an acknowledged message survives a loss of
	// power. Otherwise it survives the end of the process. Messages that were acknowledged
	// within this time before a loss of power, or before a crash of the operating system, may
	// be lost.
	SyncInterval time.Duration

	// MaxPayload is the size of the largest message in bytes. 0 means 1 MiB; more than 8 MiB
	// is not advised.
	MaxPayload int

	// MaxMemory and MaxStore bound the size of logs, in bytes. 0 means 256 MiB of memory, and
	// the part of the disk that the server chooses (three quarters of the free space).
	MaxMemory, MaxStore int64

	// Domain is the JetStream domain.
	Domain string

	// Cluster, if not nil, makes the server a member of a cluster.
	Cluster *Cluster

	// Monitor is the address of the server's HTTP monitoring. Empty disables it.
	Monitor string

	// Logger receives the log lines of the server. The default is slog.Default. Debug and
	// Trace add lines; a trace contains messages. TraceSystem, with Trace, includes the
	// messages of the server's system account.
	Logger                    *slog.Logger
	Debug, Trace, TraceSystem bool

	// StartTimeout bounds the start. 0 means 10 s.
	StartTimeout time.Duration

	// Configure, if not nil, changes the server's options last. Its changes may break a
	// guarantee.
	Configure func(*server.Options)
}

// Cluster specifies how a server finds the other members. A member listens for clients, on a
// free port of the loopback interface unless Listen specifies an address: NATS forms no
// cluster otherwise.
type Cluster struct {
	// Name is the name of the cluster, the same on all members.
	Name string

	// Listen is the address for routes, such as "10.0.0.1:6222".
	Listen string

	// Routes are the addresses of the other members' routes, such as "10.0.0.2:6222". They
	// may include the address of the member itself; at least one is required.
	Routes []string

	// TLS, if not nil, is required of routes, in both directions.
	TLS *tls.Config

	// User and Password, if set, are required of routes, in both directions.
	User, Password string
}

// String returns the options without credentials.
func (o Options) String() string {
	return fmt.Sprintf("embedded.Options{Dir: %q, Memory: %t, Listen: %q, ConfigFile: %q, ServerName: %q, Cluster: %v, authorization: %t}",
		o.Dir, o.Memory, redact.Address(o.Listen), redact.File(o.ConfigFile), o.ServerName, o.Cluster, o.User != "" || o.Token != "")
}

// GoString returns the options without credentials.
func (o Options) GoString() string { return o.String() }

// Format writes the options without credentials, whatever the verb.
func (o Options) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, o.String()) }

// LogValue returns the options without credentials.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText returns the options without credentials, for JSON and other encodings. The
// result cannot be decoded.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// String returns the options without credentials.
func (c Cluster) String() string {
	return fmt.Sprintf("{Name: %q, Listen: %q, Routes: %q}", c.Name, redact.Address(c.Listen), redact.Addresses(c.Routes))
}

// GoString returns the options without credentials.
func (c Cluster) GoString() string { return c.String() }

// Format writes the options without credentials, whatever the verb.
func (c Cluster) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue returns the options without credentials.
func (c Cluster) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns the options without credentials.
func (c Cluster) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// serverOptions translates the options for the server.
func (o *Options) serverOptions() (*server.Options, error) {
	so, err := o.fromFile()
	if err != nil {
		return nil, err
	}
	so.NoSigs = true
	so.JetStream = true
	so.JetStreamLimits.DefaultMaxConsumers = -1
	so.Debug, so.Trace = so.Debug || o.Debug, so.Trace || o.Trace
	so.TraceVerbose = so.TraceVerbose || o.TraceSystem
	for _, set := range []func(*server.Options) error{o.setStore, o.setListen, o.setAuth, o.setCluster, o.setMonitor} {
		if err := set(so); err != nil {
			return nil, err
		}
	}
	o.setLimits(so)
	if o.ServerName != "" {
		so.ServerName = o.ServerName
	}
	if o.Configure != nil {
		o.Configure(so)
	}
	so.NoSigs = true // also if Configure sets false: the server's own handler ends the process
	if so.DontListen && so.Cluster.Port != 0 {
		return nil, invalid("a member of a cluster does not listen for clients: set Listen")
	}
	return so, o.admitClient(so)
}

func (o *Options) setStore(so *server.Options) error {
	if o.Dir != "" && o.Memory {
		return invalid("both Dir and Memory are set: choose one")
	}
	if o.Dir != "" {
		so.StoreDir = o.Dir
	}
	if o.Memory {
		so.StoreDir = ""
	}
	if so.StoreDir == "" && !o.Memory {
		return invalid("no store: set Dir to a directory for this server alone, or Memory to keep nothing")
	}
	if o.SyncInterval < 0 {
		return invalid("SyncInterval is %v: want 0 (sync before acknowledging) or more", o.SyncInterval)
	}
	if o.SyncInterval > 0 {
		so.SyncAlways, so.SyncInterval = false, o.SyncInterval
	} else if so.SyncInterval == 0 || o.ConfigFile == "" {
		so.SyncAlways = true
	}
	return nil
}

func (o *Options) setLimits(so *server.Options) {
	if o.MaxPayload > 0 {
		so.MaxPayload = int32(o.MaxPayload)
	}
	if o.MaxStore > 0 {
		so.JetStreamMaxStore = o.MaxStore
	}
	if o.MaxMemory > 0 || so.JetStreamMaxMemory == 0 {
		so.JetStreamMaxMemory = max(o.MaxMemory, 0)
		if o.MaxMemory == 0 {
			so.JetStreamMaxMemory = defaultMaxMemory
		}
	}
	if o.Domain != "" {
		so.JetStreamDomain = o.Domain
	}
}

const defaultMaxMemory = 256 << 20

func (o *Options) setListen(so *server.Options) error {
	if o.MaxPayload < 0 || o.MaxPayload > 64<<20 {
		return invalid("MaxPayload is %d: want 1 to 64 MiB", o.MaxPayload)
	}
	if o.Listen != "" {
		host, port, err := hostPort("Listen", o.Listen)
		if err != nil {
			return err
		}
		so.Host, so.Port = host, port
	}
	// A file without a listen address leaves the port 0.
	so.DontListen = o.Listen == "" && so.Port == 0
	if o.TLS != nil {
		so.TLS, so.TLSConfig = true, o.TLS
	}
	return nil
}

func (o *Options) setMonitor(so *server.Options) error {
	if o.Monitor == "" {
		return nil
	}
	host, port, err := hostPort("Monitor", o.Monitor)
	if err != nil {
		return err
	}
	so.HTTPHost, so.HTTPPort = host, port
	return nil
}

func (o *Options) setCluster(so *server.Options) error {
	if o.Cluster != nil {
		c := o.Cluster
		if c.Name == "" {
			return invalid("the Cluster has no Name: give all members the same")
		}
		if len(c.Routes) == 0 {
			return invalid("the Cluster has no Routes: name the other members")
		}
		host, port, err := hostPort("Cluster.Listen", c.Listen)
		if err != nil {
			return err
		}
		so.Cluster = server.ClusterOpts{Name: c.Name, Host: host, Port: port, TLSConfig: c.TLS, Username: c.User, Password: c.Password}
		so.Routes, err = c.routes()
		if err != nil {
			return err
		}
	}
	if so.Cluster.Port != 0 && so.DontListen {
		so.DontListen, so.Host, so.Port = false, "127.0.0.1", server.RANDOM_PORT
	}
	return nil
}

func (c *Cluster) routes() ([]*url.URL, error) {
	routes := make([]*url.URL, len(c.Routes))
	for i, address := range c.Routes {
		what := "Cluster.Routes[" + strconv.Itoa(i) + "]"
		if strings.Contains(address, "@") {
			return nil, invalid("%s has credentials: want host:port, such as 10.0.0.2:6222, and the credentials in Cluster.User and Cluster.Password", what)
		}
		if _, _, err := hostPort(what, address); err != nil {
			return nil, err
		}
		routes[i] = &url.URL{Scheme: "nats-route", Host: address}
		if c.User != "" {
			routes[i].User = url.UserPassword(c.User, c.Password)
		}
	}
	return routes, nil
}

// hostPort parses an address. It returns the server's value for a free port if the port is 0.
// Errors do not quote the address, which may be a URL with credentials by mistake.
func hostPort(what, address string) (string, int, error) {
	if address == "" || redact.Address(address) != address {
		return "", 0, invalid("%s is malformed: want host:port, such as 127.0.0.1:4222, with a port of 0 to 65535", what)
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, invalid("%s is malformed: want host:port", what)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if text != "-1" && err != nil { // -1 is the server's own value for a free port
		return "", 0, invalid("%s is malformed: want a port of 0 to 65535", what)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

// storeDir returns the directory to lock, or "" for none.
func (o *Options) storeDir(so *server.Options) string {
	if so.StoreDir == "" {
		return ""
	}
	return filepath.Clean(so.StoreDir)
}

func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "embedded: "+format, args...)
}
