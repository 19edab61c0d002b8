package natsx

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/journal"
	"gomono.dev/transport/natsx/internal/redact"
)

// Options specifies where and how to connect. The zero value connects to
// nats://127.0.0.1:4222 without credentials.
type Options struct {
	// URLs are the servers of one cluster: nats://, tls://, ws:// or wss://. The client uses
	// any of them, and further servers that they announce. A URL holds an address, optional
	// credentials (user:password@ or token@), and a path for ws and wss. Anything else, such
	// as a query, is InvalidArgument.
	URLs []string

	// Name is the name of the connection, for operators. The default is the name of the
	// program.
	Name string

	// At most one kind of credentials may be set: a credentials file (JWT), an nkey seed
	// file, a user and password, a token, or credentials in the URLs. None of them appears in
	// an error, in a log, or in the formatted Options.
	CredentialsFile string
	NKeySeedFile    string
	User, Password  string
	Token           string

	// TLS, if not nil, requires TLS with this configuration. The files extend it: CAFile
	// holds the authorities that sign server certificates, CertFile and KeyFile the
	// certificate of this client.
	TLS               *tls.Config
	CAFile            string
	CertFile, KeyFile string

	// ConnectTimeout bounds one attempt to connect to one server. 0 means 2 s.
	ConnectTimeout time.Duration

	// WaitForServer makes Connect wait, as long as its context allows, until a server answers.
	// Each attempt waits for ReconnectWait. Errors other than Unavailable still end it at once.
	WaitForServer bool

	// ReconnectWait is the pause before the next attempt to connect to a server.
	// ReconnectJitter is the maximum random time that is added to it. 0 means 1 s and 250 ms.
	ReconnectWait   time.Duration
	ReconnectJitter time.Duration

	// PingInterval is the interval of tests of an idle connection. After two tests without an
	// answer the connection counts as lost. 0 means 20 s.
	PingInterval time.Duration

	// InboxPrefix begins the subjects of replies, for accounts whose permissions require a
	// prefix. The default is "_INBOX".
	InboxPrefix string

	// Domain is the JetStream domain, if the server is behind a leaf node.
	Domain string

	// Replicas is the number of servers of a cluster that store each log. 0 means 3 if the
	// cluster has three servers. Otherwise it means 1, which is logged. An existing log keeps
	// its number unless this field sets one.
	Replicas int

	// Memory declares that the server stores nothing on disk: all logs are in memory,
	// whatever their Storage, and none is Durable.
	Memory bool

	// Stream and Consumer, if not nil, change settings of JetStream that mono does not name,
	// for a log or for one of its groups by name. Examples are the number of replicas,
	// mirrors, sources, republishing, subject transforms, compression, placement, metadata,
	// sampling and descriptions. The log of a mono handle has the name of its subject, with
	// "_" for ".": streams_orders_ledger, and streams_orders_ledger__dead for its dead
	// letters. Stream is also called for mono_state, which members share; it may set
	// Replicas, which are never removed, MaxBytes, Placement and the like.
	//
	// Each function is called before a stream or consumer is created or updated. It gets the
	// existing configuration with the changes that the log or group requires, and must make
	// the same changes each time. A log with Delays has a second stream, whose c.Name ends in
	// "__later"; an ordered group has a consumer for each partition. A change to a setting on
	// which mono's guarantees depend is InvalidArgument. These changes are allowed and have
	// consequences:
	//
	//   - A log with a Mirror keeps the messages of the mirrored stream, and refuses appends.
	//   - DeliverPolicy replaces the Start of a new group.
	//   - AckPolicy, of a group without order, gives up its guarantees: with AckNonePolicy each
	//     message is delivered once, whatever its outcome, and with AckAllPolicy settling a
	//     message also settles all messages before it.
	//   - RateLimit, which the server supports for push consumers only, is enforced by each
	//     member of the group, in bits of headers and bodies a second.
	Stream   func(log string, c *jetstream.StreamConfig)
	Consumer func(log, group string, c *jetstream.ConsumerConfig)

	// Bucket, if not nil, does the same for the stream of a bucket, by the name of the bucket.
	// It is not called for a bucket that is only used, and not declared. Without AllowDirect,
	// the leader answers all reads, except those of several keys, which are Unimplemented.
	// Without AllowAtomicPublish, writes of several keys are Unimplemented.
	Bucket func(name string, c *jetstream.StreamConfig)

	// Store, if not nil, does the same for the stream of a store of objects, by the name of the
	// store. It is not called for a store that is only used, and not declared. Without
	// AllowAtomicPublish, a Rename is Unimplemented, and the last chunk of an object is stored
	// before its description.
	Store func(name string, c *jetstream.StreamConfig)

	// InProcess connects to a server in the process, instead of URLs.
	InProcess nats.InProcessConnProvider

	// Journal outlives this process, for a server that ends with the process. Package
	// embedded sets it; no other package can.
	Journal *journal.Journal

	// Logger receives events of the connection. The default is slog.Default.
	Logger *slog.Logger

	// NATS holds any other options. They are applied last, and may break a guarantee. Their
	// handlers are called after the handlers of the Transport.
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

// MarshalText returns the options without credentials, for JSON and other encodings. The
// result cannot be decoded.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// auth names the kinds of credentials in the options.
func (o Options) auth() string {
	kinds := o.credentialKinds()
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(kinds, " and ")
}

func (o Options) credentialKinds() (kinds []string) {
	note := func(set bool, kind string) {
		if set {
			kinds = append(kinds, kind)
		}
	}
	note(o.CredentialsFile != "", "credentials file")
	note(o.NKeySeedFile != "", "nkey")
	note(o.User != "" || o.Password != "", "user")
	note(o.Token != "", "token")
	note(o.InProcess == nil && slices.ContainsFunc(o.URLs, hasCredentials), "in the URL")
	return kinds
}

// address returns the name of the server for errors.
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

// defaults sets the defaults, and reports invalid options.
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
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"ConnectTimeout", &o.ConnectTimeout, 2 * time.Second},
		{"ReconnectWait", &o.ReconnectWait, time.Second},
		{"ReconnectJitter", &o.ReconnectJitter, 250 * time.Millisecond},
		{"PingInterval", &o.PingInterval, 20 * time.Second},
	} {
		if *d.value < 0 {
			return invalid("%s %v is negative: use 0 for the default of %v, or a positive duration", d.name, *d.value, d.def)
		}
		*d.value = cmp.Or(*d.value, d.def)
	}
	if kinds := o.credentialKinds(); len(kinds) > 1 {
		return invalid("more than one kind of credentials, %s: choose one", strings.Join(kinds, " and "))
	}
	if o.Replicas < 0 || o.Replicas > maxReplicas {
		return invalid("Replicas is %d: want 1, 3 or 5, or 0 for what the cluster supports", o.Replicas)
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return invalid("only one of CertFile and KeyFile is set: set both, or neither")
	}
	return o.checkURLs()
}

