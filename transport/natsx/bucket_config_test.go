package natsx_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

func TestBucketSettings(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() })
	tr, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(t.Context()) })
	want := driver.Config{
		Name: "b", Description: "all settings", History: 7, TTL: time.Hour, MaxValue: 1000, MaxBytes: 1 << 20, Replicas: 1, Compressed: true,
		Republish: &driver.Republish{Source: ">", Destination: "copy.>"}, Generation: 3,
	}
	if got := *openBucket(t, tr, want).Config(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	existing := driver.Config{Name: "b", Existing: true}
	if got := *openBucket(t, tr, existing).Config(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want.History, want.TTL, want.Generation = 1, time.Minute, 4
	openBucket(t, tr, driver.Config{Name: "b", History: 1, TTL: time.Minute, Generation: 4})
	if got := *openBucket(t, tr, driver.Config{Name: "b", History: 9, Generation: 3}).Config(); !reflect.DeepEqual(got, want) { // older
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = tr.Buckets().Open(t.Context(), &driver.Config{Name: "b", Memory: true, Generation: 4})
	wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
	_, err = tr.Buckets().Open(t.Context(), &driver.Config{Name: "b", Mirror: &driver.Source{Bucket: "x"}, Generation: 4})
	wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
	openBucket(t, tr, driver.Config{Name: "m", Memory: true})
	if c := streamConfig(t, tr, "KV_m"); c.Storage != jetstream.MemoryStorage {
		t.Errorf("%+v", c)
	}
}

// Other clients have the same format.
func TestBucketFormat(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	openBucket(t, tr, driver.Config{})
	openBucket(t, tr, driver.Config{Name: "history", History: 2})
	c := streamConfig(t, tr, "KV_b")
	if fmt.Sprint(c.Subjects) != "[$KV.b.>]" || c.MaxMsgsPerSubject != 1 || c.Discard != jetstream.DiscardNew || !c.DenyDelete || !c.AllowRollup || !c.AllowDirect ||
		!c.AllowMsgTTL || !c.AllowAtomicPublish || c.SubjectDeleteMarkerTTL < time.Minute || c.Duplicates != 2*time.Minute {
		t.Errorf("%+v", c)
	}
	if c := streamConfig(t, tr, "KV_history"); c.SubjectDeleteMarkerTTL != time.Second {
		t.Errorf("%+v", c)
	}
	openBucket(t, tr, driver.Config{Name: "history", History: 1})
	if c := streamConfig(t, tr, "KV_history"); c.SubjectDeleteMarkerTTL < time.Minute {
		t.Errorf("%+v", c)
	}
	if _, err := keyValue(t, tr, "b").Put(t.Context(), "a", []byte("1")); err != nil {
		t.Error(err)
	}
}

// A bucket of another tool keeps all settings that are not given.
func TestForeignBucket(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	if _, err := jetStream(t, tr).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b", History: 3, MaxValueSize: 100, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	before := streamConfig(t, tr, "KV_b")
	b := openBucket(t, tr, driver.Config{History: 3, MaxValue: 100, Generation: 9})
	if after := streamConfig(t, tr, "KV_b"); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v became %+v", before, after)
	}
	for _, writes := range [][]driver.Write{{{Key: "a", TTL: time.Second}}, {{Key: "a"}, {Key: "b"}}} {
		_, err := b.Put(t.Context(), writes...)
		wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	}
	openBucket(t, tr, driver.Config{TTL: time.Hour})
	before.MaxAge = time.Hour
	if after := streamConfig(t, tr, "KV_b"); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestBucketHook(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, func(o *natsx.Options) {
		o.Bucket = func(name string, c *jetstream.StreamConfig) {
			switch name {
			case "special":
				c.AllowDirect, c.AllowAtomicPublish = false, false
				c.Metadata["team"] = "sales"
			case "bad":
				c.AllowRollup = false
			case "worse":
				c.Metadata["mono-generation"] = "9"
			}
		}
	})
	for _, name := range []string{"bad", "worse"} {
		_, err := tr.Buckets().Open(t.Context(), &driver.Config{Name: name})
		wantOutcome(t, err, transport.InvalidArgument, transport.OutcomeNotDone)
	}
	b := openBucket(t, tr, driver.Config{Name: "special"})
	openBucket(t, tr, driver.Config{Name: "special"})
	if c := streamConfig(t, tr, "KV_special"); c.Metadata["team"] != "sales" || c.AllowDirect {
		t.Errorf("%+v", c)
	}
	put(t, b, "a", "1")
	if r, err := b.Get(t.Context(), "a", 0, false); err != nil || describe(r) != "1:a=1" {
		t.Errorf("%+v, %v", r, err)
	}
	_, _, err := b.Read(t.Context(), []string{"a"})
	wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	_, err = b.Put(t.Context(), driver.Write{Key: "a"}, driver.Write{Key: "b"})
	wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
}

// Another client may change the settings while the bucket is open.
func TestBucketSettingsChangeMeanwhile(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	put(t, b, "a", "1")
	c := streamConfig(t, tr, "KV_b")
	c.AllowDirect, c.AllowAtomicPublish = false, false
	if _, err := jetStream(t, tr).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	_, err := b.Put(t.Context(), driver.Write{Key: "a"}, driver.Write{Key: "b"})
	wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	_, _, err = b.Read(t.Context(), []string{"a"})
	wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	c.AllowDirect = true
	if _, err := jetStream(t, tr).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.AllowDirect = false
	if r, err := b.Get(t.Context(), "a", 0, false); err != nil || describe(r) != "1:a=1" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := jetStream(t, tr).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Get(t.Context(), "a", 0, false); err != nil || describe(r) != "1:a=1" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A mirror keeps the subjects of its origin, also under its own name.
func TestMirrorAndSources(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	ctx := realtime.Patient(t)
	origin := openBucket(t, tr, driver.Config{Name: "origin", History: 2})
	put(t, origin, "a.x", "1")
	put(t, origin, "b.x", "2")
	mirror := openBucket(t, tr, driver.Config{Name: "mirror", Mirror: &driver.Source{Bucket: "origin"}})
	part := openBucket(t, tr, driver.Config{Name: "part", Mirror: &driver.Source{Bucket: "origin", Keys: "a.>"}})
	sources := driver.Config{Name: "sum", Sources: []driver.Source{{Bucket: "origin", Keys: "*.x"}, {Bucket: "second"}}}
	openBucket(t, tr, driver.Config{Name: "second"})
	sum := openBucket(t, tr, sources)
	put(t, sum, "own", "3")
	if got := sum.Config().Sources; !reflect.DeepEqual(got, sources.Sources) {
		t.Errorf("%+v", got)
	}
	for what, c := range map[string]struct {
		b    driver.Bucket
		n    uint64
		want string
	}{
		"the mirror": {mirror, 2, "1:a.x=1 2:b.x=2"}, "the part": {part, 1, "1:a.x=1"}, "the sum": {sum, 3, ""},
	} {
		eventually(t, what+" to be filled", func() bool {
			info, err := c.b.Info(ctx)
			return err == nil && info.Records == c.n
		})
		if got := scan(t, c.b, driver.Scan{}); c.want != "" && got != c.want {
			t.Errorf("%s has %s", what, got)
		}
		if r, err := c.b.Get(ctx, "a.x", 0, false); err != nil || string(r.Value) != "1" {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if r, _, err := c.b.Read(ctx, []string{"a.x"}); err != nil || len(r) != 1 {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	if r, err := keyValue(t, tr, "sum").Get(ctx, "a.x"); err != nil || string(r.Value()) != "1" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestMirrorIsReadOnly(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	openBucket(t, tr, driver.Config{Name: "origin"})
	config := driver.Config{Name: "mirror", Mirror: &driver.Source{Bucket: "origin"}}
	mirror := openBucket(t, tr, config)
	_, err := mirror.Put(t.Context(), driver.Write{Key: "a"})
	wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
	wantOutcome(t, mirror.Remove(t.Context(), "a.x", 9), transport.FailedPrecondition, transport.OutcomeNotDone)
	openBucket(t, tr, config)
	config.Mirror.Keys = "a.>"
	_, err = tr.Buckets().Open(t.Context(), &config)
	wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
}
