package embedded_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var (
	puts     = flag.Int("conformance.puts", 60, "how many Puts are cancelled, race, and are swept beside")
	putKills = flag.Int("conformance.putkills", 3, "how often a process is killed that puts objects")
)

// The objects of these tests have chunks of 1,000 bytes.
var filesStore = objstore.NewStore("files", objstore.ChunkSize(1000))

// numbered returns the content with a number, whose size depends on the number: 0 to 12 chunks.
func numbered(n uint64) []byte {
	r := rand.New(rand.NewPCG(n, 7))
	content := binary.BigEndian.AppendUint64(nil, n)
	for range r.IntN(12_000) {
		content = append(content, byte(r.Uint32()))
	}
	return content
}

// numberOf returns the number of a content, or an error if it is none of the numbered ones.
func numberOf(content []byte) (uint64, error) {
	if len(content) < 8 {
		return 0, fmt.Errorf("%d bytes that no Put has sent", len(content))
	}
	n := binary.BigEndian.Uint64(content)
	if !bytes.Equal(content, numbered(n)) {
		return 0, fmt.Errorf("%d bytes that begin as content %d, and differ from it", len(content), n)
	}
	return n, nil
}

// files is an open store under test.
type files struct {
	*objstore.Objects
	t  *testing.T
	tr *natsx.Transport
}

func newFiles(t *testing.T, tr *natsx.Transport) *files {
	t.Helper()
	f := &files{t: t, tr: tr}
	realtime.Until(t, "the store", func() (ok bool) {
		var err error
		f.Objects, err = objstore.Connect(realtime.Patient(t), tr, filesStore)
		return err == nil
	})
	return f
}

// filesInProcess returns a store of a server in this process.
func filesInProcess(t *testing.T) *files {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	tr, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return newFiles(t, tr)
}

// number returns the number of an object's content, 0 if there is no object. It waits for the
// server.
func (f *files) number(name string) (n uint64) {
	f.t.Helper()
	realtime.Until(f.t, "a read of "+name, func() bool {
		content, _, err := f.ReadAll(f.t.Context(), name)
		switch transport.CodeOf(err) {
		case "":
			if n, err = numberOf(content); err != nil {
				f.t.Errorf("%s: %v", name, err)
			}
		case transport.Unavailable:
			return false
		case transport.NotFound:
		default:
			f.t.Error(err)
		}
		return true
	})
	return n
}

// readUntil reads objects until done is closed, and fails the test at a mixture. A read may be
// overtaken, or find no object; if the server is killed, it may also end with it.
func (f *files) readUntil(done <-chan struct{}, names []string, allowed ...transport.Code) {
	allowed = append(allowed, transport.Aborted, transport.NotFound)
	whole, failed := 0, make(map[transport.Code]int)
	for i := 0; ; i++ {
		select {
		case <-done:
			f.t.Logf("a reader has read %d objects, and failed: %v", whole, failed)
			return
		default:
		}
		name := names[i%len(names)]
		content, _, err := f.ReadAll(f.t.Context(), name)
		if err == nil {
			whole++
			if _, err := numberOf(content); err != nil {
				f.t.Errorf("%s: %v", name, err)
			}
			continue
		}
		code := transport.CodeOf(err)
		failed[code]++
		if !slices.Contains(allowed, code) {
			f.t.Errorf("a read of %s: %v", name, err)
		}
		<-time.After(time.Millisecond)
	}
}

// beside runs do in goroutines 0 to n-1, and two readers of names beside them.
func (f *files) beside(names []string, n int, do func(worker int), allowed ...transport.Code) {
	done := make(chan struct{})
	var readers, workers sync.WaitGroup
	for range 2 {
		readers.Go(func() { f.readUntil(done, names, allowed...) })
	}
	for i := range n {
		workers.Go(func() { do(i) })
	}
	workers.Wait()
	close(done)
	readers.Wait()
}

// checkChunks checks that the server stores exactly the chunks that entries name.
func (f *files) checkChunks() {
	f.t.Helper()
	js, err := jetstream.New(f.tr.Conn())
	if err != nil {
		f.t.Fatal(err)
	}
	ctx := realtime.Patient(f.t)
	stream, err := js.Stream(ctx, "OBJ_files")
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("$O.files.>"))
	if err != nil {
		f.t.Fatal(err)
	}
	left := info.State.Subjects
	for subject := range left {
		if !strings.HasPrefix(subject, "$O.files.M.") {
			continue
		}
		delete(left, subject)
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		var e driver.Entry
		if err == nil {
			err = json.Unmarshal(m.Data, &e)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		chunks := "$O.files.C." + e.Upload
		if got := left[chunks]; !e.Deleted && got != uint64(e.Chunks) {
			f.t.Errorf("the object %s has %d of %d chunks", e.Name, got, e.Chunks)
		}
		delete(left, chunks)
	}
	if len(left) > 0 {
		f.t.Errorf("chunks were left behind: %v", left)
	}
}

