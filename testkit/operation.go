package testkit

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"gomono.dev/kv/driver"
)

// operation is an operation on a bucket or a store, as text.
type operation struct {
	verb   string // "" in an entry for something else
	keys   string
	value  string
	result string
	writes bool
}

func (e *entry) isOperation() bool { return e.operation.verb != "" }

// writing describes writes, by the first one.
func (k handleKey) writing(writes []driver.Write) operation {
	if len(writes) == 0 {
		return operation{verb: "puts", writes: true}
	}
	keys := make([]string, len(writes))
	for i := range writes {
		keys[i] = writes[i].Key
	}
	first := &writes[0]
	o := operation{verb: "puts", keys: k.quote(keys...), value: k.valueText(first.Value), writes: true}
	switch {
	case first.Op == driver.Delete:
		o.verb = "deletes"
	case first.Op == driver.Purge:
		o.verb = "purges"
	case first.Expect != nil && *first.Expect == 0:
		o.verb = "creates"
	case first.Expect != nil:
		o.verb = "updates"
	}
	if first.Expect != nil && *first.Expect > 0 {
		o.keys += fmt.Sprintf(" of #%d", *first.Expect)
	}
	return o
}

// quote returns keys as text, by the first one.
func (k handleKey) quote(keys ...string) string {
	if len(keys) == 0 {
		return "nothing"
	}
	text := fmt.Sprintf("%q", k.keyText(keys[0]))
	if n := len(keys) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// keyText returns a key by its written form, or the name of an object by that of its entry.
func (k handleKey) keyText(written string) string {
	if k.kind == kindStore {
		return objectName(written)
	}
	return unescaped(written)
}

// unescaped returns a text in which "=HH" is a byte.
func unescaped(written string) string {
	var key []byte
	for i := 0; i < len(written); i++ {
		if written[i] == '=' && i+2 < len(written) {
			if b, err := strconv.ParseUint(written[i+1:i+3], 16, 8); err == nil {
				key = append(key, byte(b))
				i += 2
				continue
			}
		}
		key = append(key, written[i])
	}
	return string(key)
}

// recordText describes a record, "" for none.
func (k handleKey) recordText(r *driver.Record) string {
	switch {
	case r == nil:
		return ""
	case r.Op != driver.Put:
		return fmt.Sprintf("#%d, a deletion", r.Revision)
	}
	return fmt.Sprintf("#%d %s", r.Revision, k.valueText(r.Value))
}

// valueText returns a stored value as text, if it is one, or the size of an object.
func (k handleKey) valueText(value []byte) string {
	if k.kind == kindStore && value != nil {
		return objectText(value)
	}
	if !utf8.Valid(value) {
		return plural(len(value), "byte")
	}
	return cut(string(value), maxHandled)
}

// beginOperation records the begin of an operation.
func (j *journal) beginOperation(p *process, of handleKey, o operation) *entry {
	now := time.Now()
	e := &entry{at: now.Sub(j.began), began: now, process: p, handle: of, operation: o}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(e)
	return e
}

// endOperation records the result of an operation.
func (j *journal) endOperation(e *entry, result string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes++
	e.over, e.ended, e.duration, e.err = j.changes, true, time.Since(e.began), err
	e.operation.result = result
}

// operationLine is the line of an operation in the history.
func (e *entry) operationLine() string {
	actor, o := "the test", &e.operation
	if e.process != nil {
		actor = e.process.String()
	}
	line := fmt.Sprintf("%s %s %s", actor, o.verb, e.handle)
	for _, part := range []string{o.keys, o.value} {
		if part != "" {
			line += " " + part
		}
	}
	switch {
	case !e.ended:
		return line + " … has not ended"
	case e.err != nil:
		return line + " → " + e.err.Error()
	}
	return line + " → " + o.result
}
