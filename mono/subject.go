package mono

import (
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// subjectOf returns the subject of a payload: services.<name>, queues.<name>,
// events.<name> or streams.<name>, after the App's namespace, and with ._k.<key> at the
// end for a keyed handle.
func (s *sender) subjectOf(payload any) (string, error) {
	if s.decl.key == nil {
		return s.prefix, nil
	}
	key, err := s.in.keyOf(s.decl, payload)
	if err != nil {
		return "", err
	}
	if err := transport.ValidateToken(key); err != nil {
		return "", notDone(InvalidArgument, "its key function returned an invalid key: %w", err)
	}
	return s.prefix + "._k." + key, nil
}

// keyOf calls the key function, which is user code.
func (in *instance) keyOf(d *declaration, payload any) (key string, err error) {
	defer func() {
		if v := recover(); v != nil {
			in.panicked("the key function of "+d.String(), v)
			err = notDone(Internal, "its key function panicked")
		}
	}()
	return d.key(payload), nil
}

// patternsOf returns the subjects that a receiver subscribes to.
func (in *instance) patternsOf(d *declaration, c *config) []string {
	switch {
	case d.key == nil:
		return []string{in.prefix(d)}
	case len(c.Keys) == 0:
		return []string{in.prefix(d) + "._k.*"}
	}
	keys := slices.Compact(slices.Sorted(slices.Values(c.Keys)))
	patterns := make([]string, len(keys))
	for i, key := range keys {
		patterns[i] = in.prefix(d) + "._k." + key
	}
	return patterns
}

func (in *instance) prefix(d *declaration) string {
	subject := string(d.kind) + "s." + d.name
	if ns := in.app.options.namespace; ns != "" {
		subject = ns + "." + subject
	}
	return subject
}

// kindTokens are the tokens that precede the name of a handle in a subject, and those
// reserved for future kinds. A namespace contains none of them, so the first one in a
// subject ends its namespace. So the subjects of two handles are never equal.
var kindTokens = []string{
	"services", "queues", "events", "streams",
	"channels", "resources", "failures", "buckets", "kv", "objects",
}

// checkNamespace reports a namespace that is not a valid name, or that has a token of a
// kind.
func checkNamespace(namespace string) error {
	if err := checkName(namespace); err != nil {
		return fmt.Errorf("Namespace(%q): %w", namespace, err)
	}
	for token := range strings.SplitSeq(namespace, ".") {
		if slices.Contains(kindTokens, token) {
			return fmt.Errorf("Namespace(%q): the token %q is reserved, since the name of a handle follows it in a subject: use another one, such as %q", namespace, token, "my-"+token)
		}
	}
	return nil
}
