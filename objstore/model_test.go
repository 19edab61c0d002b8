package objstore_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// modelObject is an object in the simplest store: a map.
type modelObject struct {
	content     string
	description string
	revision    uint64
	expires     time.Time // zero: never
}

// modelRun compares a store with its model.
type modelRun struct {
	*rapid.T
	test    *testing.T
	store   *objstore.Objects
	backend driver.Store
	objects map[string]*modelObject
	lost    int // chunks without an object
	last    uint64
	n       int
}

const modelChunk = 4

var modelNames = []string{"a", "a/b", "é", "x y"}

func (r *modelRun) name(label string) string { return rapid.SampledFrom(modelNames).Draw(r.T, label) }

func (r *modelRun) content() string {
	r.n++
	size := rapid.SampledFrom([]int{0, 1, 3, 4, 5, 8, 9, 12, 41}).Draw(r.T, "size")
	return strings.Repeat(fmt.Sprintf("%d.", r.n), size)[:size]
}

func (r *modelRun) expire() {
	for name, is := range r.objects {
		if !is.expires.IsZero() && !is.expires.After(time.Now()) {
			delete(r.objects, name)
		}
	}
}

func (r *modelRun) wantCode(err error, code transport.Code) {
	if transport.CodeOf(err) != code {
		r.Fatalf("got %v, want %q", err, code)
	}
}

// condition returns an option of a write, and the error that it causes.
func (r *modelRun) condition(is *modelObject) (condition objstore.Condition, code transport.Code) {
	revision := r.last + 1
	if is != nil && rapid.Bool().Draw(r.T, "right") {
		revision = is.revision
	} else {
		code = transport.Aborted
	}
	return objstore.IfRevision(revision), code
}

func (r *modelRun) put() {
	name, content := r.name("name"), r.content()
	is := r.objects[name]
	var options []objstore.PutOption
	var code transport.Code
	switch rapid.IntRange(0, 3).Draw(r.T, "condition") {
	case 0:
		options = append(options, objstore.IfAbsent())
		if is != nil {
			code = transport.AlreadyExists
		}
	case 1:
		var c objstore.Condition
		c, code = r.condition(is)
		options = append(options, c)
	}
	var expires time.Time
	if seconds := rapid.SampledFrom([]int{0, 0, 1, 100}).Draw(r.T, "ttl"); seconds > 0 {
		ttl := time.Duration(seconds) * time.Second
		options, expires = append(options, objstore.TTL(ttl)), time.Now().Add(ttl)
	}
	fails := rapid.IntRange(0, 5).Draw(r.T, "fails") == 0
	var from io.Reader = strings.NewReader(content)
	if fails {
		from = io.MultiReader(from, readerFunc(func([]byte) (int, error) { return 0, errBrokenReader }))
	}
	info, err := r.store.Put(r.test.Context(), name, from, options...)
	switch {
	case code != "":
		r.wantCode(err, code)
	case fails:
		r.wantCode(err, transport.Unknown)
	default:
		r.wantCode(err, "")
		r.changed(info)
		r.objects[name] = &modelObject{content: content, revision: info.Revision, expires: expires}
		r.keepLife(name)
	}
}

var errBrokenReader = fmt.Errorf("broken")

// changed notes the revision of a change.
func (r *modelRun) changed(info objstore.Info) {
	if info.Revision <= r.last {
		r.Fatalf("revision %d follows %d", info.Revision, r.last)
	}
	r.last = info.Revision
}

func (r *modelRun) delete() {
	name := r.name("name")
	is := r.objects[name]
	var options []objstore.Condition
	var code transport.Code
	if rapid.Bool().Draw(r.T, "condition") {
		var c objstore.Condition
		c, code = r.condition(is)
		options = append(options, c)
	}
	if is == nil {
		code = transport.NotFound
	}
	r.wantCode(r.store.Delete(r.test.Context(), name, options...), code)
	if code == "" {
		delete(r.objects, name)
	}
}

func (r *modelRun) copy() {
	from, to := r.name("from"), r.name("to")
	is := r.objects[from]
	info, err := r.store.Copy(r.test.Context(), from, to)
	if is == nil {
		r.wantCode(err, transport.NotFound)
		return
	}
	r.wantCode(err, "")
	r.changed(info)
	r.objects[to] = &modelObject{content: is.content, description: is.description, revision: info.Revision}
}

func (r *modelRun) rename() {
	from, to := r.name("from"), r.name("to")
	is := r.objects[from]
	ends := r.ends(is)
	info, err := r.store.Rename(r.test.Context(), from, to)
	switch {
	case is == nil:
		r.wantCode(err, transport.NotFound)
	case from == to:
		r.wantCode(err, "")
	case ends:
		r.wantCode(err, transport.FailedPrecondition)
	case r.objects[to] != nil:
		r.wantCode(err, transport.AlreadyExists)
	default:
		r.wantCode(err, "")
		r.changed(info)
		is.revision = info.Revision
		delete(r.objects, from)
		r.objects[to] = is
		r.keepLife(to)
	}
}

