package objtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// store is a store of a case, with methods that fail the case.
type store struct {
	*objstore.Objects
	s    *suite
	name string
}

// chunkSize is the size of the chunks of most cases.
const chunkSize = 10

// open creates a store with small chunks.
func (s *suite) open(options ...objstore.StoreOption) *store {
	s.Helper()
	name := s.name()
	options = append([]objstore.StoreOption{objstore.ChunkSize(chunkSize)}, options...)
	return &store{s.connectAs(s.tr, name, options...), s, name}
}

// again opens the store once more.
func (st *store) again(options ...objstore.StoreOption) *store {
	st.s.Helper()
	return &store{st.s.connectAs(st.s.tr, st.name, options...), st.s, st.name}
}

// content returns n bytes that are never the same twice in a row.
func content(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func (st *store) put(name, content string, options ...objstore.PutOption) objstore.Info {
	st.s.Helper()
	is, err := st.PutBytes(st.s.patient(), name, []byte(content), options...)
	st.s.must(err)
	return is
}

func (st *store) delete(name string) {
	st.s.Helper()
	st.s.must(st.Delete(st.s.patient(), name))
}

func (st *store) stat(name string) objstore.Info {
	st.s.Helper()
	is, err := st.Stat(st.s.patient(), name)
	st.s.must(err)
	return is
}

// file opens an object, which is closed after the case.
func (st *store) file(name string) *objstore.Object {
	st.s.Helper()
	f, err := st.Open(st.s.patient(), name)
	st.s.must(err)
	st.s.Cleanup(func() { _ = f.Close() })
	return f
}

// want fails unless an object has a content.
func (st *store) want(name, content string) objstore.Info {
	st.s.Helper()
	got, is, err := st.ReadAll(st.s.patient(), name)
	if err != nil {
		st.s.Fatalf("ReadAll %q: %v", name, err)
	}
	if string(got) != content || is.Name != name || is.Size != int64(len(content)) || is.Revision == 0 {
		st.s.Errorf("got %s and %+v, want %s", brief(string(got)), is, brief(content))
	}
	return is
}

// brief returns a text with at most 60 bytes.
func brief(text string) string {
	if len(text) > 60 {
		return strconv.Quote(text[:60]) + "… (" + strconv.Itoa(len(text)) + " bytes)"
	}
	return strconv.Quote(text)
}

// gone fails unless an object does not exist, for all methods that find it.
func (st *store) gone(name string) {
	st.s.Helper()
	_, err := st.Stat(st.s.patient(), name)
	st.wantError(name, err, transport.NotFound)
	_, err = st.Open(st.s.patient(), name)
	st.wantError(name, err, transport.NotFound)
}

// wantError is wantError of the suite, for an error that names the store and the object.
func (st *store) wantError(name string, err error, code transport.Code, texts ...string) {
	st.s.Helper()
	texts = append(texts, "store "+strconv.Quote(st.name))
	if name != "" {
		texts = append(texts, "object "+strconv.Quote(name))
	}
	st.s.wantError(err, code, texts...)
	if err != nil && strings.Contains(err.Error(), "bucket") {
		st.s.Errorf("got %q, want nothing about buckets", err)
	}
}

// list returns what is listed, sorted; prefixes end with "…".
func (st *store) list(options ...objstore.ListOption) []string {
	st.s.Helper()
	var got []string
	for is, err := range st.List(st.s.patient(), options...) {
		st.s.must(err)
		if is.IsPrefix {
			is.Name += "…"
		}
		got = append(got, is.Name)
	}
	slices.Sort(got)
	return got
}

func (st *store) wantList(want string, options ...objstore.ListOption) {
	st.s.Helper()
	var got string
	st.s.settle(func() bool {
		got = strings.Join(st.list(options...), " ")
		return got == want
	})
	wantEqual(st.s, "List", got, want)
}

func (st *store) status() objstore.Status {
	st.s.Helper()
	is, err := st.Status(st.s.patient())
	st.s.must(err)
	return is
}

// driver returns the store as the backend has it.
func (st *store) driver() driver.Store {
	st.s.Helper()
	d, err := st.s.tr.(driver.Backend).Objects().Open(st.s.patient(), &driver.Config{Name: st.name, Existing: true})
	if err != nil {
		st.s.Fatalf("Open: %v", err)
	}
	return d
}

// uploads returns the numbers of chunks of all uploads.
func (st *store) uploads() map[string]int {
	st.s.Helper()
	all := make(map[string]int)
	for u, err := range st.driver().Uploads(st.s.patient()) {
		st.s.must(err)
		if all[u.ID] > 0 {
			st.s.Errorf("Uploads has %q twice", u.ID)
		}
		all[u.ID] = u.Chunks
	}
	return all
}

// entries returns the numbers of chunks of the uploads that entries name.
func (st *store) entries() map[string]int {
	st.s.Helper()
	all := make(map[string]int)
	st.s.must(st.driver().Entries().Scan(st.s.patient(), kvdriver.Scan{}, func(r *kvdriver.Record) bool {
		var e driver.Entry
		if r.Op == kvdriver.Put && json.Unmarshal(r.Value, &e) == nil && e.Chunks > 0 {
			all[e.Upload] = int(e.Chunks)
		}
		return true
	}))
	return all
}

// wantClean fails unless the chunks that are stored are those that objects have.
func (st *store) wantClean() {
	st.s.Helper()
	var stored, named map[string]int
	st.s.settle(func() bool {
		stored, named = st.uploads(), st.entries()
		return maps.Equal(stored, named)
	})
	if !maps.Equal(stored, named) {
		st.s.Errorf("the uploads are %v, and objects have %v", stored, named)
	}
}

// entry returns the entry of an object.
func (st *store) entry(name string) (e driver.Entry) {
	st.s.Helper()
	r, err := st.driver().Entries().Get(st.s.patient(), keyOf(name), 0, true)
	st.s.must(err)
	st.s.must(json.Unmarshal(r.Value, &e))
	return e
}

func keyOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// upload stores chunks without an entry.
func (st *store) upload(id string, chunks ...string) (last uint64) {
	st.s.Helper()
	w := st.driver().Write(id, 0)
	for _, c := range chunks {
		st.s.must(w.Append(st.s.patient(), driver.Chunk{Data: []byte(c)}))
	}
	last, err := w.Flush(st.s.patient())
	st.s.must(err)
	return last
}

// write stores an entry as another program may write it.
func (st *store) write(name string, value any) {
	st.s.Helper()
	text, ok := value.(string)
	if !ok {
		b, err := json.Marshal(value)
		st.s.must(err)
		text = string(b)
	}
	_, err := st.driver().Entries().Put(st.s.patient(), kvdriver.Write{Key: keyOf(name), Value: []byte(text)})
	st.s.must(err)
}

// foreign stores an object as another program may write it, and returns its entry.
func (st *store) foreign(name string, change func(*driver.Entry), chunks ...string) driver.Entry {
	st.s.Helper()
	all := strings.Join(chunks, "")
	e := driver.Entry{
		Name: name, Bucket: st.name, Upload: "upload-of-" + name, Size: uint64(len(all)), Chunks: uint32(len(chunks)),
		Digest: digestOf(all), Options: &driver.EntryOptions{ChunkSize: chunkSize},
	}
	if change != nil {
		change(&e)
	}
	st.upload(e.Upload, chunks...)
	st.write(name, e)
	return e
}

// slowPut is a Put whose content has not ended yet.
type slowPut struct {
	s      *suite
	finish chan error
	result chan error
}

// begin starts a Put, and returns when it has read the beginning of its content.
func (st *store) begin(ctx context.Context, name, beginning string, options ...objstore.PutOption) *slowPut {
	st.s.Helper()
	p := &slowPut{st.s, make(chan error, 1), make(chan error, 1)}
	started := make(chan struct{})
	once := false
	rest := readerFunc(func([]byte) (int, error) {
		if !once {
			once = true
			close(started)
		}
		return 0, <-p.finish
	})
	go func() {
		_, err := st.Put(ctx, name, io.MultiReader(strings.NewReader(beginning), rest), options...)
		p.result <- err
	}()
	select {
	case <-started:
	case err := <-p.result:
		p.result <- err
	}
	return p
}

// end ends the content with an error, and returns that of the Put.
func (p *slowPut) end(err error) error {
	p.finish <- err
	return <-p.result
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// readAll reads the rest of an object.
func readAll(f io.Reader) (string, error) {
	var b bytes.Buffer
	_, err := io.Copy(&b, struct{ io.Reader }{f})
	return b.String(), err
}
