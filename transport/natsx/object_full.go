package natsx

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// isFull reports whether the stream has refused a message because it has no room.
func isFull(err error) bool { return codeOfAPI(err) == codeStoreFailed }

// endFull stores a mark that a full store has refused. It removes the entry by its sequence, so
// that either this or a concurrent write is first, and stores the mark in the room of the entry.
// Those who watch get the mark; those who read meanwhile find no object.
func (e entries) endFull(ctx context.Context, w *kv.Write, refused error) (uint64, error) {
	upload, err := e.fitsAfter(ctx, w, refused)
	if err != nil {
		return 0, err
	}
	err = e.removeMessage(ctx, *w.Expect)
	switch {
	case isNoMessage(err):
		return 0, errOtherEntry
	case err != nil:
		return 0, e.explain(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTime)
	defer cancel()
	mark, none := *w, uint64(0)
	mark.Expect = &none
	revision, err := e.bucket.Put(ctx, mark)
	if isFull(err) && upload != "" { // others have taken the room, or it was over its limit
		if err = e.objects.Remove(ctx, upload); err == nil {
			revision, err = e.bucket.Put(ctx, mark)
		}
	}
	if isConflict(err) { // the object was put again
		return e.objects.revision(ctx, w.Key)
	}
	if err != nil {
		err = transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "it is deleted, but no Watch in progress reports that: %w", err)
	}
	return revision, err
}

// markTime bounds the time to store a mark after the removal of its entry.
const markTime = 10 * time.Second

// fitsAfter returns the upload of an entry. It returns the error that has refused its mark if
// there is no room for that without the entry and its chunks either.
func (e entries) fitsAfter(ctx context.Context, mark *kv.Write, refused error) (upload string, err error) {
	r, err := e.bucket.Get(ctx, mark.Key, 0, true)
	switch {
	case transport.CodeOf(err) == transport.NotFound || err == nil && r.Revision != *mark.Expect:
		return "", errOtherEntry
	case err != nil:
		return "", notDone(err)
	}
	is, err := e.look(ctx)
	if err != nil {
		return "", notDone(err)
	}
	var entry driver.Entry
	_ = json.Unmarshal(r.Value, &entry) // a damaged one names no chunks
	room := len(r.Value) - len(mark.Value) - moreInMark + int(entry.Size)
	if limit := is.Config.MaxBytes; limit > 0 && int64(is.State.Bytes) > limit+int64(room) {
		return "", refused
	}
	return entry.Upload, nil
}

// moreInMark is the part of a mark's header that the entry of another client may lack.
const moreInMark = len(jetstream.ExpectedLastSubjSeqHeader + ": 0\r\n")

var errOtherEntry = transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "the object has changed meanwhile: read it, and decide again")
