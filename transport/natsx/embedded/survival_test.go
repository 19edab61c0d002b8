package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// fact is a guarantee about stored messages, with functions to check it.
type fact struct {
	name   string
	config transport.LogConfig
	other  bool // after is called at another worker; the first one stops before the failure

	// before prepares the fact, and returns a note for after. Its goroutines end with the
	// process or the transport.
	before func(l transport.Log) (note string, err error)

	// after returns the outcome.
	after func(l transport.Log, note string) (outcome string, err error)
}

const (
	kept      = "kept"
	forgotten = "forgotten"
	mayRepeat = "may repeat"
	mayCount  = "may count"
	mayFall   = "may be lower"
	mayHurry  = "may be early"
	mayForget = "may be forgotten"
	mayGoBack = "may go back"

	cannotHappen = "–" // the failure does not apply
)

// survivors is the group of all facts.
var survivors = transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}

func interest() transport.LogConfig {
	return transport.LogConfig{
		Name: "facts", Subjects: []string{"facts.*"}, Retention: transport.InterestRetention, Delays: true,
		DedupWindow: time.Hour, Groups: []transport.GroupConfig{survivors},
	}
}

func history() transport.LogConfig {
	c := interest()
	c.Retention, c.Delays = transport.LimitsRetention, false
	return c
}

// partitions is a log with an ordered group, whose members fetch a message of each partition
// ahead.
func partitions() transport.LogConfig {
	c := history()
	c.Partitions = 4
	c.Groups = []transport.GroupConfig{inOrder}
	return c
}

var inOrder = transport.GroupConfig{Name: "o", AckWait: transport.MinAckWait, Ordered: true}

var keys = []string{"a", "b", "c", "d", "e", "f", "g", "h"} // they are of several partitions

func failThrice(l transport.Log) (string, error) {
	if err := put(l, 1, transport.AppendOptions{}); err != nil {
		return "", err
	}
	m := follow(l)
	for _, delay := range []time.Duration{0, 0, waitForIt} {
		if err := (<-m).Nak(context.Background(), delay); err != nil {
			return "", err
		}
	}
	_, err := l.Info(context.Background()) // a round trip: the server has the settlement
	return "", err
}

func failOnce(l transport.Log) (string, error) {
	if err := put(l, 1, transport.AppendOptions{}); err != nil {
		return "", err
	}
	d := <-follow(l)
	due := time.Now().Add(waitForIt)
	if err := d.Nak(context.Background(), waitForIt); err != nil {
		return "", err
	}
	_, err := l.Info(context.Background()) // a round trip: the server has the settlement
	return stamp(due), err
}

