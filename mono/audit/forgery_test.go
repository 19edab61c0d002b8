package audit_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// message is a message of a log, as somebody with access to the backend may write it.
type message struct {
	entries  []string
	signed   string // the checkpoint
	edge     string
	unsigned bool // without the empty line before the checkpoint
}

func (m *message) body() []byte {
	if m.unsigned {
		return []byte(strings.Join(m.entries, "\n") + "\n")
	}
	return []byte(strings.Join(m.entries, "\n") + "\n\n" + m.signed)
}

// build makes the messages of a log by the specifications, without the package.
func build(t testing.TB, private string, batches [][]string) (log []message) {
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	var leaves []tlog.Hash
	for _, entries := range batches {
		for _, e := range entries {
			leaves = append(leaves, tlog.RecordHash([]byte(e)))
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), len(leaves), rootOf(leaves))
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, message{entries: entries, signed: string(signed), edge: edgeOf(leaves)})
	}
	return log
}

// rootOf is MTH of RFC 6962.
func rootOf(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(rootOf(leaves[:k]), rootOf(leaves[k:]))
}

// edgeOf returns the roots of the largest full subtrees.
func edgeOf(leaves []tlog.Hash) string {
	var hashes []string
	for len(leaves) > 0 {
		k := 1
		for 2*k <= len(leaves) {
			k *= 2
		}
		h := rootOf(leaves[:k])
		hashes = append(hashes, base64.StdEncoding.EncodeToString(h[:]))
		leaves = leaves[k:]
	}
	return strings.Join(hashes, ",")
}

