package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var update = flag.Bool("interop.update", false, "record the messages that the tools and mono write")

// message is a stored message of a store.
type message struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header,omitempty"`
	Body    string              `json:"body"`
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

func open(t *testing.T, tr *natsx.Transport, s objstore.Store) *objstore.Objects {
	t.Helper()
	o, err := objstore.Connect(t.Context(), tr, s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// stored returns the messages of stores. The ids of uploads and batches are numbers.
func stored(t *testing.T, tr *natsx.Transport, stores ...string) (all []message) {
	t.Helper()
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		stream, err := js.Stream(t.Context(), "OBJ_"+store)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			m, err := stream.GetMsg(t.Context(), seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue // it was replaced
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence"} {
				m.Header.Del(name) // of the answer
			}
			all = append(all, message{m.Subject, m.Header, string(m.Data)})
		}
	}
	numberIDs(all)
	return all
}

// numberIDs replaces the ids of uploads and batches by numbers.
func numberIDs(all []message) {
	var ids []string
	for i := range all {
		m := &all[i]
		if _, id, ok := strings.Cut(m.Subject, ".C."); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if m.Header["Nats-Batch-Id"] != nil {
			m.Header["Nats-Batch-Id"] = []string{"batch"}
		}
		var e struct {
			ID string `json:"nuid"`
		}
		if json.Unmarshal([]byte(m.Body), &e) == nil && e.ID != "" && !slices.Contains(ids, e.ID) {
			ids = append(ids, e.ID)
		}
	}
	for i := range all {
		for n, id := range ids {
			number := fmt.Sprint("upload-", n)
			all[i].Subject = strings.ReplaceAll(all[i].Subject, id, number)
			all[i].Body = strings.ReplaceAll(all[i].Body, id, number)
		}
	}
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

// theirs are the objects that both tools write.
var theirs = map[string]string{
	"text": "hello", "dir/several chunks.txt": "0123456789abcdefghijABCDEFGHIJ!", "empty": "",
	"odd \"name\" *.>": "odd", "replaced": "new",
}

// outside is a name that nats.js cannot look up: it has characters outside ASCII.
const outside = "naïve 日本"

// theirLinks are the links that nats.js writes. The nats command writes none.
var theirLinks = map[string]string{"link": "hello", "link to far": "far away"}

// checkForeign checks that mono reads the objects of nats.js, or of the nats command.
func checkForeign(t *testing.T, tr *natsx.Transport, natsjs bool) {
	t.Helper()
	o := open(t, tr, objstore.NewStore("foreign", objstore.StoredAs("theirs"), objstore.Existing()))
	want := maps.Clone(theirs)
	if !natsjs {
		want[outside] = "unicode"
	} else {
		maps.Copy(want, theirLinks)
		want["link to others"] = ""
		if _, err := o.Open(t.Context(), "link to others"); transport.CodeOf(err) != transport.FailedPrecondition {
			t.Errorf("a link to a store: %v", err)
		}
	}
	for name, content := range want {
		if name == "link to others" {
			continue
		}
		if got, _, err := o.ReadAll(t.Context(), name); err != nil || string(got) != content {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, content)
		}
	}
	var names []string
	for is, err := range o.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, is.Name)
	}
	slices.Sort(names)
	if all := slices.Sorted(maps.Keys(want)); !slices.Equal(names, all) {
		t.Errorf("names: got %q, want %q", names, all)
	}
	checkSeveral(t, o, natsjs)
	if swept, err := o.Sweep(t.Context(), 0); err != nil || swept.Uploads != 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
}

// checkSeveral checks the description of the object with several chunks, and a part of it.
func checkSeveral(t *testing.T, o *objstore.Objects, metadata bool) {
	t.Helper()
	f, err := o.Open(t.Context(), "dir/several chunks.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	is := f.Info()
	if is.Description != "described" || is.Header["X-Kind"] != "test" || is.ContentType != "text/plain" || metadata && is.Metadata["team"] != "a" {
		t.Errorf("several chunks: %+v", is)
	}
	part := make([]byte, 4)
	if n, err := f.ReadAt(part, 18); err != nil || string(part[:n]) != "ijAB" {
		t.Errorf("a part: %q, %v", part[:n], err)
	}
}

var oursStore = objstore.NewStore("ours", objstore.ChunkSize(10))

// ours are the objects that mono writes.
func ours() map[string]string {
	all := maps.Clone(theirs)
	all[outside] = "unicode"
	return all
}

// writeOurs writes the objects of ours, and a deleted one.
func writeOurs(t *testing.T, o *objstore.Objects) {
	t.Helper()
	put := func(name, content string, options ...objstore.PutOption) {
		if _, err := o.PutBytes(t.Context(), name, []byte(content), options...); err != nil {
			t.Fatal(err)
		}
	}
	put("replaced", "old")
	for _, name := range slices.Sorted(maps.Keys(ours())) {
		var options []objstore.PutOption
		if strings.HasPrefix(name, "dir/") {
			options = []objstore.PutOption{
				objstore.Description("described"), objstore.Header("X-Kind", "test"), objstore.ContentType("text/plain"), objstore.Metadata("team", "a"),
			}
		}
		put(name, ours()[name], options...)
	}
	put("deleted", "x")
	if err := o.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
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
			for _, store := range []string{"theirs", "others"} {
				if _, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: store, Storage: jetstream.MemoryStorage}); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range recorded(t, tool, nil) {
				if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: []byte(m.Body)}); err != nil {
					t.Fatalf("%+v: %v", m, err)
				}
			}
			checkForeign(t, tr, tool == "natsjs")
		})
	}
}

// TestRecordedByMono compares what mono writes with messages that the tools have read.
func TestRecordedByMono(t *testing.T) {
	_, tr := start(t)
	writeOurs(t, open(t, tr, oursStore))
	is := stored(t, tr, "ours")
	want := recorded(t, "mono", is)
	same := func(a, b message) bool {
		return a.Subject == b.Subject && a.Body == b.Body && maps.EqualFunc(a.Header, b.Header, slices.Equal)
	}
	if !slices.EqualFunc(is, want, same) {
		t.Errorf("mono writes\n%+v\nthe tools have read\n%+v", is, want)
	}
}
