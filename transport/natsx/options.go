package natsx

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/journal"
	"gomono.dev/transport/natsx/internal/redact"
)

// Options say where and how to connect. The zero value connects to
// nats://127.0.0.1:4222 without credentials.
type Options struct {
	// URLs of servers of one cluster: nats://, tls://, ws:// or wss://. Any may
	// be used, and others that they tell of. A URL holds an address, may hold
	// credentials (user:password@ or token@), and a path for ws and wss; anything
	// else, such as a query, is InvalidArgument.
	URLs []string

	// Name of the connection, for operators. The default is the program's name.
	Name string

	// At most one way to prove who this is: a credentials file (JWT), an nkey
	// seed file, a user and password, a token, or credentials in the URLs. None
	// appears in an error, in a log, or in the Options as text.
	CredentialsFile string
	NKeySeedFile    string
	User, Password  string
	Token           string

	// TLS, if not nil, requires TLS with this configuration. The files are
	// added to it: CAFile holds the authorities that sign servers, CertFile and
	// KeyFile this client's certificate.
	TLS               *tls.Config
	CAFile            string
	CertFile, KeyFile string

	// ConnectTimeout bounds one attempt to connect to one server. 0 is 2 s.
	ConnectTimeout time.Duration

	// ReconnectWait is the pause before a server is tried again, ReconnectJitter
	// what is added to it at random at most. 0 is 1 s and 250 ms.
	ReconnectWait   time.Duration
	ReconnectJitter time.Duration

	// PingInterval is how often a silent connection is tested; after two tests
	// without an answer it counts as lost. 0 is 20 s.
	PingInterval time.Duration

	// InboxPrefix begins the subjects of replies, for accounts whose permissions
	// ask for one. The default is "_INBOX".
	InboxPrefix string

	// Domain is the JetStream domain, where the server is behind a leaf node.
	Domain string

	// Replicas is how many servers of a cluster keep each log. 0 is 3 where the
	// cluster has as many, otherwise 1, which is logged. What is there keeps its
	// number unless this sets one.
	Replicas int

	// Memory says that the server keeps nothing on disk: all logs are in memory,
	// whatever their Storage, and none is Durable.
	Memory bool

	// Stream and Consumer, if not nil, set what JetStream can do and mono does not
	// name, for a log or one of its groups by name: the number of replicas, mirrors,
	// sources, republishing, subject transforms, compression, placement, metadata,
	// sampling, descriptions and the like. The log of a mono handle has the name of its
	// subject, with "_" for ".": streams_orders_ledger, and streams_orders_ledger__dead
	// for its dead letters. Stream is also called for mono_state, which members share;
	// it may set Replicas, which are never removed, MaxBytes, Placement and the like.
	//
	// They are called before a stream or consumer is made or updated, with what is there
	// and what the log or group asks for, and must do the same each time. A log with
	// Delays has a second stream, whose c.Name ends in "__later"; an ordered group
	// has a consumer for each lane. What mono's guarantees rest on must stay as it
	// is: to change it is InvalidArgument. But:
	//
	//   - A log with a Mirror keeps what it mirrors, and refuses appends.
	//   - DeliverPolicy says where a new group begins, instead of its Start.
	//   - AckPolicy, of a group without order, gives up what it promises: with
	//     AckNonePolicy each message is delivered once, whatever becomes of it, and with
	//     AckAllPolicy to settle one settles all before it.
	//   - RateLimit, which the server has for push consumers only, is kept by each
	//     member of the group, in bits of headers and bodies a second.
	Stream   func(log string, c *jetstream.StreamConfig)
	Consumer func(log, group string, c *jetstream.ConsumerConfig)

	// InProcess connects to a server within the process, instead of URLs.
	InProcess nats.InProcessConnProvider

	// Journal outlives this process, where the server ends with it. Package embedded
	// sets it; there is nothing else to set.
	Journal *journal.Journal

	// Logger gets what happens to the connection. The default is slog.Default.
	Logger *slog.Logger

	// NATS is anything else. It is applied last, and what it changes may break a
	// guarantee; handlers are called after the Transport's own.
	NATS []nats.Option
}

// String returns the options without credentials.
func (o Options) String() string {
	return fmt.Sprintf("natsx.Options{URLs: %v, Name: %q, auth: %s}", redact.URLs(o.URLs), o.Name, o.auth())
}

// GoString returns the options without credentials.
func (o Options) GoString() string { return o.String() }

// Format writes the options without credentials, whatever the verb.
func (o Options) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, o.String()) }

// LogValue returns the options without credentials.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText returns the options without credentials, for JSON and the like. They
// cannot be read back.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// auth names the ways in which the options prove who this is.
func (o Options) auth() string {
	ways := o.ways()
	if len(ways) == 0 {
		return "none"
	}
	return strings.Join(ways, " and ")
}

func (o Options) ways() (ways []string) {
	note := func(set bool, way string) {
		if set {
			ways = append(ways, way)
		}
	}
	note(o.CredentialsFile != "", "credentials file")
	note(o.NKeySeedFile != "", "nkey")
	note(o.User != "" || o.Password != "", "user")
	note(o.Token != "", "token")
	note(o.InProcess == nil && slices.ContainsFunc(o.URLs, hasCredentials), "in the URL")
	return ways
}

