package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"gomono.dev/mono"
)

// Part is a function that returns a part of the key under which a message is counted. It must be fast,
// and not block.
type Part func(c *mono.Call) string

// Handle is the Part with the name of the handle.
func Handle(c *mono.Call) string { return c.Handle().Name() }

// Caller is the Part with the module that has sent the message, "" if that is unknown, as for a plain
// client and for most events that are not Durable (see mono.Event). It is what the sender states, and
// not proved.
func Caller(c *mono.Call) string { return c.Sender() }

// Key is the Part with the key of a message of a keyed handle.
func Key(c *mono.Call) string { return c.Key() }

// Header returns the Part with a header that the sender has set, such as a tenant.
func Header(name string) Part { return func(c *mono.Call) string { return c.Header(name) } }

// By counts messages by these parts: those with the same texts share a limit. Handle is the default.
// By(Caller) gives each caller one limit for all handles, and By(Handle, Caller) one for each
// handle.
func By(parts ...Part) LimitOption {
	for _, p := range parts {
		check(p != nil, "By: a Part is nil: want a function")
	}
	check(len(parts) > 0, "By: want at least one Part, such as limit.Caller")
	return option(func(o *options) { o.parts = parts })
}

// maxKey is the maximum length of a key in bytes. A longer one is replaced by its hash.
const maxKey = 200

// key returns the key under which a message is counted.
func (o *options) key(c *mono.Call) (key string) {
	switch len(o.parts) {
	case 0:
		key = Handle(c)
	case 1:
		key = o.parts[0](c)
	default:
		texts := make([]string, len(o.parts))
		for i, p := range o.parts {
			texts[i] = separable.Replace(p(c))
		}
		key = strings.Join(texts, "/")
	}
	if len(key) > maxKey {
		sum := sha256.Sum256([]byte(key))
		key = "sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}

// separable makes the parts of different keys differ.
var separable = strings.NewReplacer("%", "%25", "/", "%2F")