// possible holds the numbers of the contents that an object may have.
type possible map[uint64]bool

// after takes the result of the Put of a number.
func (p *possible) after(n uint64, err error) {
	e, ok := errors.AsType[*transport.Error](err)
	switch {
	case err == nil:
		*p = possible{n: true}
	case !ok || e.Outcome != transport.OutcomeNotDone:
		(*p)[n] = true
	}
}

// A cancelled Put leaves nothing behind: no chunk, and no object unless its outcome is unknown.
func TestCancelledPutsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := filesInProcess(t)
	names := []string{"a", "b", "c", "d"}
	var stored, cancelled atomic.Int64
	f.beside(names, len(names), func(worker int) {
		is := possible{0: true}
		for i := range (*puts + 3) / 4 {
			n := uint64(i*len(names) + worker + 1)
			err := f.putCancelled(names[worker], n)
			is.after(n, err)
			switch transport.CodeOf(err) {
			case "":
				stored.Add(1)
			case transport.Canceled:
				cancelled.Add(1)
			default:
				t.Errorf("a cancelled Put: %v", err)
			}
		}
		if n := f.number(names[worker]); !is[n] {
			t.Errorf("content of %s: got %d, want one of %v", names[worker], n, is)
		}
	})
	t.Logf("%d Puts were cancelled, %d were stored", cancelled.Load(), stored.Load())
	f.checkChunks()
}

// putCancelled is a Put that is cancelled while it runs, in every second case at its end.
func (f *files) putCancelled(name string, n uint64) error {
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	content := numbered(n)
	soon := func() { time.AfterFunc(rand.N(400*time.Microsecond), cancel) }
	if at := rand.IntN(2 * len(content)); at < len(content) {
		r := io.MultiReader(bytes.NewReader(content[:at]), atRead(soon), bytes.NewReader(content[at:]))
		_, err := f.Put(ctx, name, r)
		return err
	}
	_, err := f.Put(ctx, name, io.MultiReader(bytes.NewReader(content), atRead(soon)))
	return err
}

// atRead is a reader without bytes that calls a function when it is read.
type atRead func()

func (f atRead) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// Of several Puts of one name at a time one is stored, and the others leave nothing behind.
func TestRacingPutsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := filesInProcess(t)
	const racers = 4
	var newest struct {
		sync.Mutex
		revision, number uint64
		stored           int
	}
	f.beside([]string{"a"}, racers, func(worker int) {
		for i := range (*puts + racers - 1) / racers {
			n := uint64(i*racers + worker + 1)
			is, err := f.PutBytes(t.Context(), "a", numbered(n))
			newest.Lock()
			if err == nil {
				newest.stored++
			}
			if err == nil && is.Revision > newest.revision {
				newest.revision, newest.number = is.Revision, n
			}
			newest.Unlock()
			if err != nil && transport.CodeOf(err) != transport.Aborted {
				t.Errorf("a Put in a race: %v", err)
			}
		}
	})
	t.Logf("%d of %d Puts were stored", newest.stored, *puts)
	if n := f.number("a"); n != newest.number {
		t.Errorf("content: got %d, want %d, the last one stored", n, newest.number)
	}
	f.checkChunks()
}

// A Sweep of everything deletes no chunk of an object, and makes the Puts fail whose chunks it
// deletes.
func TestSweepBesidePuts(t *testing.T) {
	t.Parallel()
	f := filesInProcess(t)
	names := []string{"a", "b", "c", "d"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	swept, ended, sweeps := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			is, err := f.Sweep(ctx, 0)
			if err != nil && ctx.Err() == nil {
				t.Errorf("a Sweep: %v", err)
			}
			swept += is.Uploads
			select {
			case sweeps <- struct{}{}:
			default:
			}
		}
	}()
	codes := make([]map[transport.Code]int, len(names))
	f.beside(names, len(names), func(worker int) {
		codes[worker] = make(map[transport.Code]int)
		for i := range (*puts + 3) / 4 {
			codes[worker][f.change(names, worker, uint64(i*len(names)+worker+1), sweeps)]++
		}
	})
	cancel()
	<-ended
	t.Logf("%d uploads were swept; results of the workers: %v", swept, codes)
	f.sweep()
	f.checkChunks()
	for _, name := range names {
		f.number(name)
	}
}

