package journal

import (
	"testing"
	"time"
)

// The journal does not know the attempts at a message whose record it has dropped.
func TestDroppedRecordsAreNotTakenForNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, stored := time.Unix(1, 0), time.Unix(2, 0)
	j, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	j.exclusiveFrom(1)
	c := j.Consumer("log", "a", made)
	c.Put(1, stored, History{Delivery: 1, Attempts: 1})
	old := c.history[1]
	old.noted -= int64(2 * keep / time.Second)
	c.history[1] = old
	c.dropOld(time.Now())
	for range 2 {
		if _, known := c.Begun(1, stored); known {
			t.Error("the message counts as one that nobody has begun with")
		}
		if _, known := c.Begun(2, stored.Add(1)); !known {
			t.Error("the journal does not know of a later message")
		}
		if j, err = Open(dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := j.SetExclusive(true); err != nil {
			t.Fatal(err)
		}
		c = j.Consumer("log", "a", made)
	}
}