var facts = []fact{
	{"stored messages", history(), false, func(l transport.Log) (string, error) {
		return "", put(l, 20, transport.AppendOptions{})
	}, func(l transport.Log, _ string) (string, error) {
		n := 0
		err := retry(func() error {
			n = 0
			for _, err := range l.Read(context.Background(), transport.ReadConfig{}) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		return fmt.Sprint(n, " of 20"), err
	}},
	{"settled messages stay settled", history(), false, func(l transport.Log) (string, error) {
		if err := put(l, 20, transport.AppendOptions{}); err != nil {
			return "", err
		}
		m := follow(l)
		for range 20 {
			if err := (<-m).Ack(context.Background()); err != nil {
				return "", err
			}
		}
		return "", await(func() (bool, error) {
			groups, err := l.Groups(context.Background())
			return err == nil && groups[0].Settled == 20, err
		})
	}, func(l transport.Log, _ string) (string, error) {
		if err := put(l, 1, transport.AppendOptions{}); err != nil {
			return "", err
		}
		repeated := 0
		for d := range follow(l) {
			if d.Sequence > 20 {
				break
			}
			repeated++
			_ = d.Ack(context.Background())
		}
		return fmt.Sprint(repeated, " of 20 again"), nil
	}},
	{"attempts that failed", interest(), false, failThrice, attemptOf},
	{"attempts that failed, at another worker", interest(), true, failThrice, attemptOf},
	{"deliveries ahead of the handler do not count", partitions(), false, func(l transport.Log) (string, error) {
		for _, key := range keys {
			if _, err := l.Append(context.Background(), &transport.Message{Subject: "facts." + key}, transport.AppendOptions{}); err != nil {
				return "", err
			}
		}
		first := make(chan *transport.Delivery, 1)
		_, err := l.Consume(context.Background(), transport.ConsumeConfig{Group: inOrder}, transport.Serial(func(d *transport.Delivery) { first <- d }))
		if err != nil {
			return "", err
		}
		d := <-first // never settled
		if _, ok := l.(inMemory); ok {
			return strconv.FormatUint(d.Sequence, 10), nil // which fetches nothing ahead
		}
		return strconv.FormatUint(d.Sequence, 10), await(func() (bool, error) {
			groups, err := l.Groups(context.Background())
			return err == nil && groups[0].InFlight > 1, err
		})
	}, func(l transport.Log, note string) (string, error) {
		got := make(chan *transport.Delivery)
		err := retry(func() error {
			_, err := l.Consume(context.Background(), transport.ConsumeConfig{Group: inOrder, MaxInFlight: len(keys)}, transport.Serial(func(d *transport.Delivery) { got <- d }))
			return err
		})
		if err != nil {
			return "", err
		}
		count := 0
		for range keys {
			d := <-got
			if strconv.FormatUint(d.Sequence, 10) != note && d.Attempt > 1 {
				count++
			}
			if err := d.Ack(context.Background()); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(count, " count"), nil
	}},
	{"an attempt whose process died", interest(), false, func(l transport.Log) (string, error) {
		if err := put(l, 1, transport.AppendOptions{}); err != nil {
			return "", err
		}
		<-follow(l) // never settled
		return "", nil
	}, attemptOf},
	{"an attempt that an orderly stop cut off does not count", interest(), false, func(l transport.Log) (string, error) {
		if err := put(l, 1, transport.AppendOptions{}); err != nil {
			return "", err
		}
		first := make(chan *transport.Delivery, 1)
		r, err := l.Consume(context.Background(), transport.ConsumeConfig{Group: survivors}, transport.Serial(func(d *transport.Delivery) { first <- d }))
		if err != nil {
			return "", err
		}
		d := <-first
		go func() { _ = d.Release(context.Background()) }()
		return "", r.Drain(context.Background())
	}, attemptOf},
	{"the delay before the next attempt", interest(), false, failOnce, early},
	{"the delay before the next attempt, at another worker", interest(), true, failOnce, early},
	{"a delayed message waits for its time", interest(), false, func(l transport.Log) (string, error) {
		due := time.Now().Add(waitForIt)
		return stamp(due), put(l, 1, transport.AppendOptions{NotBefore: due})
	}, early},
	{"ids of messages that are stored", history(), false, func(l transport.Log) (string, error) {
		return "", put(l, 1, transport.AppendOptions{ID: "x"})
	}, again},
	{"ids of removed messages", interest(), false, func(l transport.Log) (string, error) {
		if err := put(l, 1, transport.AppendOptions{ID: "x"}); err != nil {
			return "", err
		}
		if err := (<-follow(l)).Ack(context.Background()); err != nil {
			return "", err
		}
		return "", await(func() (bool, error) {
			info, err := l.Info(context.Background())
			return info.Messages == 0, err
		})
	}, again},
	{"fencing tokens never go back", history(), false, func(l transport.Log) (string, error) {
		if err := put(l, 300, transport.AppendOptions{}); err != nil {
			return "", err
		}
		var d *transport.Delivery
		m := follow(l)
		for range 300 {
			d = <-m
			_ = d.Ack(context.Background())
		}
		return strconv.FormatUint(d.FencingToken, 10), nil
	}, func(l transport.Log, note string) (string, error) {
		highest, err := strconv.ParseUint(note, 10, 64)
		if err != nil {
			return "", err
		}
		if err := put(l, 1, transport.AppendOptions{}); err != nil {
			return "", err
		}
		d := <-follow(l)
		return fmt.Sprintf("after %d comes %t higher", highest, d.FencingToken > highest), nil
	}},
}

// wanted returns the outcome of a kept fact.
func wanted(name string) string {
	return map[string]string{
		"stored messages":                                        "20 of 20",
		"settled messages stay settled":                          "0 of 20 again",
		"attempts that failed":                                   "attempt 4",
		"attempts that failed, at another worker":                "attempt 4",
		"deliveries ahead of the handler do not count":           "0 count",
		"an attempt whose process died":                          "attempt 2",
		"an attempt that an orderly stop cut off does not count": "attempt 1",
		"the delay before the next attempt":                      "not early",
		"the delay before the next attempt, at another worker":   "not early",
		"a delayed message waits for its time":                   "not early",
		"ids of messages that are stored":                        "duplicate true",
		"ids of removed messages":                                "duplicate true",
	}[name]
}

const waitForIt = 3 * time.Second

func put(l transport.Log, n int, o transport.AppendOptions) error {
	for i := range n {
		err := retry(func() error {
			_, err := l.Append(context.Background(), &transport.Message{Subject: "facts.a", Body: []byte(strconv.Itoa(i))}, o)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retry tries again while the connection is lost, or a cluster has no leader.
func retry(do func() error) error {
	for {
		err := do()
		if code := transport.CodeOf(err); code != transport.Unavailable && code != transport.DeadlineExceeded {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// members holds the results of follow.
var members sync.Map // transport.Log → chan *transport.Delivery

// follow joins the group once for each log.
func follow(l transport.Log) <-chan *transport.Delivery {
	made, there := members.LoadOrStore(l, make(chan *transport.Delivery, 1000))
	got := made.(chan *transport.Delivery)
	if there {
		return got
	}
	err := retry(func() error {
		_, err := l.Consume(context.Background(), transport.ConsumeConfig{Group: survivors, MaxInFlight: 500}, transport.Serial(func(d *transport.Delivery) { got <- d }))
		return err
	})
	if err != nil {
		panic(err)
	}
	return got
}

func await(done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		<-time.After(5 * time.Millisecond)
	}
}

func attemptOf(l transport.Log, _ string) (string, error) {
	d := <-follow(l)
	_ = d.Ack(context.Background()) // fails if the message came before the failure
	return fmt.Sprint("attempt ", d.Attempt), nil
}

func stamp(due time.Time) string { return strconv.FormatInt(due.UnixNano(), 10) }

func early(l transport.Log, note string) (string, error) {
	due, err := strconv.ParseInt(note, 10, 64)
	if err != nil {
		return "", err
	}
	d := <-follow(l)
	if early := time.Until(time.Unix(0, due)); early > 0 {
		return fmt.Sprint(early, " early"), nil
	}
	_ = d.Ack(context.Background()) // fails if the message came before the failure
	return "not early", nil
}

func again(l transport.Log, _ string) (string, error) {
	var at transport.Appended
	err := retry(func() (err error) {
		at, err = l.Append(context.Background(), &transport.Message{Subject: "facts.a"}, transport.AppendOptions{ID: "x"})
		return err
	})
	return fmt.Sprint("duplicate ", at.Duplicate), err
}

// failures are the columns of the table.
var failures = map[string]func(t *testing.T, f fact) (outcome string){
	"worker": func(t *testing.T, f fact) string {
		s, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
		note := life(t, f, "before", s.ClientURL(), "").killed(t)
		return life(t, f, "after", s.ClientURL(), note).killed(t)
	},
	"embedded, killed": func(t *testing.T, f fact) string {
		dir := t.TempDir()
		note := life(t, f, "before", dir, "").killed(t)
		return life(t, f, "after", dir, note).killed(t)
	},
	"embedded, stopped": func(t *testing.T, f fact) string {
		dir := t.TempDir()
		note := life(t, f, "before", dir, "").stopped(t)
		return life(t, f, "after", dir, note).killed(t)
	},
	"server elsewhere": func(t *testing.T, f fact) string {
		url, dir := "nats://"+loopback.Free(t), t.TempDir()
		first := life(t, fact{name: "server"}, dir, url, "")
		first.readLine(t)
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, ReconnectWait: 10 * time.Millisecond, Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close(context.Background())
		return inOneProcess(t, f, tr, func() transport.Transport {
			first.kill(t)
			life(t, fact{name: "server"}, dir, url, "").readLine(t)
			return must(natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, Logger: discard}))(t)
		})
	},
	"inproc, worker": func(t *testing.T, f fact) string {
		b := inproc.NewBackend(inproc.Options{})
		first := b.Connect()
		note := must(f.before(openFacts(first, f)))(t)
		first.Kill()
		return must(f.after(openFacts(b.Connect(), f), note))(t)
	},
	"inproc, restart": func(t *testing.T, f fact) string {
		b := inproc.NewBackend(inproc.Options{})
		return inOneProcess(t, f, b.Connect(), func() transport.Transport {
			b.Restart()
			return b.Connect()
		})
	},
}

// inOneProcess checks a failure that the worker survives. fail returns another worker.
func inOneProcess(t *testing.T, f fact, tr transport.Transport, fail func() transport.Transport) string {
	l := openFacts(tr, f)
	note := must(f.before(l))(t)
	if f.other {
		_ = tr.Close(context.Background())
	}
	other := fail()
	defer other.Close(context.Background())
	if f.other {
		l = openFacts(other, f)
	}
	return must(f.after(l, note))(t)
}

func must[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func openFacts(tr transport.Transport, f fact) transport.Log {
	l, err := tr.Log(context.Background(), f.config)
	if err != nil {
		panic(err)
	}
	if tr.Capabilities().Name == "inproc" {
		return inMemory{l}
	}
	return l
}

// inMemory is a log of inproc.
type inMemory struct{ transport.Log }

var discard = slog.New(slog.DiscardHandler)

// process is a child process, which the test kills or stops.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// survival names the environment variable that makes the test binary a child process. Its
// value has a fact, "before" or "after", the location of the server, and the note.
const survival = "MONO_TEST_SURVIVAL"

func life(t *testing.T, f fact, when, where, note string) *process {
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), survival+"="+strings.Join([]string{f.name, when, where, note}, "|"))
	p.cmd.Stderr = t.Output()
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) readLine(t *testing.T) string {
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the process printed %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

func (p *process) kill(t *testing.T) {
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

func (p *process) killed(t *testing.T) string {
	line := p.readLine(t)
	p.kill(t)
	return line
}

func (p *process) stopped(t *testing.T) string {
	line := p.readLine(t)
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return line
}

// live is the main function of a child process. It prints one line, and closes its transport
// at the end of its standard input.
func live(what string) error {
	parts := strings.SplitN(what, "|", 4)
	name, when, where, note := parts[0], parts[1], parts[2], parts[3]
	switch name {
	case "server":
		return serve(when, where, note)
	case "puts":
		return putForever(where, note)
	}
	var tr transport.Transport
	var err error
	if strings.HasPrefix(where, "nats://") {
		tr, err = natsx.Connect(context.Background(), natsx.Options{URLs: []string{where}, Logger: discard})
	} else {
		tr, err = embedded.Open(context.Background(), embedded.Options{Dir: where, Logger: discard})
	}
	if err != nil {
		return err
	}
	for _, f := range facts {
		if f.name != name {
			continue
		}
		l := openFacts(tr, f)
		line, err := "", errors.New("neither before nor after")
		switch when {
		case "before":
			line, err = f.before(l)
		case "after":
			line, err = f.after(l, note)
		}
		if err != nil {
			return err
		}
		fmt.Println(line)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return tr.Close(context.Background())
}

// serve runs a server. routes, if not empty, are those of its cluster, its own first.
func serve(dir, url, routes string) error {
	o := embedded.Options{Dir: dir, Listen: strings.TrimPrefix(url, "nats://"), Logger: discard, StartTimeout: time.Minute}
	if all := strings.Fields(routes); len(all) > 0 {
		o.Cluster = &embedded.Cluster{Name: "test", Listen: all[0], Routes: all[1:]}
		o.ServerName = filepath.Base(dir)
		o.ConfigFile, o.Account = filepath.Join(filepath.Dir(dir), "accounts.conf"), account(0)
	}
	if _, err := embedded.Start(context.Background(), o); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// The table in docs/durability.md is correct.
func TestWhatSurvives(t *testing.T) {
	t.Parallel()
	rows, columns := survivalTable(t, "survival")
	for _, f := range facts {
		cells, ok := rows[f.name]
		if !ok {
			t.Errorf("the table has no row %q", f.name)
			continue
		}
		delete(rows, f.name)
		for i, column := range columns {
			t.Run(f.name+"/"+column, func(t *testing.T) {
				t.Parallel()
				fail := failures[column]
				switch {
				case fail == nil:
					t.Fatalf("the table has a column %q without a check", column)
				case cells[i] == cannotHappen:
					return
				}
				checkFact(t, f, cells[i], fail(t, f))
			})
		}
	}
	for name := range rows {
		t.Errorf("the table has a row %q without a check", name)
	}
}

// The text before the table names each fact that is kept in memory but not everywhere: a test
// that relies on such a fact passes in memory, and its module fails in production.
func TestFactsOnlyInMemoryAreNamed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/durability.md")
	if err != nil {
		t.Fatal(err)
	}
	intro, _, _ := strings.Cut(string(text), "<!-- survival -->")
	rows, columns := survivalTable(t, "survival")
	for name, cells := range rows {
		inMemory, elsewhere := false, true
		for i, cell := range cells {
			if strings.HasPrefix(columns[i], "inproc") {
				inMemory = inMemory || cell == kept
			} else {
				elsewhere = elsewhere && (cell == kept || cell == cannotHappen)
			}
		}
		title := strings.ToUpper(name[:1]) + name[1:]
		if only := inMemory && !elsewhere; only != strings.Contains(intro, "**"+title+".**") {
			t.Errorf("%q is kept only in memory: %t; the text before the table must name exactly these facts", name, only)
		}
	}
}

func checkFact(t *testing.T, f fact, cell, outcome string) {
	t.Log(outcome)
	want := wanted(f.name)
	if want == "" {
		want = outcome
		if !strings.Contains(outcome, "true higher") {
			want = "a higher fencing token"
		}
	}
	switch cell {
	case kept:
	case forgotten:
		want = "duplicate false"
	case mayRepeat:
		want = outcome
		if !regexp.MustCompile(`^\d+ of 20 again$`).MatchString(outcome) {
			want = "some again"
		}
	case mayCount:
		want = outcome
		if !regexp.MustCompile(`^\d+ count$`).MatchString(outcome) {
			want = "some count"
		}
	case mayFall:
		want = outcome
		if !regexp.MustCompile(`^attempt [1-4]$`).MatchString(outcome) {
			want = "attempt 1 to 4"
		}
	case mayHurry:
		want = outcome
		if !strings.Contains(outcome, "early") {
			want = "early or not"
		}
	case mayForget:
		want = outcome
		if !strings.HasPrefix(outcome, "duplicate ") {
			want = "a duplicate or not"
		}
	case mayGoBack:
		want = outcome
		if !strings.HasSuffix(outcome, " higher") {
			want = "a fence"
		}
	default:
		t.Fatalf("unknown cell %q: use %q", cell, []string{kept, forgotten, mayRepeat, mayCount, mayFall, mayHurry, mayForget, mayGoBack})
	}
	if outcome != want {
		t.Errorf("got %q, want %q: the cell is %q", outcome, want, cell)
	}
}

// survivalTable reads a table.
func survivalTable(t *testing.T, name string) (rows map[string][]string, columns []string) {
	text, err := os.ReadFile("../../../docs/durability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "<!-- "+name+" -->\n")
	if !ok {
		t.Fatal("docs/durability.md has no table " + name)
	}
	rows = make(map[string][]string)
	for i, line := range strings.Split(table, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch i {
		case 0:
			columns = cells[1:]
		case 1:
		default:
			rows[cells[0]] = cells[1:]
		}
	}
	return rows, columns
}
