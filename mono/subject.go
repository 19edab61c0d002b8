package mono

import (
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// namespace is the namespace of an App, "" for none. It forms the names that the App
// has in its backend.
type namespace string

// The tokens between the name of a handle and a key or a group. Names of handles have
// no "_".
const (
	keyToken = "._k."
	toToken  = "._to."
	askToken = "._ask."
)

// prefix returns what all subjects of a handle begin with: services.<address>,
// queues.<address>, events.<address> or streams.<address>, after the namespace.
func (ns namespace) prefix(d *declaration) string {
	subject := string(d.kind) + "s." + d.Address()
	if ns != "" {
		subject = string(ns) + "." + subject
	}
	return subject
}

// patterns returns the subjects that a receiver subscribes to.
func (ns namespace) patterns(d *declaration, c *config) []string {
	switch {
	case d.key == nil:
		return []string{ns.prefix(d)}
	case len(c.Keys) == 0:
		return []string{ns.prefix(d) + keyToken + "*"}
	}
	patterns := slices.Compact(slices.Sorted(slices.Values(c.Keys)))
	for i, key := range patterns {
		patterns[i] = ns.prefix(d) + keyToken + key
	}
	return patterns
}

// stored returns the subjects of a handle's log. Releases that send with and without a key share
// one log, unless it has partitions.
func (ns namespace) stored(d *declaration) []string {
	prefix := ns.prefix(d)
	all := []string{prefix, prefix + toToken + "*", prefix + keyToken + "*", prefix + toToken + "*" + keyToken + "*"}
	if d.partitions() > 0 {
		return all[2:]
	}
	return all
}

// replay returns the subject of messages for one group only. key is "" for those without one.
func (ns namespace) replay(d *declaration, group, key string) string {
	subject := ns.prefix(d) + toToken + group
	if key != "" {
		subject += keyToken + key
	}
	return subject
}

// isReplay reports whether a message is for one group only.
func (ns namespace) isReplay(d *declaration, subject string) bool {
	return strings.HasPrefix(subject, ns.prefix(d)+toToken)
}

// ask returns the subject of a NonPersistent queue's jobs for a group. No log stores it, so a log of
// another release answers for no worker.
func (ns namespace) ask(d *declaration, group string) string { return ns.prefix(d) + askToken + group }

// keyed returns the subject of messages with a key.
func (ns namespace) keyed(d *declaration, key string) string { return ns.prefix(d) + keyToken + key }

// deadLetter returns the subject of a dead letter. group is "" for one of all groups.
func (ns namespace) deadLetter(d *declaration, group, sequence string) string {
	if group == "" {
		group = "_"
	}
	return "_dead." + ns.prefix(d) + "." + group + "." + sequence
}

// log returns the name of a handle's log. Names of handles have no "_", so no two are
// the same.
func (ns namespace) log(d *declaration) string { return underscored(ns.prefix(d)) }

// deadLetterLog returns the name of the log of a handle's dead letters.
func (ns namespace) deadLetterLog(d *declaration) string { return ns.log(d) + "__dead" }

// contracts returns a subject on which processes compare their contracts.
func (ns namespace) contracts(to string) string {
	if ns != "" {
		return string(ns) + "._contracts." + to
	}
	return "_contracts." + to
}

// service returns the name of a module in discovery. Names contain no "_", so two
// modules never share a name.
func (ns namespace) service(module string) string {
	if ns != "" {
		return underscored(string(ns)) + "_" + module
	}
	return module
}

func underscored(subject string) string { return strings.ReplaceAll(subject, ".", "_") }

// forOtherGroup reports whether a message is for another group only. prefix is that of
// its handle.
func forOtherGroup(subject, prefix, group string) bool {
	rest, ok := strings.CutPrefix(subject, prefix)
	if ok {
		rest, ok = strings.CutPrefix(rest, toToken)
	}
	to, _, _ := strings.Cut(rest, ".")
	return ok && to != group
}

// keyOf returns the key in a subject, or "".
func keyOf(subject string) string {
	i := strings.LastIndex(subject, keyToken)
	if i <= 0 || strings.Contains(subject[i+len(keyToken):], ".") {
		return ""
	}
	return subject[i+len(keyToken):]
}

// subjectOf returns the subject of a payload: the prefix, with the key of a keyed
// handle.
func (s *sender) subjectOf(payload any) (string, error) {
	if s.decl.key == nil || s.decl.nonPersistent() {
		return s.prefix, nil
	}
	key, err := s.in.keyOf(s.decl, payload)
	if err != nil {
		return "", err
	}
	if err := transport.ValidateToken(key); err != nil {
		return "", notDone(InvalidArgument, "its key function returned an invalid key: %w", err)
	}
	return s.prefix + keyToken + key, nil
}

// keyOf calls the key function of a handle, which is user code.
func (in *instance) keyOf(d *declaration, payload any) (key string, err error) {
	defer func() {
		if v := recover(); v != nil {
			in.panicked("the key function of "+d.String(), v)
			err = notDone(Internal, "its key function panicked")
		}
	}()
	return d.key(payload), nil
}

// kindTokens are the tokens that precede the name of a handle in a subject, and those
// reserved for future kinds. A namespace contains none of them, so the first one in a
// subject ends its namespace. So the subjects of two handles are never equal.
var kindTokens = []string{
	"services", "queues", "events", "streams",
	"channels", "resources", "failures", "buckets", "kv", "objects",
}

// check reports a namespace that is not a valid name, or that has a token of a kind.
func (ns namespace) check() error {
	if ns == "" {
		return nil
	}
	if err := checkName(string(ns)); err != nil {
		return fmt.Errorf("Namespace(%q): %w", ns, err)
	}
	for token := range strings.SplitSeq(string(ns), ".") {
		if slices.Contains(kindTokens, token) {
			return fmt.Errorf("Namespace(%q): the token %q is reserved, since the name of a handle follows it in a subject: use another one, such as %q", ns, token, "my-"+token)
		}
	}
	return nil
}
