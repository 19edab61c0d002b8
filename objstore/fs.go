package objstore

import (
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// FS returns the store as a file system, for as long as ctx holds. It implements
// [fs.ReadDirFS], [fs.ReadFileFS], [fs.StatFS] and [fs.SubFS]. Files implement [io.ReadSeeker],
// [io.ReaderAt] and [io.WriterTo]; see [Object]. The Sys of a file is its [Info].
//
// A slash separates directories. A directory exists if an object is below it, and was modified
// when the newest of these objects was. Objects whose names are not valid according to
// [fs.ValidPath], such as "/a" or "a//b", are not visible. A name of both an object
// and a directory is the object: objects below it are opened by their names, but no directory
// lists them. A link is a symbolic link in a directory, and is followed otherwise.
//
// Errors are of type [*fs.PathError]. They match fs.ErrNotExist, fs.ErrInvalid and
// fs.ErrPermission, and have the code of their cause.
//
// Each use of a directory reads the descriptions of all objects in the store.
func (o *Objects) FS(ctx context.Context) fs.FS { return fileSystem{ctx, o, "."} }

// fileSystem is the part of a store below root.
type fileSystem struct {
	ctx  context.Context
	o    *Objects
	root string
}

var _ interface {
	fs.ReadDirFS
	fs.ReadFileFS
	fs.StatFS
	fs.SubFS
} = fileSystem{}

// Open implements [fs.FS].
func (s fileSystem) Open(name string) (fs.File, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if full != "." {
		f, err := s.o.Open(s.ctx, full)
		if err == nil {
			return file{f}, nil
		}
		if transport.CodeOf(err) != transport.NotFound {
			return nil, pathError("open", name, err)
		}
	}
	d, err := s.readDir(full)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &directory{fileInfo: d.info, name: name, left: d.entries}, nil
}

// Stat implements [fs.StatFS].
func (s fileSystem) Stat(name string) (fs.FileInfo, error) {
	f, err := s.Open(name)
	if err != nil {
		err.(*fs.PathError).Op = "stat"
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// ReadFile implements [fs.ReadFileFS].
func (s fileSystem) ReadFile(name string) ([]byte, error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return content, nil
}

// ReadDir implements [fs.ReadDirFS].
func (s fileSystem) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, ok := f.(*directory)
	if !ok {
		return nil, pathError("readdir", name, invalid("it is an object, not a directory"))
	}
	return d.ReadDir(-1)
}

// Sub implements [fs.SubFS].
func (s fileSystem) Sub(dir string) (fs.FS, error) {
	full, err := s.full(dir)
	if err != nil {
		return nil, pathError("sub", dir, err)
	}
	return fileSystem{s.ctx, s.o, full}, nil
}

// full returns the name in the store.
func (s fileSystem) full(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", invalid("want segments that slashes join, none empty, \".\" or \"..\", in valid UTF-8")
	}
	return path.Join(s.root, name), nil
}

// contents is a directory as it was read.
type contents struct {
	info    fileInfo
	entries []fs.DirEntry
}

// readDir reads a directory.
func (s fileSystem) readDir(dir string) (contents, error) {
	prefix := dir + "/"
	if dir == "." {
		prefix = ""
	}
	found := contents{info: fileInfo{name: path.Base(dir), mode: fs.ModeDir | 0o555}}
	children := make(map[string]fileInfo)
	for is, err := range s.o.List(s.ctx, Prefix(prefix)) {
		if err != nil {
			return found, err
		}
		if !fs.ValidPath(is.Name) || is.Name == "." {
			continue
		}
		found.info.modified = latest(found.info.modified, is.Modified)
		name, _, below := strings.Cut(is.Name[len(prefix):], "/")
		switch child, known := children[name]; {
		case !below:
			children[name] = fileOf(name, is)
		case !known || child.IsDir():
			children[name] = fileInfo{name: name, mode: fs.ModeDir | 0o555, modified: latest(child.modified, is.Modified)}
		}
	}
	if len(children) == 0 && dir != "." {
		return found, notDone(transport.NotFound, "no object has this name, and none is below it")
	}
	for _, child := range children {
		found.entries = append(found.entries, fs.FileInfoToDirEntry(child))
	}
	slices.SortFunc(found.entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return found, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fileInfo is an [fs.FileInfo].
type fileInfo struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
	object   any // an Info, nil for a directory
}

func fileOf(name string, is Info) fileInfo {
	i := fileInfo{name: name, size: is.Size, mode: 0o444, modified: is.Modified, object: is}
	if is.Link != nil {
		i.mode |= fs.ModeSymlink
	}
	return i
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.modified }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return i.object }

// file is an object as an [fs.File].
type file struct{ *Object }

// Stat implements [fs.File]. The name is that by which the file was opened, also after a link.
func (f file) Stat() (fs.FileInfo, error) {
	if err := f.check(); err != nil {
		return nil, pathError("stat", f.name, err)
	}
	return fileOf(path.Base(f.name), f.Info()), nil
}

// directory is an open directory.
type directory struct {
	fileInfo
	name   string
	left   []fs.DirEntry
	closed bool
}

// Stat implements [fs.File].
func (d *directory) Stat() (fs.FileInfo, error) {
	if d.closed {
		return nil, pathError("stat", d.name, fs.ErrClosed)
	}
	return d.fileInfo, nil
}

// Read implements [fs.File].
func (d *directory) Read([]byte) (int, error) {
	return 0, pathError("read", d.name, invalid("it is a directory, not an object"))
}

// Close implements [fs.File].
func (d *directory) Close() error {
	d.closed = true
	return nil
}

// ReadDir implements [fs.ReadDirFile].
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, pathError("readdir", d.name, fs.ErrClosed)
	}
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	entries := d.left[:n:n]
	d.left = d.left[n:]
	return entries, nil
}

// pathError returns an error of package fs.
func pathError(op, name string, err error) error {
	kinds := map[transport.Code]error{
		transport.NotFound: fs.ErrNotExist, transport.InvalidArgument: fs.ErrInvalid, transport.PermissionDenied: fs.ErrPermission,
	}
	if kind := kinds[transport.CodeOf(err)]; kind != nil {
		err = fsError{err, kind}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// fsError is an error that also matches kind.
type fsError struct{ cause, kind error }

func (e fsError) Error() string   { return e.cause.Error() }
func (e fsError) Unwrap() []error { return []error{e.cause, e.kind} }