// openLog opens the log of the default name at the backend.
func openLog(t testing.TB, tr transport.Transport) transport.Log {
	log, err := tr.Log(t.Context(), transport.LogConfig{Name: "audit_trail", Subjects: []string{"audit.trail"}})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// write stores messages in a new backend.
func write(t testing.TB, messages []message) transport.Transport {
	tr := inproc.New(inproc.Options{})
	log := openLog(t, tr)
	for i := range messages {
		m := &transport.Message{Subject: "audit.trail", Body: messages[i].body()}
		if messages[i].edge != "" {
			m.Header.Add("Mono-Audit-Edge", messages[i].edge)
		}
		if _, err := log.Append(t.Context(), m, transport.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// A Trail writes what the specifications say, byte for byte.
func TestFormat(t *testing.T) {
	t.Parallel()
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	trail := audit.New(audit.Options{Key: k.private})
	start(t, tr, trail)
	recordMany(t, trail, "a", 20, 20)
	var got []*transport.Delivery
	var batches [][]string
	for d, err := range openLog(t, tr).Read(t.Context(), transport.ReadConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
		entries, _, _ := strings.Cut(string(d.Body), "\n\n")
		batches = append(batches, strings.Split(entries, "\n"))
	}
	if len(got) < 20 {
		t.Fatalf("got %d messages", len(got))
	}
	for i, m := range build(t, k.private, batches) {
		if !bytes.Equal(got[i].Body, m.body()) || got[i].Header.Get("Mono-Audit-Edge") != m.edge {
			t.Errorf("message %d: got\n%s\n%v\nwant\n%s\n%s", i+1, got[i].Body, got[i].Header, m.body(), m.edge)
		}
	}
}

// forger changes a log.
type forger struct {
	*rand.Rand
	t     testing.TB
	log   []message
	key   string // the private key of the log; only a fork uses it
	other string // another private key for the same origin
	third string // a private key of another origin
}

// entry returns a place of an entry.
func (f *forger) entry() (m *message, i int) {
	m = &f.log[f.IntN(len(f.log))]
	return m, f.IntN(len(m.entries))
}

// message returns the index of a message with another one before and after it.
func (f *forger) message() int { return 1 + f.IntN(len(f.log)-2) }

// several returns a message with several entries.
func (f *forger) several() *message {
	for {
		if m, _ := f.entry(); len(m.entries) > 1 {
			return m
		}
	}
}

func (f *forger) batches() (all [][]string) {
	for i := range f.log {
		all = append(all, slices.Clone(f.log[i].entries))
	}
	return all
}

// extended returns the log with one more message, signed with a key.
func (f *forger) extended(key string) message {
	all := build(f.t, key, append(f.batches(), []string{`{"event":"test.forged"}`}))
	return all[len(all)-1]
}

// line replaces a line of a checkpoint.
func line(signed string, n int, text string) string {
	lines := strings.Split(signed, "\n")
	lines[n] = text
	return strings.Join(lines, "\n")
}

// manipulations are the ways to change a log. If kept is not 0, only a checkpoint that was kept
// elsewhere proves the change, since the log itself is as if it had been so from the beginning:
// the last checkpoint, or the last but one.
var manipulations = []struct {
	name   string
	kept   int
	change func(f *forger)
}{
	{"a bit of an entry", 0, func(f *forger) {
		m, i := f.entry()
		b := []byte(m.entries[i])
		b[f.IntN(len(b))] ^= 1
		m.entries[i] = string(b)
	}},
	{"another value in an entry", 0, func(f *forger) {
		m, i := f.entry()
		m.entries[i] = strings.Replace(m.entries[i], `"event"`, `"actor":"eve","event"`, 1)
	}},
	{"an entry without content", 0, func(f *forger) { m, i := f.entry(); m.entries[i] = "{}" }},
	{"white space in an entry", 0, func(f *forger) { m, i := f.entry(); m.entries[i] += " " }},
	{"two entries of a message in another order", 0, func(f *forger) { m := f.several(); m.entries[0], m.entries[1] = m.entries[1], m.entries[0] }},
	{"two entries of different messages in another order", 0, func(f *forger) {
		i := f.message()
		a, b := f.log[i].entries, f.log[i+1].entries
		a[0], b[0] = b[0], a[0]
	}},
	{"an entry removed", 0, func(f *forger) { m := f.several(); m.entries = m.entries[1:] }},
	{"an entry repeated", 0, func(f *forger) { m, i := f.entry(); m.entries = slices.Insert(m.entries, i, m.entries[i]) }},
	{"an entry inserted", 0, func(f *forger) {
		m, i := f.entry()
		m.entries = slices.Insert(m.entries, i, `{"event":"test.forged"}`)
	}},
	{"an entry moved to the next message", 0, func(f *forger) {
		m := f.several()
		i := len(m.entries) - 1
		for n := range f.log[:len(f.log)-1] {
			if &f.log[n] == m {
				f.log[n+1].entries = slices.Insert(f.log[n+1].entries, 0, m.entries[i])
			}
		}
		m.entries = m.entries[:i]
	}},
	{"all entries of a message removed", 0, func(f *forger) { f.log[f.message()].entries = nil }},
	{"the first message removed", 0, func(f *forger) { f.log = f.log[1:] }},
	{"a message removed", 0, func(f *forger) { i := f.message(); f.log = slices.Delete(f.log, i, i+1) }},
	{"the last message removed", 1, func(f *forger) { f.log = f.log[:len(f.log)-1] }},
	{"the tail removed", 1, func(f *forger) { f.log = f.log[:f.message()] }},
	{"everything removed", 1, func(f *forger) { f.log = nil }},
	{"a message repeated", 0, func(f *forger) { i := f.message(); f.log = slices.Insert(f.log, i, f.log[i]) }},
	{"two messages in another order", 0, func(f *forger) { i := f.message(); f.log[i], f.log[i+1] = f.log[i+1], f.log[i] }},
	{"all messages in another order", 0, func(f *forger) { slices.Reverse(f.log) }},
	{"an earlier message at the end", 0, func(f *forger) { f.log = append(f.log, f.log[f.message()]) }},
	{"a tail without a checkpoint", 0, func(f *forger) {
		f.log = append(f.log, message{entries: []string{`{"event":"test.forged"}`}, unsigned: true})
	}},
	{"a tail with the last checkpoint", 0, func(f *forger) {
		m := f.extended(f.other)
		m.signed = f.log[len(f.log)-1].signed
		f.log = append(f.log, m)
	}},
	{"a tail of another key", 0, func(f *forger) { f.log = append(f.log, f.extended(f.other)) }},
	{"a tail of another origin", 0, func(f *forger) { f.log = append(f.log, f.extended(f.third)) }},
	{"a checkpoint of another key", 0, func(f *forger) { i := f.message(); f.log[i].signed = build(f.t, f.other, f.batches())[i].signed }},
	{"a checkpoint of another origin", 0, func(f *forger) { i := f.message(); f.log[i].signed = build(f.t, f.third, f.batches())[i].signed }},
	{"an earlier checkpoint", 0, func(f *forger) { i := f.message(); f.log[i].signed = f.log[i-1].signed }},
	{"a later checkpoint", 0, func(f *forger) { i := f.message(); f.log[i].signed = f.log[i+1].signed }},
	{"another size in a checkpoint", 0, func(f *forger) { m, _ := f.entry(); m.signed = line(m.signed, 1, "7777") }},
	{"another root in a checkpoint", 0, func(f *forger) {
		i := f.message()
		f.log[i].signed = line(f.log[i].signed, 2, strings.Split(f.log[i-1].signed, "\n")[2])
	}},
	{"one more line in a checkpoint", 0, func(f *forger) { m, _ := f.entry(); m.signed = strings.Replace(m.signed, "\n\n", "\nmore\n\n", 1) }},
	{"a bit of a signature", 0, func(f *forger) {
		m, _ := f.entry()
		b := []byte(m.signed)
		if i := len(b) - 10; b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		m.signed = string(b)
	}},
	{"a checkpoint without a signature", 0, func(f *forger) {
		m, _ := f.entry()
		text, _, _ := strings.Cut(m.signed, "\n\n")
		m.signed = text + "\n"
	}},
	{"no checkpoint", 0, func(f *forger) { f.log[f.message()].unsigned = true }},
	{"a message without an edge", 0, func(f *forger) { m, _ := f.entry(); m.edge = "" }},
	{"the edge of another message", 0, func(f *forger) { i := f.message(); f.log[i].edge = f.log[i-1].edge }},
	{"two messages made one", 2, func(f *forger) {
		last := len(f.log) - 1
		f.log[last].entries = append(f.log[last-1].entries, f.log[last].entries...)
		f.log = slices.Delete(f.log, last-1, last)
	}},
	{"a log of another key", 0, func(f *forger) { f.log = build(f.t, f.other, f.batches()) }},
	{"a log rewritten with its key", 1, func(f *forger) {
		all := f.batches()
		all[f.IntN(len(all)-1)][0] = `{"event":"test.forged"}`
		f.log = build(f.t, f.key, all)
	}},
	{"a longer log rewritten with its key", 1, func(f *forger) {
		all := f.batches()
		all[f.IntN(len(all)-1)][0] = `{"event":"test.forged"}`
		f.log = build(f.t, f.key, append(all, all...))
	}},
	{"a fork", 1, func(f *forger) {
		all := f.batches()[:f.message()]
		for range 20 {
			all = append(all, []string{`{"event":"test.forged"}`, `{"event":"test.forged"}`})
		}
		f.log = build(f.t, f.key, all)
	}},
}

// Verify detects each manipulation.
func TestManipulations(t *testing.T) {
	t.Parallel()
	if len(manipulations) < 30 {
		t.Fatalf("%d manipulations", len(manipulations))
	}
	for _, m := range manipulations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				k, other := newKeys(t), newKeys(t)
				third, _, err := audit.GenerateKey("example.com/other")
				if err != nil {
					t.Fatal(err)
				}
				f := &forger{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, key: k.private, other: other.private, third: third}
				f.log = build(t, k.private, f.honest())
				o := audit.ReadOptions{Key: k.public}
				is, err := audit.Verify(t.Context(), write(t, f.log), o)
				if err != nil || string(is.Note) != f.log[len(f.log)-1].signed {
					t.Fatalf("seed %d: the honest log: %v", seed, err)
				}
				if m.kept > 0 {
					o.From = []byte(f.log[len(f.log)-m.kept].signed)
				}
				m.change(f)
				_, err = audit.Verify(t.Context(), write(t, f.log), o)
				if mono.CodeOf(err) != mono.DataLoss {
					t.Fatalf("seed %d: not detected: %v", seed, err)
				}
				if seed == 0 {
					t.Log(err)
				}
			}
		})
	}
}