func (r *modelRun) update() {
	name := r.name("name")
	is := r.objects[name]
	r.n++
	description, ends := fmt.Sprint(r.n), r.ends(is)
	info, err := r.store.Update(r.test.Context(), name, func(i *objstore.Info) error { i.Description = description; return nil })
	if is == nil {
		r.wantCode(err, transport.NotFound)
		return
	}
	if ends {
		r.wantCode(err, transport.FailedPrecondition)
		return
	}
	r.wantCode(err, "")
	r.changed(info)
	is.description, is.revision = description, info.Revision
	r.keepLife(name)
}

// keepLife takes over the expiry of a new description, whose life has whole seconds.
func (r *modelRun) keepLife(name string) {
	is := r.objects[name]
	info, err := r.store.Stat(r.test.Context(), name)
	r.wantCode(err, "")
	if info.Expires.IsZero() != is.expires.IsZero() || info.Expires.Sub(is.expires).Abs() > time.Second {
		r.Fatalf("it expires at %v, before at %v", info.Expires, is.expires)
	}
	is.expires = info.Expires
}

// ends reports whether an object is in the last second of its life.
func (r *modelRun) ends(is *modelObject) bool {
	return is != nil && !is.expires.IsZero() && time.Until(is.expires) < time.Second
}

// lose leaves chunks as a killed process does.
func (r *modelRun) lose() {
	r.n++
	n := rapid.IntRange(1, 3).Draw(r.T, "chunks")
	w := r.backend.Write(fmt.Sprintf("lost%d", r.n), 0)
	for range n {
		r.wantCode(w.Append(r.test.Context(), driver.Chunk{Data: []byte("lost")}), "")
	}
	r.lost += n
}

func (r *modelRun) sweep() {
	if _, err := r.store.Sweep(r.test.Context(), 0); err != nil {
		r.Fatal(err)
	}
	r.lost = 0
	r.wantChunks()
}

// wantChunks compares the chunks that are stored, if none of an expired object may be left.
func (r *modelRun) wantChunks() {
	want := r.lost
	for _, is := range r.objects {
		want += (len(is.content) + modelChunk - 1) / modelChunk
	}
	got := 0
	for u, err := range r.backend.Uploads(r.test.Context()) {
		if err != nil {
			r.Fatal(err)
		}
		got += u.Chunks
	}
	if got != want {
		r.Fatalf("%d chunks are stored, want %d", got, want)
	}
}

func (r *modelRun) advance() {
	<-time.After(time.Duration(rapid.SampledFrom([]int{1, 500, 1000, 1999, 61000}).Draw(r.T, "milliseconds")) * time.Millisecond)
}

// check compares all that can be read.
func (r *modelRun) check() {
	r.expire()
	var listed []string
	for is, err := range r.store.List(r.test.Context()) {
		r.wantCode(err, "")
		listed = append(listed, is.Name)
	}
	var want []string
	for name := range r.objects {
		want = append(want, name)
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		r.Fatalf("listed %q, want %q", listed, want)
	}
	for _, name := range modelNames {
		r.checkObject(name)
	}
}

func (r *modelRun) checkObject(name string) {
	is := r.objects[name]
	f, err := r.store.Open(r.test.Context(), name)
	if is == nil {
		r.wantCode(err, transport.NotFound)
		return
	}
	r.wantCode(err, "")
	defer f.Close()
	if info := f.Info(); info.Description != is.description || info.Revision != is.revision || !info.Expires.Equal(is.expires) || info.Size != int64(len(is.content)) {
		r.Fatalf("%q: got %+v, want %+v", name, info, *is)
	}
	got, err := io.ReadAll(f)
	if err != nil || string(got) != is.content {
		r.Fatalf("%q: got %q, %v, want %q", name, got, err, is.content)
	}
	from := rapid.IntRange(0, len(is.content)).Draw(r.T, "from")
	to := rapid.IntRange(from, len(is.content)).Draw(r.T, "to")
	part := make([]byte, to-from)
	if n, err := f.ReadAt(part, int64(from)); err != nil && err != io.EOF || string(part[:n]) != is.content[from:to] {
		r.Fatalf("%q from %d to %d: got %q, %v, want %q", name, from, to, part[:n], err, is.content[from:to])
	}
}

// A store behaves like a map of contents.
func TestModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble := struct{ rapid.TB }{t} // hides the deadline, which is outside of the bubble
		rapid.Check(inBubble, func(rt *rapid.T) { runModel(t, rt) })
	})
}

func runModel(t *testing.T, rt *rapid.T) {
	tr := inproc.New(inproc.Options{})
	defer func() { _ = tr.Close(t.Context()) }()
	o, err := objstore.Connect(t.Context(), tr, objstore.NewStore("files", objstore.ChunkSize(modelChunk)))
	if err != nil {
		rt.Fatal(err)
	}
	backend, err := tr.Objects().Open(t.Context(), &driver.Config{Name: "files", Existing: true})
	if err != nil {
		rt.Fatal(err)
	}
	r := &modelRun{T: rt, test: t, store: o, backend: backend, objects: make(map[string]*modelObject)}
	action := func(f func()) func(*rapid.T) { return func(*rapid.T) { r.expire(); f() } }
	rt.Repeat(map[string]func(*rapid.T){
		"put": action(r.put), "delete": action(r.delete), "copy": action(r.copy), "rename": action(r.rename),
		"update": action(r.update), "lose": action(r.lose), "sweep": action(r.sweep), "advance": action(r.advance),
		"": action(r.check),
	})
	r.sweep()
}
