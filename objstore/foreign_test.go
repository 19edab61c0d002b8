package objstore_test

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// foreign is a store that this package and nats.go use.
type foreign struct {
	*testing.T
	own   *objstore.Objects
	other jetstream.ObjectStore
	all   jetstream.JetStream
}

// newForeign returns a store that one of them has created.
func newForeign(t *testing.T, byOther bool) *foreign {
	t.Helper()
	s := conformanceServer(t, embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{T: t, all: js}
	if byOther {
		_, err = js.CreateObjectStore(realtime.Patient(t), jetstream.ObjectStoreConfig{Bucket: "files"})
		f.must(err)
	}
	tr, err := natsx.Connect(realtime.Patient(t), natsx.Options{URLs: []string{s.ClientURL()}})
	f.must(err)
	t.Cleanup(func() { _ = tr.Close(t.Context()) })
	f.own, err = objstore.Connect(realtime.Patient(t), tr, objstore.NewStore("files", objstore.ChunkSize(10)))
	f.must(err)
	f.other, err = js.ObjectStore(realtime.Patient(t), "files")
	f.must(err)
	return f
}

func (f *foreign) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// put stores an object with nats.go, whose chunks are as small as the reads.
func (f *foreign) put(name string, content []byte, read func(io.Reader) io.Reader) {
	f.Helper()
	_, err := f.other.Put(f.Context(), jetstream.ObjectMeta{
		Name: name, Description: "d", Headers: nats.Header{"content-type": {"text/plain"}}, Metadata: map[string]string{"k": "v"},
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: 10},
	}, read(bytes.NewReader(content)))
	f.must(err)
}

// Each of the two clients reads, replaces and deletes what the other one wrote, in a store of
// either.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	for name, byOther := range map[string]bool{"own store": false, "other store": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForeign(t, byOther)
			all := content(95)
			for how, read := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "bytes": iotest.OneByteReader,
			} {
				f.put(how, all, read)
				file, err := f.own.Open(t.Context(), how)
				f.must(err)
				f.must(iotest.TestReader(file, all))
				if is := file.Info(); is.Description != "d" || is.ContentType != "text/plain" || is.Metadata["k"] != "v" {
					t.Errorf("got %+v", is)
				}
				_, err = f.own.Copy(t.Context(), how, "copy of "+how)
				f.must(err)
				got, err := f.other.GetBytes(t.Context(), "copy of "+how)
				if err != nil || !bytes.Equal(got, all) {
					t.Errorf("got %q, %v", got, err)
				}
				f.must(f.own.Delete(t.Context(), how))
			}
			_, err := f.own.PutBytes(t.Context(), "own", all, objstore.Description("d"), objstore.Metadata("k", "v"))
			f.must(err)
			is, err := f.other.GetInfo(t.Context(), "own")
			if err != nil || is.Size != 95 || is.Description != "d" || !maps.Equal(is.Metadata, map[string]string{"k": "v"}) {
				t.Errorf("got %+v, %v", is, err)
			}
			f.put("own", content(15), iotest.OneByteReader)
			got, _, err := f.own.ReadAll(t.Context(), "own")
			if err != nil || !bytes.Equal(got, content(15)) {
				t.Errorf("got %q, %v", got, err)
			}
			f.deletedByOther()
		})
	}
}

// deletedByOther deletes an object with nats.go.
func (f *foreign) deletedByOther() {
	f.Helper()
	f.must(f.other.Delete(f.Context(), "own"))
	_, err := f.own.Stat(f.Context(), "own")
	wantCode(f.T, err, transport.NotFound)
	for is, err := range f.own.List(f.Context(), objstore.Prefix("own")) {
		f.Errorf("listed %+v, %v", is, err)
	}
	_, err = f.own.PutBytes(f.Context(), "own", content(25), objstore.IfAbsent())
	f.must(err)
	f.must(f.own.Delete(f.Context(), "own"))
	if _, err := f.other.GetInfo(f.Context(), "own"); err != jetstream.ErrObjectNotFound {
		f.Errorf("got %v, want %v", err, jetstream.ErrObjectNotFound)
	}
	swept, err := f.own.Sweep(f.Context(), 0)
	if err != nil || swept != (objstore.Swept{}) {
		f.Errorf("swept %+v, %v", swept, err)
	}
}

// Links of nats.go are followed.
func TestForeignLinks(t *testing.T) {
	t.Parallel()
	f := newForeign(t, true)
	second, err := f.all.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "second"})
	f.must(err)
	_, err = second.PutBytes(t.Context(), "far", content(45))
	f.must(err)
	f.put("a", content(35), iotest.OneByteReader)
	near, err := f.other.GetInfo(t.Context(), "a")
	f.must(err)
	far, err := second.GetInfo(t.Context(), "far")
	f.must(err)
	_, err = f.other.AddLink(t.Context(), "near link", near)
	f.must(err)
	_, err = f.other.AddLink(t.Context(), "far link", far)
	f.must(err)
	_, err = f.other.AddBucketLink(t.Context(), "store link", second)
	f.must(err)
	for name, want := range map[string][]byte{"near link": content(35), "far link": content(45)} {
		got, _, err := f.own.ReadAll(t.Context(), name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	_, err = f.own.Open(t.Context(), "store link")
	wantCode(t, err, transport.FailedPrecondition)
	is, err := f.own.Stat(t.Context(), "store link")
	if err != nil || is.Link == nil || *is.Link != (objstore.Link{Bucket: "second"}) {
		t.Errorf("got %+v, %v", is, err)
	}
	var listed []string
	for is, err := range f.own.List(t.Context()) {
		f.must(err)
		listed = append(listed, is.Name)
	}
	if slices.Sort(listed); !slices.Equal(listed, []string{"a", "far link", "near link", "store link"}) {
		t.Errorf("listed %q", listed)
	}
	f.must(f.own.Delete(t.Context(), "near link"))
	if got, err := f.other.GetBytes(t.Context(), "a"); err != nil || !bytes.Equal(got, content(35)) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A store that nats.go has sealed is read.
func TestForeignSealedStore(t *testing.T) {
	t.Parallel()
	f := newForeign(t, true)
	f.put("a", content(35), iotest.OneByteReader)
	f.must(f.other.Seal(t.Context()))
	got, _, err := f.own.ReadAll(t.Context(), "a")
	if err != nil || !bytes.Equal(got, content(35)) {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = f.own.PutBytes(t.Context(), "b", content(35))
	wantCode(t, err, transport.FailedPrecondition)
	wantCode(t, f.own.Delete(t.Context(), "a"), transport.FailedPrecondition)
}
