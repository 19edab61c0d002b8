package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

func putNames(t *testing.T, o *objstore.Objects, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := o.PutBytes(t.Context(), name, []byte("content of "+name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFS(t *testing.T) {
	o := open(t, objstore.ChunkSize(5))
	if err := fstest.TestFS(o.FS(t.Context())); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	putNames(t, o, "a", "b/c", "b/d/e", "b/d/ü", "both", "both/below", "/invalid", "in//valid", "../x", ".", "y/")
	if _, err := o.PutBytes(t.Context(), "empty", nil); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(o.FS(t.Context()), "a", "b", "b/c", "b/d/e", "b/d/ü", "both", "empty"); err != nil {
		t.Error(err)
	}
	var walked []string
	err := fs.WalkDir(o.FS(t.Context()), ".", func(name string, _ fs.DirEntry, err error) error {
		walked = append(walked, name)
		return err
	})
	if want := []string{".", "a", "b", "b/c", "b/d", "b/d/e", "b/d/ü", "both", "empty"}; err != nil || !slices.Equal(walked, want) {
		t.Errorf("walked %q, %v, want %q", walked, err, want)
	}
	sub, err := fs.Sub(o.FS(t.Context()), "b/d")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "e", "ü"); err != nil {
		t.Errorf("Sub: %v", err)
	}
}

func TestFSObjectAndDirectory(t *testing.T) {
	o := open(t)
	putNames(t, o, "both", "both/below")
	fsys := o.FS(t.Context())
	if is, err := fs.Stat(fsys, "both"); err != nil || is.IsDir() || is.Sys().(objstore.Info).Name != "both" {
		t.Errorf("both: %v, %v", is, err)
	}
	if got, err := fs.ReadFile(fsys, "both/below"); string(got) != "content of both/below" || err != nil {
		t.Errorf("below: %q, %v", got, err)
	}
	_, err := fs.ReadDir(fsys, "both")
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadDir of an object: %v", err)
	}
}

func TestFSModificationTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		putNames(t, o, "d/new")
		<-time.After(time.Hour)
		putNames(t, o, "d/e/newer")
		newest := time.Now()
		<-time.After(time.Hour)
		fsys := o.FS(t.Context())
		for _, name := range []string{".", "d", "d/e", "d/e/newer"} {
			if is, err := fs.Stat(fsys, name); err != nil || !is.ModTime().Equal(newest) {
				t.Errorf("%s: %v, %v, want %v", name, is, err, newest)
			}
		}
	})
}

func TestFSErrors(t *testing.T) {
	o := open(t)
	putNames(t, o, "a", "d/b")
	fsys := o.FS(t.Context())
	for name, want := range map[string]error{
		"missing": fs.ErrNotExist, "a/b": fs.ErrNotExist, "": fs.ErrInvalid, "/a": fs.ErrInvalid, "a/": fs.ErrInvalid,
		"d//b": fs.ErrInvalid, "../a": fs.ErrInvalid, "d/../a": fs.ErrInvalid, "./a": fs.ErrInvalid, "\xff": fs.ErrInvalid,
		strings.Repeat("x", objstore.MaxName+1): fs.ErrInvalid,
	} {
		_, open := fsys.Open(name)
		_, stat := fs.Stat(fsys, name)
		_, readFile := fs.ReadFile(fsys, name)
		_, readDir := fs.ReadDir(fsys, name)
		for _, err := range []error{open, stat, readFile, readDir} {
			var path *fs.PathError
			if !errors.Is(err, want) || !errors.As(err, &path) || path.Path != name {
				t.Errorf("%.20q: %v, want %v", name, err, want)
			}
			if code := transport.CodeOf(err); code != transport.NotFound && code != transport.InvalidArgument {
				t.Errorf("%.20q: code %q", name, code)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.FS(ctx).Open("a"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestFSFile(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	want := content(95)
	if _, err := o.PutBytes(t.Context(), "a", want); err != nil {
		t.Fatal(err)
	}
	f, err := o.FS(t.Context()).Open("a")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 20)
	if n, err := f.(io.ReaderAt).ReadAt(got, 33); n != 20 || err != nil || !bytes.Equal(got, want[33:53]) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if at, err := f.(io.ReadSeeker).Seek(-5, io.SeekEnd); at != 90 || err != nil {
		t.Errorf("Seek: %d, %v", at, err)
	}
	if got, err := io.ReadAll(f); !bytes.Equal(got, want[90:]) || err != nil {
		t.Errorf("the rest: %q, %v", got, err)
	}
	f.Close()
	if _, err := f.Stat(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Stat after Close: %v", err)
	}
}
