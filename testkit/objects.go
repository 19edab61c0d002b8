package testkit

import (
	"encoding/base64"
	"encoding/json"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport/inproc"
)

// Objects opens a store of objects of the system for the test, which looks inside it and may
// write. The result works at once, before the start and after a Stop or a Crash of the App too.
// No fault affects its operations. Stat and List read the store, even if it has an
// objstore.Index. An error of the opening fails the test.
func Objects(h *Harness, s objstore.Store) *objstore.Objects {
	h.t.Helper()
	return s.Open(h)
}

// FaultObjects declares a fault for the writes and the reads of a store by the App: of chunks,
// and of the descriptions of objects. A Put writes each chunk, and at last the description
// together with the last chunk. When with Writes, Reads, Chunk or Key narrows it. Listings,
// watches and the removal of chunks have no faults.
//
// Drop, AmbiguousSend, Late, Fail, Stale, and Crash at BeforeSend, AfterSend or AnyPoint fit a
// store. AmbiguousSend and Crash affect writes, and Stale reads of descriptions.
func FaultObjects(h *Harness, s objstore.Store, f Fault) *Injection {
	h.t.Helper()
	namespace := h.environment(inproc.New(inproc.Options{})).Namespace
	return h.declare(&Injection{fault: f, of: handleKey{kindStore, s.StoredName(namespace)}})
}

// objectName returns the name of an object by the key of its entry.
func objectName(key string) string {
	name, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return key
	}
	return string(name)
}

// objectText describes an object by its entry.
func objectText(value []byte) string {
	var e driver.Entry
	if err := json.Unmarshal(value, &e); err != nil {
		return plural(len(value), "byte")
	}
	return plural(int(e.Size), "byte")
}
