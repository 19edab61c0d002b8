package interop_test

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var update = flag.Bool("interop.update", false, "record the messages that the tools and mono write")

// message is a stored message of a bucket.
type message struct {
	Key    string              `json:"key"` // as written
	Header map[string][]string `json:"header,omitempty"`
	Body   string              `json:"body"`
}

type user struct {
	Name string `json:"name"`
}

// start starts a server, and returns a connection to it.
func start(t *testing.T) (*embedded.Server, *natsx.Transport) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	tr, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return s, tr
}

func open[T any](t *testing.T, tr *natsx.Transport, b kv.Bucket[T]) *kv.KeyValue[T] {
	t.Helper()
	bucket, err := kv.Connect(t.Context(), tr, b)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// stored returns the messages of a bucket.
func stored(t *testing.T, tr *natsx.Transport, bucket string) (all []message) {
	t.Helper()
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			continue // it was replaced
		}
		for _, name := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence"} {
			m.Header.Del(name) // of the answer
		}
		all = append(all, message{strings.TrimPrefix(m.Subject, "$KV."+bucket+"."), m.Header, string(m.Data)})
	}
	return all
}

// recorded returns recorded messages, and records the given ones before if asked to.
func recorded(t *testing.T, name string, is []message) (all []message) {
	t.Helper()
	file := "testdata/" + name + ".json"
	if *update && is != nil {
		data, err := json.MarshalIndent(is, "", "\t")
		if err == nil {
			err = os.WriteFile(file, append(data, '\n'), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkForeign checks that mono reads the entries of a tool: those of tool.mjs.
func checkForeign(t *testing.T, tr *natsx.Transport, bucket string) {
	t.Helper()
	declared := kv.NewBucket[user]("foreign", kv.StoredAs(bucket), kv.Existing())
	users := open(t, tr, declared)
	for key, want := range map[string]string{"user.1": "Grace", "user.2": "Edsger"} {
		if e, err := users.Get(t.Context(), key); err != nil || e.Value.Name != want {
			t.Errorf("%s: got %+v, %v, want %s", key, e, err, want)
		}
	}
	if e, err := users.Raw().Get(t.Context(), "text"); err != nil || string(e.Value) != "hello" {
		t.Errorf("text: got %+v, %v", e, err)
	}
	var keys []string
	for key, err := range users.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if want := []string{"odd=key", "text", "user.1", "user.2"}; !slices.Equal(keys, want) {
		t.Errorf("keys: got %q, want %q", keys, want)
	}
	history, err := users.Raw().History(t.Context(), "deleted")
	if err != nil || len(history) != 2 || history[0].Op != kv.OpPut || history[1].Op != kv.OpDelete {
		t.Errorf("history of a deleted key: %+v, %v", history, err)
	}
	history, err = users.Raw().History(t.Context(), "purged")
	if err != nil || len(history) != 1 || history[0].Op != kv.OpPurge {
		t.Errorf("history of a purged key: %+v, %v", history, err)
	}
}

var oursBucket = kv.NewBucket[user]("ours", kv.History(3), kv.Codec(codec.JSON))

// writeOurs writes the entries of ours, a deleted and a purged one.
func writeOurs(t *testing.T, users *kv.KeyValue[user]) {
	t.Helper()
	var errs []error
	put := func(key string, name string, options ...kv.WriteOption) {
		_, err := users.Put(t.Context(), key, user{name}, options...)
		errs = append(errs, err)
	}
	put("user.1", "Alan")
	put("user.1", "Ada")
	put("naïve key", "Grace", kv.TTL(3600e9))
	_, err := users.Create(t.Context(), "..a", user{"Edsger"})
	errs = append(errs, err)
	put("deleted", "x")
	errs = append(errs, users.Delete(t.Context(), "deleted"))
	put("purged", "x")
	errs = append(errs, users.Purge(t.Context(), "purged"))
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordedByTools replays messages that the tools have written.
func TestRecordedByTools(t *testing.T) {
	for _, tool := range []string{"natsjs", "natscli"} {
		t.Run(tool, func(t *testing.T) {
			_, tr := start(t)
			js, err := jetstream.New(tr.Conn())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "replayed", History: 3, LimitMarkerTTL: 60e9, Storage: jetstream.MemoryStorage}); err != nil {
				t.Fatal(err)
			}
			for _, m := range recorded(t, tool, nil) {
				msg := &nats.Msg{Subject: "$KV.replayed." + m.Key, Header: m.Header, Data: []byte(m.Body)}
				if _, err := js.PublishMsg(t.Context(), msg); err != nil {
					t.Fatalf("%+v: %v", m, err)
				}
			}
			checkForeign(t, tr, "replayed")
		})
	}
}

// TestRecordedByMono compares what mono writes with messages that the tools have read.
func TestRecordedByMono(t *testing.T) {
	_, tr := start(t)
	writeOurs(t, open(t, tr, oursBucket))
	is := stored(t, tr, "ours")
	want := recorded(t, "mono", is)
	if !slices.EqualFunc(is, want, func(a, b message) bool {
		return a.Key == b.Key && a.Body == b.Body && maps.EqualFunc(a.Header, b.Header, slices.Equal)
	}) {
		t.Errorf("mono writes\n%+v\nthe tools have read\n%+v", is, want)
	}
}
