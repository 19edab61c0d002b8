package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gomono.dev/codec"
)

// MaxSize is the limit of the size of a document, in bytes.
const MaxSize = 1 << 20

// Contract is what one process declares: its handles, and what is needed to compare them with
// those of another process.
type Contract struct {
	Program    string   `json:"program"` // for texts
	Instance   string   `json:"-"`       // the id of the process, for texts; replicas have one document
	Wire       int      `json:"wire"`    // the version of mono's own format
	Generation uint64   `json:"generation,omitempty"`
	Modules    []Module `json:"modules,omitempty"`
	Handles    []Handle `json:"handles,omitempty"`
}

// Module is a module of the process.
type Module struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// The kinds of handles that processes share. Handles of other kinds are not compared.
const (
	KindService = "service"
	KindQueue   = "queue"
	KindEvent   = "event"
	KindStream  = "stream"
	KindFailure = "failure"
)

// Handle is a declaration of a handle, with its use in the process. A failure is used by every
// process that declares it.
type Handle struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`               // in subjects: its address, which a renamed handle keeps
	Renamed  string `json:"renamed,omitempty"`  // its name in the program, if that is another one
	Version  string `json:"version,omitempty"`  // of the option Version
	Declared string `json:"declared,omitempty"` // file:line

	// The modules that use the handle, by kind of use.
	Provides []string `json:"providedBy,omitempty"`
	Needs    []string `json:"neededBy,omitempty"`
	Produces []string `json:"producedBy,omitempty"`
	Consumes []string `json:"consumedBy,omitempty"`
	Reads    []string `json:"readBy,omitempty"`

	Codec   string   `json:"codec,omitempty"`   // the content type that is sent, without parameters
	Decodes []string `json:"decodes,omitempty"` // further content types that are read

	Request *Payload `json:"request,omitempty"` // of a service
	Reply   *Payload `json:"reply,omitempty"`   // of a service
	Message *Payload `json:"message,omitempty"` // of a queue, an event or a stream
	Value   *Payload `json:"value,omitempty"`   // of a failure, as JSON

	Stored     bool `json:"stored,omitempty"`
	Keyed      bool `json:"keyed,omitempty"`
	Partitions int  `json:"partitions,omitempty"` // 0 if the order of keys is not kept
	Unordered  bool `json:"unordered,omitempty"`

	Groups    []string   `json:"groups,omitempty"`    // of a queue
	Receivers []Receiver `json:"receivers,omitempty"` // of messages

	// Options are the options that are set, as texts: "MaxAge" is "1h0m0s".
	Options map[string]string `json:"options,omitempty"`
}

// Receiver is a receiver of a module.
type Receiver struct {
	Module    string            `json:"module"`
	Formerly  string            `json:"formerly,omitempty"` // the name that the module had
	Group     string            `json:"group,omitempty"`    // "" for Broadcast
	Keys      []string          `json:"keys,omitempty"`
	Unordered bool              `json:"unordered,omitempty"`
	Options   map[string]string `json:"options,omitempty"`
}

// Payload is the type of a message, in the codec of its handle.
type Payload struct {
	Type    string    `json:"type"`              // the Go type, with the path of its package
	Version int       `json:"version,omitempty"` // that is sent; 0 is the first, as 1
	Schema  *Schema   `json:"schema,omitempty"`  // nil if the codec cannot describe types
	Demands bool      `json:"demands,omitempty"` // the reader refuses a message without a required field
	Older   []Payload `json:"upcasts,omitempty"` // older versions that are read
}

// PayloadOf returns the payload of a type in the codec of its handle.
func PayloadOf(c codec.Codec, t reflect.Type) (Payload, error) {
	s, err := SchemaOf(c, t)
	return Payload{Type: typeName(t), Schema: s}, err
}

// MarshalJSON implements [json.Marshaler].
func (p Payload) MarshalJSON() ([]byte, error) {
	type plain Payload
	if p.Schema == nil || p.Schema.encoded == nil {
		return json.Marshal((*plain)(&p))
	}
	return json.Marshal(&struct {
		*plain
		Schema json.RawMessage `json:"schema"`
	}{(*plain)(&p), p.Schema.encoded})
}

// Title returns kind and the name in the program.
func (h *Handle) Title() string { return h.Kind + " " + cmp.Or(h.Renamed, h.Name) }

// String returns kind and name.
func (h *Handle) String() string { return h.Kind + " " + h.Name }

// used reports whether the process uses the handle.
func (h *Handle) used() bool {
	return h.Kind == KindFailure || len(h.senders())+len(h.readers()) > 0
}

// senders returns the modules that send messages, or requests.
func (h *Handle) senders() []string { return slices.Concat(h.Needs, h.Produces) }

// readers returns the modules that receive messages, or requests.
func (h *Handle) readers() []string { return slices.Concat(h.Provides, h.Consumes, h.Reads) }

// Encode returns the document of a Contract. It is the same for the same Contract, whatever the
// order of its handles. An error reports a document that Decode would refuse.
func (c *Contract) Encode() ([]byte, error) {
	sorted := *c
	sorted.Handles = slices.SortedStableFunc(slices.Values(c.Handles), func(a, b Handle) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	data, err := json.Marshal(&sorted)
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("the contract of %s has %d bytes: at most %d are allowed", c.Program, len(data), MaxSize)
	}
	return data, err
}

// Decode reads a document, which another process has made. Unknown fields are ignored. Decode
// does not panic, and needs memory in proportion to the size of the document.
func Decode(data []byte) (*Contract, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("a contract has %d bytes: at most %d are allowed", len(data), MaxSize)
	}
	c := new(Contract)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("cannot decode a contract: %w", err)
	}
	return c, nil
}