// address is what errors call the server.
func (o Options) address() string {
	if o.InProcess != nil {
		return "the server in this process"
	}
	return strings.Join(redact.URLs(o.URLs), ", ")
}

// secrets lists the credentials that the options hold as text.
func (o Options) secrets() []string {
	secrets := []string{o.Password, o.Token}
	for _, raw := range o.URLs {
		secrets = append(secrets, redact.Credentials(raw)...)
	}
	return secrets
}

// defaults fills in what is not set, and reports what cannot be right.
func (o *Options) defaults() error {
	if len(o.URLs) == 0 {
		o.URLs = []string{nats.DefaultURL}
	}
	if o.Name == "" {
		o.Name = filepath.Base(os.Args[0])
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for d, value := range map[*time.Duration]time.Duration{
		&o.ConnectTimeout: 2 * time.Second, &o.ReconnectWait: time.Second,
		&o.ReconnectJitter: 250 * time.Millisecond, &o.PingInterval: 20 * time.Second,
	} {
		if *d < 0 {
			return invalid("a duration is negative: %v", *d)
		}
		if *d == 0 {
			*d = value
		}
	}
	if ways := o.ways(); len(ways) > 1 {
		return invalid("more than one way to prove who this is, %s: choose one", strings.Join(ways, " and "))
	}
	if o.Replicas < 0 || o.Replicas > maxReplicas {
		return invalid("Replicas is %d: want 1, 3 or 5, or 0 for what the cluster can do", o.Replicas)
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return invalid("CertFile and KeyFile go together")
	}
	return o.checkURLs()
}

// checkFiles reports files that cannot be read before a connection hides why.
func (o *Options) checkFiles() error {
	for what, file := range map[string]string{
		"CredentialsFile": o.CredentialsFile, "NKeySeedFile": o.NKeySeedFile,
		"CAFile": o.CAFile, "CertFile": o.CertFile, "KeyFile": o.KeyFile,
	} {
		if file == "" {
			continue
		}
		if _, err := os.ReadFile(file); err != nil {
			return invalid("%s %s cannot be read: %w: want the name of a file, not its contents", what, redact.File(file), redact.FileError(err))
		}
	}
	return nil
}

// natsOptions translates the options for nats.go.
func (o *Options) natsOptions() (*nats.Options, error) {
	if err := o.checkFiles(); err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.Timeout(o.ConnectTimeout),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // not even when the credentials are refused
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectWait(o.ReconnectWait),
		nats.ReconnectJitter(o.ReconnectJitter, o.ReconnectJitter),
		nats.ReconnectBufSize(-1), // never keep a message back
		nats.PingInterval(o.PingInterval),
		nats.MaxPingsOutstanding(2),
	}
	add := func(wanted bool, opt nats.Option) {
		if wanted {
			opts = append(opts, opt)
		}
	}
	add(o.InboxPrefix != "", nats.CustomInboxPrefix(o.InboxPrefix))
	add(o.InProcess != nil, nats.InProcessServer(o.InProcess))
	add(o.CredentialsFile != "", nats.UserCredentials(o.CredentialsFile))
	add(o.User != "" || o.Password != "", nats.UserInfo(o.User, o.Password))
	add(o.Token != "", nats.Token(o.Token))
	add(o.TLS != nil, nats.Secure(o.TLS))
	add(o.CAFile != "", nats.RootCAs(o.CAFile))
	add(o.CertFile != "", nats.ClientCert(o.CertFile, o.KeyFile))
	if o.NKeySeedFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(o.NKeySeedFile)
		if err != nil {
			return nil, invalid("NKeySeedFile %s holds no seed: %w", o.NKeySeedFile, redact.Error(err))
		}
		opts = append(opts, nkey)
	}
	return o.apply(append(opts, o.NATS...))
}

// apply reports what nats.go refuses before a connection hides why.
func (o *Options) apply(opts []nats.Option) (*nats.Options, error) {
	all := nats.GetDefaultOptions()
	all.Servers = slices.Clone(o.URLs)
	for _, opt := range opts {
		if err := opt(&all); err != nil {
			return nil, invalid("%w", redact.Error(err, o.secrets()...))
		}
	}
	if o.CredentialsFile == "" {
		return &all, nil
	}
	if _, err := all.UserJWT(); err != nil {
		return nil, invalid("CredentialsFile %s holds no user: %w", o.CredentialsFile, redact.Error(err))
	}
	if _, err := all.SignatureCB(nil); err != nil {
		return nil, invalid("CredentialsFile %s holds no seed: %w", o.CredentialsFile, redact.Error(err))
	}
	return &all, nil
}

// maxReplicas is the most that NATS has.
const maxReplicas = 5

// writeTimeout is how long the network may take nothing before the connection
// counts as lost. Whoever publishes waits for that long at most.
const writeTimeout = 5 * time.Second

func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "natsx: "+format, args...)
}
