package journal

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The file "exclusive" has a time, in ns of Unix time. Only workers that record in this
// journal had the messages that were stored since then. The file is removed when that
// ends, or when a record cannot be written. A full disk does not prevent that.
const exclusiveFile = "exclusive"

// never is the time in the file if there is none.
const never = math.MaxInt64

// SetExclusive reports whether other workers can get messages in the life of this
// process. They can if the server accepts connections from elsewhere.
func (j *Journal) SetExclusive(exclusive bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !exclusive || j.failing {
		return j.endExclusive()
	}
	since := j.readExclusive()
	if since == never || j.damaged {
		since = time.Now().UnixNano()
	}
	j.exclusiveFrom(max(since, j.dropped+1))
	return nil
}

func (j *Journal) readExclusive() int64 {
	text, err := os.ReadFile(filepath.Join(j.dir, exclusiveFile))
	if err != nil {
		return never
	}
	since, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return never
	}
	return since
}

// exclusiveFrom sets the time in the file.
func (j *Journal) exclusiveFrom(since int64) {
	path := filepath.Join(j.dir, exclusiveFile)
	err := os.WriteFile(path+temporary, strconv.AppendInt(nil, since, 10), 0o600)
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		_ = os.Remove(path + temporary)
		_ = j.endExclusive()
		return
	}
	j.exclusive = since
}

func (j *Journal) endExclusive() error {
	j.exclusive = never
	err := os.Remove(filepath.Join(j.dir, exclusiveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Begun returns the last attempt that a worker has begun at a message, the zero History if
// there is none. It reports false if workers may have had the message whose attempts
// this journal does not know.
func (c *Consumer) Begun(sequence uint64, stored time.Time) (History, bool) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if max(stored.UnixNano(), c.key.created) < c.j.exclusive {
		return History{}, false
	}
	p := c.history[sequence]
	if p.stored != stored.UnixNano() {
		p = History{}
	}
	if begun := c.j.slots.find(c.number, sequence, stored.UnixNano()); begun.Attempts > p.Attempts {
		p = begun
	}
	return p, true
}