// honest returns entries in some messages.
func (f *forger) honest() (batches [][]string) {
	n := 0
	for range 8 + f.IntN(8) {
		var entries []string
		for range 1 + f.IntN(5) {
			n++
			entries = append(entries, fmt.Sprintf(`{"id":"e%d","time":"2026-10-01T12:00:00Z","event":"test.ok","details":{"n":%d}}`, n, n))
		}
		batches = append(batches, entries)
	}
	batches[1] = append(batches[1], fmt.Sprintf(`{"id":"e%d","event":"test.more"}`, n+1)) // several needs one
	return batches
}

// The order of a log is that of its tree. A clock that is set back changes the times of entries, and Verify
// reports nothing.
func TestClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	var batches [][]string
	for _, hour := range []int{12, 11, 13, 1} {
		batches = append(batches, []string{fmt.Sprintf(`{"id":"e%d","time":"2026-10-01T%02d:00:00Z","event":"test.ok"}`, hour, hour)})
	}
	tr := write(t, build(t, k.private, batches))
	if _, err := audit.Verify(t.Context(), tr, audit.ReadOptions{Key: k.public}); err != nil {
		t.Fatal(err)
	}
	var hours []int
	for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
		if err != nil {
			t.Fatal(err)
		}
		hours = append(hours, e.Time.Hour())
	}
	if want := []int{12, 11, 13, 1}; !slices.Equal(hours, want) {
		t.Errorf("got %v, want %v", hours, want)
	}
}

