package redact

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
)

// path matches names of files. They contain no white space or braces, unlike other texts.
var path = regexp.MustCompile(`^([A-Za-z]:)?[\w./\\~+@-]{1,255}$`)

// File returns the name of a file. If the file is missing and the name may be the contents of
// a file instead, it returns a placeholder.
func File(name string) string {
	if name == "" {
		return ""
	}
	if _, err := os.Stat(name); err == nil || path.MatchString(name) && Text(name) == name {
		return name
	}
	return "(not the name of a file)"
}

// FileError returns why a file cannot be read, without its name.
func FileError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return errors.New("it cannot be read")
}
