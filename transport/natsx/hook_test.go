package natsx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// hooked connects to a new server, with hooks for some logs and groups.
func hooked(t *testing.T, streams map[string]func(*jetstream.StreamConfig), consumers map[string]func(*jetstream.ConsumerConfig)) *natsx.Transport {
	return inProcess(t, func(o *natsx.Options) {
		o.Stream = func(log string, c *jetstream.StreamConfig) {
			if hook := streams[log]; hook != nil {
				hook(c)
			}
		}
		o.Consumer = func(_, group string, c *jetstream.ConsumerConfig) {
			if hook := consumers[group]; hook != nil {
				hook(c)
			}
		}
	})
}

func streamConfig(t *testing.T, tr *natsx.Transport, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := jetStream(t, tr).Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

// The hook for streams changes settings of a log by its name. Other logs stay unchanged.
func TestStreamHook(t *testing.T) {
	t.Parallel()
	tr := hooked(t, map[string]func(*jetstream.StreamConfig){"special": func(c *jetstream.StreamConfig) {
		c.Description = "all there is"
		c.Compression = jetstream.S2Compression
		c.AllowDirect = true
		c.Metadata["team"] = "sales"
		c.RePublish = &jetstream.RePublish{Source: "special.>", Destination: "copied.>"}
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "special.raw.*", Destination: "special.cooked.{{wildcard(1)}}"}
		c.Sources = []*jetstream.StreamSource{{Name: "plain", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "plain.*", Destination: "special.from.{{wildcard(1)}}"}}}}
	}}, nil)
	plain := openLog(t, tr, transport.LogConfig{Name: "plain", Subjects: []string{"plain.*"}})
	config := transport.LogConfig{Name: "special", Subjects: []string{"special.>"}, Update: true, Metadata: map[string]string{"of": "mono"}}
	l := openLog(t, tr, config)
	copied, err := tr.Conn().SubscribeSync("copied.>")
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, l, "special.raw.a", "1", transport.AppendOptions{})
	if m, err := copied.NextMsg(realtime.Patience); err != nil || m.Subject != "copied.cooked.a" || string(m.Data) != "1" {
		t.Errorf("republished: %+v, %v", m, err)
	}
	appendTo(t, plain, "plain.b", "2", transport.AppendOptions{})
	eventually(t, "the source is copied", func() bool { return len(read(t, l, transport.ReadConfig{})) == 2 })
	var subjects []string
	for d, err := range l.Read(t.Context(), transport.ReadConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, d.Subject)
	}
	if fmt.Sprint(subjects) != "[special.cooked.a special.from.b]" {
		t.Errorf("got %v", subjects)
	}
	openLog(t, tr, config) // again: nothing is changed back
	c := streamConfig(t, tr, "special")
	if c.Description != "all there is" || c.Compression != jetstream.S2Compression || !c.AllowDirect || c.Metadata["team"] != "sales" || c.Metadata["of"] != "mono" || len(c.Sources) != 1 {
		t.Errorf("got %+v", c)
	}
	if c := streamConfig(t, tr, "plain"); c.Description != "" || c.Compression != jetstream.NoCompression || len(c.Sources) > 0 {
		t.Errorf("the other is %+v", c)
	}
}

// A log can mirror another. It can be consumed and read, also in order of keys, but not
// appended to.
func TestMirrorHook(t *testing.T) {
	t.Parallel()
	tr := hooked(t, map[string]func(*jetstream.StreamConfig){
		"copy": func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "origin"} },
		"both": func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "origin"} },
	}, nil)
	config := transport.LogConfig{Name: "origin", Subjects: []string{"l._k.*", "l._to.*._k.*"}, Partitions: 4, Update: true}
	origin := openLog(t, tr, config)
	for i := range 20 {
		appendTo(t, origin, fmt.Sprint("l._k.", i%5), fmt.Sprint(i), transport.AppendOptions{ID: fmt.Sprint(i)})
	}
	config.Name = "copy"
	openLog(t, tr, config)
	l := openLog(t, tr, config) // this time it exists
	group := transport.GroupConfig{Name: "g", Ordered: true}
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 4})
	last := make(map[string]uint64)
	for range 20 {
		d := receive(t, deliveries)
		if d.Sequence <= last[d.Subject] {
			t.Errorf("%s: %d after %d", d.Subject, d.Sequence, last[d.Subject])
		}
		last[d.Subject] = d.Sequence
		ack(t, d)
	}
	if len(last) != 5 {
		t.Errorf("the subjects are %v", last)
	}
	if got := read(t, l, transport.ReadConfig{Filter: []string{"l._k.3"}}); fmt.Sprint(got) != "[3 8 13 18]" {
		t.Errorf("read %v", got)
	}
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l._k.1"}, transport.AppendOptions{})
	wantCode(t, err, transport.FailedPrecondition, "mirror of origin", "append to that")
	_, err = tr.Log(t.Context(), transport.LogConfig{Name: "both", Subjects: []string{"both"}, Delays: true})
	wantCode(t, err, transport.InvalidArgument, "mirror of origin", "only one of these")
}

