package kvtest

import (
	"strings"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

var bucketCases = []testCase{
	{
		name: "bucket/name", contract: "NewBucket panics on a bad name or option.",
		rule: "A bucket has a name of tokens and hyphens.",
		body: func(s *suite) {
			for _, bad := range []string{"", "a.b", "A", "a_b", "-a", "a-", "a--b", "a b", "é", strings.Repeat("a", 101)} {
				s.panics("name", func() { panicText(func() { kv.NewBucket[string](bad) }) })
			}
			for option, f := range map[string]func() kv.BucketOption{
				"MaxValue": func() kv.BucketOption { return kv.MaxValue(0) }, "MaxBytes": func() kv.BucketOption { return kv.MaxBytes(-1) },
				"Replicas": func() kv.BucketOption { return kv.Replicas(6) }, "StoredAs": func() kv.BucketOption { return kv.StoredAs("a.b") },
				"Codec": func() kv.BucketOption { return kv.Codec(nil) }, "RepublishTo": func() kv.BucketOption { return kv.RepublishTo("a..b", "c") },
			} {
				s.panics(option, func() { kv.NewBucket[string]("a", f()) })
			}
			s.panics("one source", func() { kv.NewBucket[string]("a", kv.MirrorOf("b", ""), kv.SourcedFrom("c", "")) })
			s.panics("Existing", func() { kv.NewBucket[string]("a", kv.Existing(), kv.History(3)) })
		},
	},
	{
		name: "bucket/status", contract: "Status returns the state of the bucket.",
		rule: "Status has the settings and counts records with history and marks.",
		body: func(s *suite) {
			b := s.open(kv.History(5), kv.Description("for tests"), kv.TTL(time.Hour), kv.MaxValue(100), kv.MaxBytes(1<<20), kv.Memory())
			b.put("a", "1")
			b.put("a", "2")
			b.put("b", "1")
			b.delete("b")
			is, err := b.Status(s.patient())
			s.must(err)
			if is.Bytes == 0 || is.Bytes > 1<<20 {
				s.Errorf("got %d bytes", is.Bytes)
			}
			want := kv.Status{
				Name: b.name, Description: "for tests", Records: 4, Bytes: is.Bytes, Revision: 4, History: 5, TTL: time.Hour,
				MaxValue: 100, MaxBytes: 1 << 20, Memory: true, Replicas: is.Replicas, KeyTTL: is.KeyTTL, Batches: is.Batches,
			}
			if is != want {
				s.Errorf("got %+v, want %+v", is, want)
			}
		},
	},
	{
		name: "bucket/list", contract: "Buckets returns the buckets of a transport, in any order, by whatever program they were made. The iteration is complete, or ends with an error.",
		rule: "Buckets lists each bucket once, with its state, until it is deleted.",
		body: func(s *suite) {
			first, second := s.open(), s.open(kv.History(3))
			second.put("a", "1")
			got := s.list()
			if got[first.name].History != 1 || got[second.name].History != 3 || got[second.name].Records != 1 {
				s.Errorf("got %+v", got)
			}
			s.must(kv.DeleteBucket(s.patient(), s.tr, first.name))
			if got := s.list(); got[first.name].Name != "" || got[second.name].Name == "" {
				s.Errorf("got %+v after a bucket was deleted", got)
			}
			for _, err := range kv.Buckets(s.ended(), s.tr) {
				s.wantError(err, transport.Canceled)
			}
		},
	},
	{
		name: "bucket/delete", contract: "DeleteBucket deletes a bucket with all its values, by its stored name. A missing one is not_found.",
		rule: "A deleted bucket is not_found for all methods, and one that is created again is empty.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			s.must(kv.DeleteBucket(s.patient(), s.tr, b.name))
			b.wantError("", kv.DeleteBucket(s.patient(), s.tr, b.name), transport.NotFound)
			for method, err := range b.withKey("a") {
				if s.wantCode(err, transport.NotFound); transport.CodeOf(err) != transport.NotFound {
					s.Errorf("%s of a deleted bucket", method)
				}
			}
			again := &bucket{connectAs[string](s, s.tr, b.name), s, b.name}
			again.wantKeys(nil)
			again.create("a", "2")
			b.want("a", "2")
			s.wantError(kv.DeleteBucket(s.patient(), s.tr, "a.b"), transport.InvalidArgument, "a.b")
		},
	},
	{
		name: "bucket/existing", contract: "Existing makes Open fail with not_found if the bucket does not exist, and never changes its settings.",
		rule: "Existing opens a bucket as it is, and a missing one is not_found and not created.",
		body: func(s *suite) {
			name := s.name()
			_, err := kv.Connect(s.patient(), s.tr, kv.NewBucket[string](name, kv.Existing()))
			s.wantError(err, transport.NotFound, name)
			if _, ok := s.list()[name]; ok {
				s.Error("a bucket with Existing was created")
			}
			b := s.open(kv.History(3), kv.Description("first"))
			b.put("a", "1")
			other := b.elsewhere()
			other.want("a", "1")
			is, err := other.Status(s.patient())
			s.must(err)
			if is.History != 3 || is.Description != "first" {
				s.Errorf("got %+v", is)
			}
		},
	},
	{
		name: "bucket/settings", contract: "A setting without an option is that of the existing bucket, or its default if the bucket is created.",
		rule: "Opening a bucket again changes the settings with an option, keeps the others, and keeps its values.",
		body: func(s *suite) {
			b := s.open(kv.History(3), kv.Description("first"), kv.MaxValue(100))
			b.put("a", "1")
			b.put("a", "2")
			again := &bucket{connectAs[string](s, s.tr, b.name, kv.Description("second"), kv.MaxValue(50)), s, b.name}
			is, err := again.Status(s.patient())
			s.must(err)
			if is.History != 3 || is.Description != "second" || is.MaxValue != 50 {
				s.Errorf("got %+v", is)
			}
			again.wantHistory("a", "a=1 a=2")
			plain := &bucket{connectAs[string](s, s.tr, b.name), s, b.name}
			is, err = plain.Status(s.patient())
			s.must(err)
			if is.History != 3 || is.Description != "second" || is.MaxValue != 50 {
				s.Errorf("got %+v without options", is)
			}
		},
	},
	{
		name: "bucket/unchangeable", contract: "It cannot be changed later.",
		rule: "Memory for a bucket on disk is failed_precondition, and the bucket stays as it was.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			_, err := kv.Connect(s.patient(), s.tr, kv.NewBucket[string](b.name, kv.Memory()))
			b.wantError("", err, transport.FailedPrecondition)
			b.want("a", "1")
		},
	},
	{
		name: "bucket/stored-as", contract: "StoredAs sets the name under which the bucket is stored, without a namespace.",
		rule: "A bucket with StoredAs has that name in the listing and in errors.",
		body: func(s *suite) {
			stored := strings.ToUpper(s.name()) + "_x"
			b := &bucket{connectAs[string](s, s.tr, "declared", kv.StoredAs(stored)), s, stored}
			s.Cleanup(func() { _ = kv.DeleteBucket(s.patient(), s.tr, stored) })
			b.put("a", "1")
			wantEqual(s, "the declared name", b.Name(), "declared")
			if is, ok := s.list()[stored]; !ok || is.Records != 1 {
				s.Errorf("got %+v", is)
			}
			b.gone("b")
			s.must(kv.DeleteBucket(s.patient(), s.tr, stored))
		},
	},
	{
		name: "bucket/full", contract: "A write to a full bucket is resource_exhausted.",
		rule: "A write over MaxBytes is resource_exhausted and has no effect; after a Purge there is room again.",
		body: func(s *suite) {
			b := s.open(kv.MaxBytes(4000))
			big := strings.Repeat("x", 1500)
			b.put("a", big)
			b.put("b", big)
			_, err := b.Put(s.patient(), "c", big)
			b.wantError("c", err, transport.ResourceExhausted)
			_, err = b.Create(s.patient(), "c", big)
			b.wantError("c", err, transport.ResourceExhausted)
			b.gone("c")
			b.want("a", big)
			b.purge("a")
			b.put("c", big)
			b.want("c", big)
		},
	},
	{
		name: "bucket/read-your-opening", contract: "Connect opens a bucket on a bare transport",
		rule: "Several buckets of a transport have their own keys and revisions.",
		body: func(s *suite) {
			first, second := s.open(), s.open()
			wantEqual(s, "the revision", first.put("a", "1"), 1)
			wantEqual(s, "the revision", second.put("a", "2"), 1)
			first.want("a", "1")
			second.want("a", "2")
			w := first.watch()
			w.want("a=1", "current")
			second.put("a", "3")
			first.put("a", "4")
			w.want("a=4")
		},
	},
	{
		name: "bucket/republish", contract: "RepublishTo publishes each record again on another subject, by the rules of a subject transform.",
		rule: "Each value of a matching key is published on the other subject.",
		body: func(s *suite) {
			got := make(chan string, 10)
			subject := s.root + ".again"
			_, err := s.tr.Subscribe(s.patient(), transport.Subscription{Subject: subject + ".>"}, transport.Serial(func(m *transport.Message) {
				got <- strings.TrimPrefix(m.Subject, subject) + string(m.Body)
			}))
			s.must(err)
			b := s.open(kv.RepublishTo("a.>", subject+".>"))
			b.put("b.1", "no")
			b.put("a.1", "1")
			b.put("a.2.x", "2")
			wantEqual(s, "the message", realtime.Receive(s, got, "a message"), `.1"1"`)
			wantEqual(s, "the message", realtime.Receive(s, got, "a message"), `.2.x"2"`)
		},
	},
}

// list returns the buckets of this case, by name.
func (s *suite) list() map[string]kv.Status {
	s.Helper()
	all := make(map[string]kv.Status)
	for is, err := range kv.Buckets(s.patient(), s.tr) {
		s.must(err)
		if _, twice := all[is.Name]; twice {
			s.Errorf("Buckets lists %q twice", is.Name)
		}
		all[is.Name] = is
	}
	return all
}

// panicText panics with "name" in the text if f panics.
func panicText(f func()) {
	defer func() {
		if v := recover(); v != nil {
			panic("bad name: " + v.(string))
		}
	}()
	f()
}