// change puts, copies or renames an object, and returns the code of its error. Some Puts wait
// at their end for the end of a Sweep.
func (f *files) change(names []string, worker int, n uint64, sweeps <-chan struct{}) transport.Code {
	name, other := names[worker], names[rand.IntN(len(names))]
	allowed := []transport.Code{transport.FailedPrecondition, transport.Aborted, transport.NotFound}
	var err error
	switch rand.IntN(5) {
	case 0:
		_, err = f.Put(f.t.Context(), name, io.MultiReader(bytes.NewReader(numbered(n)), atRead(func() { <-sweeps })))
	case 1:
		_, err = f.Copy(f.t.Context(), other, name)
	case 2:
		_, err = f.Rename(f.t.Context(), name, other)
		allowed = append(allowed, transport.AlreadyExists)
	default:
		_, err = f.PutBytes(f.t.Context(), name, numbered(n))
	}
	code := transport.CodeOf(err)
	if err != nil && !slices.Contains(allowed, code) {
		f.t.Errorf("beside a Sweep: %v", err)
	}
	return code
}

// sweep sweeps everything.
func (f *files) sweep() {
	f.t.Helper()
	is, err := f.Sweep(realtime.Patient(f.t), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Logf("swept %+v", is)
}

// putters is the number of names to which a process puts objects at a time.
const putters = 4

func putterName(i int) string { return fmt.Sprint("object ", i) }

// putForever puts objects until the process is killed. It prints the name and the number of
// each object that is stored. The numbers begin after from, and increase.
func putForever(url, from string) error {
	tr, err := natsx.Connect(context.Background(), natsx.Options{URLs: []string{url}, Logger: discard})
	if err != nil {
		return err
	}
	o, err := objstore.Connect(context.Background(), tr, filesStore)
	if err != nil {
		return err
	}
	begin, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range putters {
		go func() {
			for n := begin + 1; ; n++ {
				if _, err := o.PutBytes(context.Background(), putterName(i), numbered(n)); err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %d\n", i, n)
			}
		}()
	}
	return <-failed
}

// A killed process leaves whole objects, and all that were acknowledged. A Sweep removes the
// rest.
func TestKilledPutsAreSwept(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	f := newFiles(t, m.tr)
	var names []string
	for i := range putters {
		names = append(names, putterName(i))
	}
	var newest uint64
	f.beside(names, 1, func(int) {
		for range *putKills {
			acknowledged := m.putAndKill(newest)
			for i, n := range acknowledged {
				is := f.number(putterName(i))
				if newest = max(newest, is); is < n {
					t.Errorf("%s has the content %d, and %d was acknowledged", putterName(i), is, n)
				}
			}
		}
	})
	f.sweep()
	f.checkChunks()
}

// putAndKill starts a process that puts objects, and kills it soon. It returns the last numbers
// that were acknowledged.
func (m *mortal) putAndKill(from uint64) (acknowledged [putters]uint64) {
	p := life(m.t, fact{name: "puts"}, "", m.url, strconv.FormatUint(from, 10))
	killed := make(chan struct{})
	p.scan(func(line string, n int) bool {
		var i int
		var number uint64
		if _, err := fmt.Sscan(line, &i, &number); err != nil {
			m.t.Errorf("the process printed %q", line)
			return false
		}
		if acknowledged[i] = number; n == 1 {
			time.AfterFunc(rand.N(20*time.Millisecond), func() {
				_ = p.cmd.Process.Kill()
				close(killed)
			})
		}
		return true
	})
	<-killed
	_ = p.cmd.Wait()
	return acknowledged
}

// scan calls take with the lines of a process and their numbers, until it ends.
func (p *process) scan(take func(line string, n int) bool) {
	for n := 1; ; n++ {
		line, err := p.out.ReadString('\n')
		if err != nil || !take(line, n) {
			return
		}
	}
}

// Puts continue while the server is killed. Acknowledged objects are stored, and a Sweep removes
// the rest.
func TestPutsWhileTheServerIsKilled(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	f := newFiles(t, m.tr)
	names := []string{"a", "b", "c", "d"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range *kills {
			m.await("the server", func(ctx context.Context) error { _, err := f.Status(ctx); return err })
			<-time.After(rand.N(300 * time.Millisecond))
			m.kill()
			m.start()
		}
	}()
	var contents [4]possible
	f.beside(names, len(names), func(worker int) {
		contents[worker] = f.putUntil(done, names[worker])
	}, transport.Unavailable)
	for i, is := range contents {
		if n := f.number(names[i]); !is[n] {
			t.Errorf("content of %s: got %d, want one of %v", names[i], n, is)
		}
	}
	f.sweep()
	f.checkChunks()
}

// putUntil puts an object until done is closed, and returns the contents that it may have.
func (f *files) putUntil(done <-chan struct{}, name string) possible {
	is := possible{0: true}
	codes := make(map[transport.Code]int)
	for n := uint64(1); ; n++ {
		select {
		case <-done:
			f.t.Logf("results of a worker: %v", codes)
			return is
		default:
		}
		_, err := f.PutBytes(f.t.Context(), name, numbered(n))
		is.after(n, err)
		if codes[transport.CodeOf(err)]++; err != nil {
			<-time.After(time.Millisecond)
		}
	}
}