// The hook for consumers changes settings of a group by its name.
func TestConsumerHook(t *testing.T) {
	t.Parallel()
	policy := jetstream.DeliverLastPolicy
	tr := hooked(t, nil, map[string]func(*jetstream.ConsumerConfig){
		"sampled": func(c *jetstream.ConsumerConfig) { c.SampleFrequency, c.Metadata["team"] = "100%", "sales" },
		"last":    func(c *jetstream.ConsumerConfig) { c.DeliverPolicy = policy },
		"none":    func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy },
		"all":     func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckAllPolicy },
		"limited": func(c *jetstream.ConsumerConfig) { c.RateLimit = 100_000 },
	})
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	const n = 5
	for i := range n {
		appendTo(t, l, "l", fmt.Sprint(i, strings.Repeat("x", 999)), transport.AppendOptions{})
	}
	of := func(name string, ordered bool) transport.ConsumeConfig {
		return transport.ConsumeConfig{Group: transport.GroupConfig{Name: name, Ordered: ordered, Update: true}, MaxInFlight: n}
	}
	info := func(group string) transport.GroupInfo {
		t.Helper()
		groups, err := l.Groups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if g.Config.Name == group {
				return g
			}
		}
		t.Fatalf("no group %s in %+v", group, groups)
		panic("unreachable")
	}
	refused := func(c transport.ConsumeConfig, code transport.Code, words ...string) {
		t.Helper()
		_, err := l.Consume(t.Context(), c, transport.Serial(func(*transport.Delivery) {}))
		wantCode(t, err, code, words...)
	}

	samples := make(chan *nats.Msg, n)
	if _, err := tr.Conn().ChanSubscribe("$JS.EVENT.METRIC.CONSUMER.ACK.l.sampled", samples); err != nil {
		t.Fatal(err)
	}
	sampled, _ := consume(t, l, of("sampled", false))
	for range n {
		ack(t, receive(t, sampled))
		receive(t, samples)
	}

	last, _ := consume(t, l, of("last", false))
	if d := receive(t, last); d.Sequence != n {
		t.Errorf("it begins at %d, want %d", d.Sequence, n)
	}
	policy = jetstream.DeliverAllPolicy
	refused(of("last", false), transport.FailedPrecondition, "DeliverPolicy", "last", "all", "choose another name")

	none, r := consume(t, l, of("none", false))
	for range n {
		receive(t, none)
	}
	r.Close()
	if g := info("none"); g.Undelivered != 0 || g.InFlight != 0 {
		t.Errorf("without acknowledgements: %+v", g)
	}
	refused(of("none", true), transport.FailedPrecondition, "Ordered")

	all, _ := consume(t, l, of("all", false))
	for range n - 1 {
		receive(t, all)
	}
	ack(t, receive(t, all))
	eventually(t, "one acknowledgement counts for all", func() bool { return info("all").Settled == n })

	began := time.Now()
	limited, _ := consume(t, l, of("limited", false))
	for range n {
		ack(t, receive(t, limited))
	}
	if took, want := time.Since(began), (n-1)*80*time.Millisecond; took < want {
		t.Errorf("%d messages of 8000 bits took %v at 100000 bits a second, want at least %v", n, took, want)
	}
	if d, r := consume(t, l, of("limited", false)); len(d) > 0 || r.Drain(t.Context()) != nil {
		t.Error("a second member gets a message, or does not end")
	}
}

// An ordered group must wait for acknowledgements.
func TestConsumerHookOfAnOrderedGroup(t *testing.T) {
	t.Parallel()
	tr := hooked(t, nil, map[string]func(*jetstream.ConsumerConfig){"g": func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckAllPolicy }})
	_, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}}})
	wantCode(t, err, transport.InvalidArgument, "AckPolicy", "Unordered")
}