// Verify continues after a checkpoint, and reads no earlier message again.
func TestVerifyContinues(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		var saved []byte
		for range 5 {
			recordMany(t, trail, "a", 5, 5)
			is, err := audit.Verify(t.Context(), tr, audit.ReadOptions{Key: k.public, From: saved})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := audit.Verify(t.Context(), tr, audit.ReadOptions{Key: k.public, From: is.Note}); err != nil || !bytes.Equal(again.Note, is.Note) {
				t.Fatalf("%d entries: got %d, %v", is.Size, again.Size, err)
			}
			for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public, From: saved}) {
				if err != nil || saved != nil && e.Checkpoint.Size <= e.Index {
					t.Fatalf("entry %d: %v", e.Index, err)
				}
			}
			saved = is.Note
		}
	})
}

// Messages that are removed at the backend are noticed by Verify and by the next writer.
func TestRemovedMessages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		for name, remove := range map[string]func(log transport.Log, last uint64) error{
			"one":      func(log transport.Log, last uint64) error { return log.Remove(t.Context(), last/2) },
			"the last": func(log transport.Log, last uint64) error { return log.Remove(t.Context(), last) },
			"the first ones": func(log transport.Log, last uint64) error {
				_, err := log.Purge(t.Context(), transport.PurgeConfig{Before: last / 2})
				return err
			},
			"all": func(log transport.Log, _ uint64) error {
				_, err := log.Purge(t.Context(), transport.PurgeConfig{})
				return err
			},
		} {
			k, tr := newKeys(t), connect()
			o := audit.Options{Key: k.private, Name: "x-" + strings.ReplaceAll(name, " ", "-")}
			trail := audit.New(o)
			app := start(t, tr, trail)
			recordMany(t, trail, "a", 1, 10)
			if err := app.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			tr = connect()
			stored := strings.ReplaceAll(o.Name, ".", "_")
			log, err := tr.Log(t.Context(), transport.LogConfig{Name: "audit_" + stored, Subjects: []string{"audit." + o.Name}})
			if err != nil {
				t.Fatal(err)
			}
			info, err := log.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := remove(log, info.Last); err != nil {
				t.Fatal(err)
			}
			if _, err := audit.Verify(t.Context(), tr, audit.ReadOptions{Key: k.public, Name: o.Name}); mono.CodeOf(err) != mono.DataLoss {
				t.Errorf("%s: Verify: %v", name, err)
			}
			again := audit.New(o)
			start(t, tr, again)
			if err := again.Record(t.Context(), "test.x"); mono.CodeOf(err) != mono.DataLoss {
				t.Errorf("%s: Record: %v", name, err)
			}
		}
	})
}
