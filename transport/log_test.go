package transport_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

func TestLogConfigValidate(t *testing.T) {
	t.Parallel()
	good := func() transport.LogConfig {
		return transport.LogConfig{Name: "queues_a", Subjects: []string{"queues.a", "queues.a._to.*"}, Groups: []transport.GroupConfig{{Name: "workers"}}}
	}
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*transport.LogConfig){
		"the name":                 func(c *transport.LogConfig) { c.Name = "a.b" },
		"1 to 240":                 func(c *transport.LogConfig) { c.Name = strings.Repeat("a", 241) },
		"ends in __later":          func(c *transport.LogConfig) { c.Name = "queues_a__later" },
		"ends in _partition_":      func(c *transport.LogConfig) { c.Groups[0].Name = "workers_partition_0" },
		"no subjects":              func(c *transport.LogConfig) { c.Subjects = nil },
		"its subjects":             func(c *transport.LogConfig) { c.Subjects = []string{"a..b"} },
		"overlap":                  func(c *transport.LogConfig) { c.Subjects = []string{"a.*", "a.b"} },
		"MaxAge is 1ms":            func(c *transport.LogConfig) { c.MaxAge = time.Millisecond },
		"DedupWindow is 1ms":       func(c *transport.LogConfig) { c.DedupWindow = time.Millisecond },
		"longer than messages":     func(c *transport.LogConfig) { c.MaxAge, c.DedupWindow = time.Second, time.Minute },
		"MaxDelayed is 1":          func(c *transport.LogConfig) { c.MaxDelayed = 1 },
		"MaxSize is -1":            func(c *transport.LogConfig) { c.MaxSize = -1 },
		"use a declared constant":  func(c *transport.LogConfig) { c.Full = 7 },
		"description has 4097":     func(c *transport.LogConfig) { c.Description = strings.Repeat("a", 4097) },
		"want at most 4096, in":    func(c *transport.LogConfig) { c.Description = "\xff" },
		"257 partitions":           func(c *transport.LogConfig) { c.Partitions = 257 },
		"does not end in a key":    func(c *transport.LogConfig) { c.Partitions = 4 },
		`two groups "workers"`:     func(c *transport.LogConfig) { c.Groups = append(c.Groups, c.Groups[0]) },
		`group "a.b": the name`:    func(c *transport.LogConfig) { c.Groups[0].Name = "a.b" },
		"AckWait is 10ms":          func(c *transport.LogConfig) { c.Groups[0].AckWait = 10 * time.Millisecond },
		"set at most one":          func(c *transport.LogConfig) { c.Groups[0].Start = transport.Start{New: true, Sequence: 3} },
		`group "workers": its fil`: func(c *transport.LogConfig) { c.Groups[0].Filter = []string{"a b"} },
	} {
		c := good()
		change(&c)
		err := c.Validate()
		if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAppendOptionsValidate(t *testing.T) {
	t.Parallel()
	c := transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, MaxSize: 100_000}
	delays := c
	delays.Delays = true
	for want, test := range map[string]struct {
		c *transport.LogConfig
		m transport.Message
		o transport.AppendOptions
	}{
		"TTL is 1ms":                    {&c, transport.Message{}, transport.AppendOptions{TTL: time.Millisecond}},
		"without Delays":                {&c, transport.Message{}, transport.AppendOptions{NotBefore: time.Now()}},
		"before 2262":                   {&delays, transport.Message{}, transport.AppendOptions{NotBefore: time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"NotBefore cannot be combined":  {&delays, transport.Message{}, transport.AppendOptions{NotBefore: time.Now(), TTL: time.Hour}},
		"the id has 257":                {&c, transport.Message{}, transport.AppendOptions{ID: strings.Repeat("a", 257)}},
		"want at most 256":              {&c, transport.Message{}, transport.AppendOptions{ID: "a\nb"}},
		"stores only l.*":               {&c, transport.Message{Subject: "m"}, transport.AppendOptions{}},
		"has 100001 bytes":              {&c, transport.Message{Body: make([]byte, 100_001)}, transport.AppendOptions{}},
		"stores at most 57344: put it ": {&c, transport.Message{Header: transport.Header{{Name: "A", Value: strings.Repeat("a", transport.MaxStoredHeader)}}}, transport.AppendOptions{}},
	} {
		if test.m.Subject == "" {
			test.m.Subject = "l.x"
		}
		if err := test.o.Validate(test.c, &test.m); transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	m := transport.Message{Subject: "l.x", Body: make([]byte, 100_000)}
	if err := new(transport.AppendOptions).Validate(&c, &m); err != nil {
		t.Error(err)
	}
}

// Two patterns overlap if and only if some subject matches both.
func TestOverlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.SampledFrom([]string{"a", "b", "*"})
		pattern := rapid.Custom(func(t *rapid.T) string {
			p := strings.Join(rapid.SliceOfN(token, 1, 3).Draw(t, "tokens"), ".")
			if rapid.Bool().Draw(t, "rest") {
				p += ".>"
			}
			return p
		})
		a, b := pattern.Draw(t, "a"), pattern.Draw(t, "b")
		met := false
		for _, s := range subjectsOf([]string{"a", "b", "c"}, 5) {
			met = met || transport.Match(a, s) && transport.Match(b, s)
		}
		if transport.Overlap(a, b) != met || transport.Overlap(b, a) != met {
			t.Errorf("%q and %q: Overlap is %v, and %v that a subject matches both", a, b, transport.Overlap(a, b), met)
		}
	})
}

// subjectsOf lists all subjects of up to n of the tokens.
func subjectsOf(tokens []string, n int) []string {
	all := tokens
	last := tokens
	for range n - 1 {
		var longer []string
		for _, s := range last {
			for _, token := range tokens {
				longer = append(longer, s+"."+token)
			}
		}
		all, last = append(all[:len(all):len(all)], longer...), longer
	}
	return all
}

// PartitionOf computes the same partition as NATS.
func TestPartitionOf(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]int{"s._k.": 0x811c9dc5 % 16, "s._k.a": 0xe40c292c % 16, "t._k.foobar": 0xbf9cf968 % 16} {
		if got := transport.PartitionOf(subject, 16); got != want {
			t.Errorf("%q is in partition %d, want %d", subject, got, want)
		}
	}
	if transport.PartitionOf("s._k.a", 0) != 0 || transport.PartitionOf("s._k.a", 1) != 0 {
		t.Error("PartitionOf without partitions is not 0")
	}
}

func TestEncodeText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 40).Draw(t, "limit")
		encoded := transport.EncodeText(s, limit)
		if len(encoded) > limit {
			t.Errorf("%q has %d bytes, want at most %d", encoded, len(encoded), limit)
		}
		if decoded := transport.DecodeText(encoded); !strings.HasPrefix(s, decoded) {
			t.Errorf("%q is not the beginning of %q", decoded, s)
		}
	})
}
