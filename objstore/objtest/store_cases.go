package objtest

import (
	"cmp"
	"iter"
	"strings"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

var storeCases = []testCase{
	{
		name: "store/name", contract: "NewStore panics on a bad name or option.",
		rule: "A store has a name of tokens and hyphens, and valid options.",
		body: func(s *suite) {
			for _, bad := range []string{"", "a.b", "A", "a_b", "-a", "a--b", "a b", "é", strings.Repeat("a", 101)} {
				s.panics("want", func() { objstore.NewStore(bad) })
			}
			for option, f := range map[string]func() objstore.StoreOption{
				"ChunkSize": func() objstore.StoreOption { return objstore.ChunkSize(0) }, "MaxBytes": func() objstore.StoreOption { return objstore.MaxBytes(0) },
				"Replicas": func() objstore.StoreOption { return objstore.Replicas(6) }, "StoredAs": func() objstore.StoreOption { return objstore.StoredAs("a.b") },
				"nil": func() objstore.StoreOption { return nil },
			} {
				s.panics(option, func() { objstore.NewStore("a", f()) })
			}
		},
	},
	{
		name: "store/status", contract: "Status returns the state of the store.",
		rule: "Status has the settings, and counts the bytes of chunks.",
		body: func(s *suite) {
			st := s.open(objstore.Description("for tests"), objstore.TTL(hour), objstore.MaxBytes(1<<20), objstore.Memory())
			before := st.status().Bytes
			st.put("a", content(5000))
			is := st.status()
			if is.Bytes < before+5000 || is.Bytes > 1<<20 {
				s.Errorf("got %d bytes, %d before", is.Bytes, before)
			}
			want := objstore.Status{
				Name: st.name, Description: "for tests", Bytes: is.Bytes, TTL: hour, MaxBytes: 1 << 20, Memory: true,
				Replicas: is.Replicas, ObjectTTL: is.ObjectTTL,
			}
			if is != want {
				s.Errorf("got %+v, want %+v", is, want)
			}
		},
	},
	{
		name: "store/list", contract: "Stores returns the stores of a transport, in any order, by whatever program they were made. The iteration is complete, or ends with an error.",
		rule: "Stores lists each store once, until it is deleted.",
		body: func(s *suite) {
			first, second := s.open(), s.open(objstore.Description("d"))
			got := s.list()
			if got[first.name].Name == "" || got[second.name].Description != "d" {
				s.Errorf("got %+v", got)
			}
			s.must(objstore.DeleteStore(s.patient(), s.tr, first.name))
			s.settle(func() bool { got = s.list(); return got[first.name].Name == "" })
			if got[first.name].Name != "" || got[second.name].Name == "" {
				s.Errorf("got %+v after a store was deleted", got)
			}
			for _, err := range objstore.Stores(s.ended(), s.tr) {
				s.wantError(err, transport.Canceled)
			}
		},
	},
	{
		name: "store/delete", contract: "DeleteStore deletes a store with all its objects, by its stored name. A missing one is not_found.",
		rule: "A deleted store is not_found for all methods, and one that is created again is empty.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			s.must(objstore.DeleteStore(s.patient(), s.tr, st.name))
			st.wantError("", objstore.DeleteStore(s.patient(), s.tr, st.name), transport.NotFound)
			for method, err := range st.all(s.patient()) {
				if st.wantError("", err, transport.NotFound); err == nil {
					s.Errorf("%s of a deleted store succeeds", method)
				}
			}
			st.again()
			st.wantList("")
			st.put("a", content(36))
			st.want("a", content(36))
			st.wantClean()
			s.wantError(objstore.DeleteStore(s.patient(), s.tr, "a.b"), transport.InvalidArgument, "a.b")
		},
	},
	{
		name: "store/existing", contract: "Existing opens the store as it is: it is neither created nor changed.",
		rule: "Existing opens a store as it is, and a missing one is not_found and not created.",
		body: func(s *suite) {
			name := s.name()
			_, err := objstore.Connect(s.patient(), s.tr, objstore.NewStore(name, objstore.Existing()))
			s.wantError(err, transport.NotFound, name, "store")
			if _, ok := s.list()[name]; ok {
				s.Error("a store with Existing was created")
			}
			st := s.open(objstore.Description("first"))
			st.put("a", content(35))
			again := st.again(objstore.Existing(), objstore.Description("second"))
			again.want("a", content(35))
			wantEqual(s, "the description", again.status().Description, "first")
		},
	},
	{
		name: "store/settings", contract: "A setting without an option is that of the existing store, or its default if the store is created.",
		rule: "Opening a store again changes the settings with an option, and keeps the others and the objects.",
		body: func(s *suite) {
			st := s.open(objstore.Description("first"), objstore.MaxBytes(1<<20))
			st.put("a", content(35))
			for range 2 {
				is := st.again(objstore.Description("second"), objstore.TTL(hour)).status()
				if is.Description != "second" || is.TTL != hour || is.MaxBytes != 1<<20 {
					s.Errorf("got %+v", is)
				}
			}
			again := st.again()
			if is := again.status(); is.Description != "second" || is.TTL != hour || is.MaxBytes != 1<<20 {
				s.Errorf("got %+v without options", is)
			}
			again.want("a", content(35))
			if is := again.stat("a"); is.Expires.IsZero() {
				s.Errorf("got %+v, want the expiry of the store", is)
			}
		},
	},
	{
		name: "store/unchangeable", contract: "Open opens the store that c describes, by the rules of kv's Store.Open.",
		rule: "Memory for a store on disk is failed_precondition, and the store stays as it was.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			_, err := objstore.Connect(s.patient(), s.tr, objstore.NewStore(st.name, objstore.Memory()))
			st.wantError("", err, transport.FailedPrecondition, "Memory")
			st.want("a", content(35))
		},
	},
	{
		name: "store/stored-as", contract: "StoredAs sets the name of the store at the backend.",
		rule: "A store with StoredAs has that name in the listing and in errors.",
		body: func(s *suite) {
			stored := strings.ToUpper(s.name()) + "_x"
			s.Cleanup(func() { _ = objstore.DeleteStore(s.Context(), s.tr, stored) })
			st := &store{s.connectAs(s.tr, "declared", objstore.StoredAs(stored)), s, stored}
			st.put("a", "1")
			wantEqual(s, "the declared name", st.Name(), "declared")
			wantEqual(s, "the stored name", s.list()[stored].Name, stored)
			st.gone("b")
			s.must(objstore.DeleteStore(s.patient(), s.tr, stored))
		},
	},
	{
		name: "store/separate", contract: "A store holds chunks and entries.",
		rule: "Two stores, of which one name begins with the other, have their own objects.",
		body: func(s *suite) {
			first := s.open()
			longer := first.name + "-x"
			second := &store{s.connectAs(s.tr, longer), s, longer}
			s.Cleanup(func() { _ = objstore.DeleteStore(s.Context(), s.tr, longer) })
			first.put("a", content(35))
			second.put("a", content(36))
			first.want("a", content(35))
			second.want("a", content(36))
			second.delete("a")
			first.want("a", content(35))
			first.wantClean()
			second.wantClean()
			s.must(objstore.DeleteStore(s.patient(), s.tr, longer))
			first.want("a", content(35))
		},
	},
	{
		name: "store/full", contract: "A Put to a full store is resource_exhausted.",
		rule: "A Put over MaxBytes leaves nothing, and what was there; after a Delete there is room again.",
		body: func(s *suite) {
			st := s.open(objstore.MaxBytes(40_000), objstore.ChunkSize(1000))
			st.put("a", content(15_000))
			st.put("b", "1")
			for _, name := range []string{"a", "b", "c"} {
				for _, n := range []int{30_000, 500_000} {
					_, err := st.PutBytes(s.patient(), name, []byte(content(n)))
					st.wantError(name, err, transport.ResourceExhausted)
				}
			}
			st.want("a", content(15_000))
			st.want("b", "1")
			st.gone("c")
			st.wantClean()
			st.delete("a")
			st.put("c", content(25_000))
			st.want("c", content(25_000))
			st.wantClean()
		},
	},
	{
		name: "store/full-delete", contract: "A deletion needs no room, so a full store allows it.",
		rule: "In a full store objects are deleted under their conditions, and a Watch gives each end; then there is room again.",
		body: func(s *suite) {
			st := s.open(objstore.MaxBytes(20_000), objstore.ChunkSize(1000))
			st.put("large", content(5000))
			st.put("small", "1")
			st.put("empty", "")
			next, stop := iter.Pull2(st.Watch(s.patient()))
			defer stop()
			until := func(kind objstore.EventKind) objstore.Event {
				e, err, _ := next()
				for err == nil && e.Kind != kind {
					e, err, _ = next()
				}
				s.must(err)
				return e
			}
			until(objstore.EventCurrent)
			for _, name := range []string{"empty", "small", "large"} {
				st.fill("filler-" + name)
				_, err := st.PutBytes(s.patient(), "new", []byte("1"))
				st.wantError("new", err, transport.ResourceExhausted)
				stale := objstore.IfRevision(st.stat(name).Revision + 1)
				st.wantError(name, st.Delete(s.patient(), name, stale), transport.Aborted)
				st.delete(name)
				st.gone(name)
				wantEqual(s, "the deleted object", until(objstore.EventDelete).Name, name)
				st.wantError(name, st.Delete(s.patient(), name), transport.NotFound)
			}
			swept, err := st.Sweep(s.patient(), 0)
			s.must(err)
			wantEqual(s, "swept uploads", swept.Uploads, 3)
			st.put("small", "2")
			st.wantList("small")
			st.wantClean()
		},
	},
	{
		name: "store/lowered", contract: "A deletion needs no room, so a full store allows it.",
		rule: "An object whose end makes room is deleted, also if the store has more bytes than its lowered MaxBytes.",
		body: func(s *suite) {
			st := s.open(objstore.ChunkSize(1000))
			st.put("large", content(15_000))
			st.put("other", content(5000))
			st = st.again(objstore.MaxBytes(10_000), objstore.ChunkSize(1000))
			_, err := st.PutBytes(s.patient(), "new", []byte("1"))
			st.wantError("new", err, transport.ResourceExhausted)
			st.delete("large")
			st.gone("large")
			st.want("other", content(5000))
			st.wantClean()
			st.put("new", "1")
		},
	},
	{
		name: "store/sealed", contract: "Seal makes the store read-only, for ever.",
		rule: "Every change of a sealed store is failed_precondition; it is read, and opened again with the same options.",
		body: func(s *suite) {
			options := []objstore.StoreOption{objstore.Description("d"), objstore.TTL(hour), objstore.MaxBytes(1 << 20)}
			st := s.open(options...)
			st.put("a", content(35))
			st.upload("left", "1")
			s.must(st.Seal(s.patient()))
			s.must(st.Seal(s.patient()))
			for _, st := range []*store{st, st.again(options...), st.again(objstore.Existing())} {
				wantEqual(s, "Sealed", st.status().Sealed, true)
				for method, err := range st.changes(s.patient()) {
					if st.wantError("", err, transport.FailedPrecondition, "sealed"); err == nil {
						s.Errorf("%s changes a sealed store", method)
					}
				}
				st.want("a", content(35))
				st.wantList("a")
			}
		},
	},
}

// fill stores chunks without an entry until there is room for none.
func (st *store) fill(upload string) {
	st.s.Helper()
	w := st.driver().Write(upload, 0)
	for size := 1000; size > 0; {
		err := w.Append(st.s.patient(), driver.Chunk{Data: make([]byte, size)})
		last, flushed := w.Flush(st.s.patient())
		if err = cmp.Or(err, flushed); err == nil {
			continue
		}
		st.s.wantCode(err, transport.ResourceExhausted)
		size /= 2
		if is, err := st.driver().Last(st.s.patient(), upload); err == nil {
			last = is.Sequence
		}
		w = st.driver().Write(upload, last)
	}
}

// list returns the stores, by name.
func (s *suite) list() map[string]objstore.Status {
	s.Helper()
	all := make(map[string]objstore.Status)
	for is, err := range objstore.Stores(s.patient(), s.tr) {
		s.must(err)
		if _, twice := all[is.Name]; twice {
			s.Errorf("Stores lists %q twice", is.Name)
		}
		all[is.Name] = is
	}
	return all
}