// checkFiles reports unreadable files before a connection error hides the cause.
func (o *Options) checkFiles() error {
	for _, f := range []struct{ option, name string }{
		{"CredentialsFile", o.CredentialsFile},
		{"NKeySeedFile", o.NKeySeedFile},
		{"CAFile", o.CAFile},
		{"CertFile", o.CertFile},
		{"KeyFile", o.KeyFile},
	} {
		if f.name == "" {
			continue
		}
		if _, err := os.ReadFile(f.name); err != nil {
			return invalid("%s %s cannot be read: %w: want the name of a file, not its contents", f.option, redact.File(f.name), redact.FileError(err))
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
		nats.IgnoreAuthErrorAbort(), // also if the server refuses the credentials
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectWait(o.ReconnectWait),
		nats.ReconnectJitter(o.ReconnectJitter, o.ReconnectJitter),
		nats.ReconnectBufSize(-1), // do not buffer messages
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

// apply reports errors of nats.go's options before a connection error hides the cause.
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

// maxReplicas is the maximum of NATS.
const maxReplicas = 5

// writeTimeout is the time without progress of a write after which the connection counts as
// lost. A Publish waits for at most that time, and the part of it that writeDeadline adds.
const writeTimeout = 5 * time.Second

func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "natsx: "+format, args...)
}

// checkURLs reports URLs that nats.go cannot use, and parts of them that it would ignore.
// Errors quote only the scheme, host and port of a URL.
func (o *Options) checkURLs() error {
	for i, raw := range o.URLs {
		if err := checkURL("URLs["+strconv.Itoa(i)+"]", raw); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(what, raw string) error {
	if strings.Contains(raw, ",") {
		return invalid("%s has a comma: make each URL an element of URLs, and write %%2C in a password", what)
	}
	u, err := redact.Parse(raw)
	if err != nil {
		return invalid("%s is %w, such as nats://127.0.0.1:4222", what, err)
	}
	what += " (" + redact.URL(raw) + ")"
	if !slices.Contains(schemes, u.Scheme) {
		return invalid("%s has the scheme %q: want nats, tls, ws or wss", what, u.Scheme)
	}
	return checkRest(what, u)
}

var schemes = []string{"nats", "tls", "ws", "wss"}

// checkRest reports parts after the address that nats.go ignores.
func checkRest(what string, u *url.URL) error {
	switch {
	case u.RawQuery != "" || u.ForceQuery:
		return invalid("%s has a query, which NATS ignores: %s", what, adviseQuery(u.Query()))
	case u.Fragment != "":
		return invalid("%s has a fragment, which NATS ignores: remove it, or write %%23 for # in a password", what)
	case u.Path != "" && u.Path != "/" && !strings.HasPrefix(u.Scheme, "ws"):
		return invalid("%s has a path, which NATS ignores: remove it", what)
	}
	return nil
}

// adviseQuery names the options for the settings in a query. It does not name unknown
// settings, which may be credentials.
func adviseQuery(query url.Values) string {
	var options []string
	for name := range query {
		if option, ok := optionOf[strings.ToLower(name)]; ok && !slices.Contains(options, option) {
			options = append(options, option)
		}
	}
	if len(options) == 0 {
		return "remove it, and use the fields of natsx.Options"
	}
	slices.Sort(options)
	return "use " + strings.Join(options, ", ") + " in natsx.Options"
}

// optionOf maps settings in queries to options.
var optionOf = map[string]string{
	"token": "Token", "auth_token": "Token", "access_token": "Token",
	"user": "User and Password", "username": "User and Password", "pass": "User and Password", "password": "User and Password",
	"creds": "CredentialsFile", "credentials": "CredentialsFile", "jwt": "CredentialsFile",
	"nkey": "NKeySeedFile", "seed": "NKeySeedFile",
	"tls": "TLS", "tls_ca": "CAFile", "ca": "CAFile", "tls_cert": "CertFile", "cert": "CertFile", "tls_key": "KeyFile", "key": "KeyFile",
	"name": "Name", "timeout": "ConnectTimeout", "inbox_prefix": "InboxPrefix", "domain": "Domain",
}

// hasCredentials reports whether a URL has a user. nats.go also sends an empty user, and then
// ignores the options.
func hasCredentials(raw string) bool {
	u, err := redact.Parse(raw)
	if err != nil {
		return strings.Contains(raw, "@")
	}
	return u.User != nil
}
