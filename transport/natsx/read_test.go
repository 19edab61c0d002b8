package natsx_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
)

func TestReadOfBothRetentions(t *testing.T) {
	t.Parallel()
	for _, retention := range []transport.Retention{transport.LimitsRetention, transport.InterestRetention} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			tr := inProcess(t, nil)
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}}})
			if got := read(t, l, transport.ReadConfig{}); len(got) > 0 {
				t.Errorf("an empty one: %v", got)
			}
			var middle time.Time
			for i := range 9 {
				if i == 5 {
					middle = time.Now()
				}
				appendTo(t, l, fmt.Sprint("l.", i%3), fmt.Sprint(i), transport.AppendOptions{})
			}
			if err := l.Remove(t.Context(), 2); err != nil {
				t.Error(err)
			}
			wantCode(t, l.Remove(t.Context(), 2), transport.NotFound)
			for want, r := range map[string]transport.ReadConfig{
				"[0 2 3 4 5 6 7 8]": {},
				"[5 6 7 8]":         {Start: transport.Start{Time: middle}},
				"[6 7 8]":           {Start: transport.Start{LastPerSubject: true}},
				"[2 3 5 6 8]":       {Start: transport.Start{Sequence: 2}, Filter: []string{"l.0", "l.2"}},
				"[]":                {Start: transport.Start{New: true}},
			} {
				if got := fmt.Sprint(read(t, l, r)); got != want {
					t.Errorf("%+v: %v, want %s", r, got, want)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []string
			for d, err := range l.Read(ctx, transport.ReadConfig{Start: transport.Start{Sequence: 9}, Follow: true}) {
				if err != nil {
					t.Error(err)
					break
				}
				if got = append(got, string(d.Body)); len(got) == 1 {
					appendTo(t, l, "l.0", "9", transport.AppendOptions{})
				} else {
					cancel()
				}
			}
			if fmt.Sprint(got) != "[8 9]" {
				t.Errorf("followed %v", got)
			}
			s, err := jetStream(t, tr).Stream(t.Context(), "l")
			if err != nil || s.CachedInfo().State.Consumers != 1 {
				t.Errorf("readers leave %d consumers, %v", s.CachedInfo().State.Consumers-1, err)
			}
			if n, err := l.Purge(t.Context(), transport.PurgeConfig{Before: 8, Keep: 2}); err != nil || n != 4 {
				t.Errorf("purged %d, %v", n, err)
			}
			if got := fmt.Sprint(read(t, l, transport.ReadConfig{})); got != "[5 6 7 8 9]" {
				t.Errorf("left %v", got)
			}
			info, err := l.Info(t.Context())
			if err != nil || info.First != 6 || info.Last != 10 || info.Messages != 5 {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}

// A reader of new messages that has read nothing misses none if its connection is lost.
func TestFollowNewWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := proxytest.New(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
	admin, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	tr := connect(t, "nats://"+p.Address())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Storage: transport.MemoryStorage}
	l, there := openLog(t, tr, config), openLog(t, admin, config)
	appendTo(t, there, "l", "old", transport.AppendOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 10)
	go func() {
		for d, err := range l.Read(ctx, transport.ReadConfig{Start: transport.Start{New: true}, Follow: true}) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- string(d.Body)
		}
	}()
	stream, err := jetStream(t, admin).Stream(t.Context(), "l")
	if err != nil {
		t.Fatal(err)
	}
	consumers := func() int {
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Consumers
	}
	eventually(t, "the reader's consumer to exist", func() bool { return consumers() == 1 })
	p.Cut()
	eventually(t, "the connection to be lost", func() bool { return tr.Ping(t.Context()) != nil })
	appendTo(t, there, "l", "away", transport.AppendOptions{})
	p.Mend()
	appendTo(t, there, "l", "back", transport.AppendOptions{})
	if first, second := receive(t, got), receive(t, got); first != "away" || second != "back" {
		t.Errorf("got %q and %q", first, second)
	}
}

// A reader ends when the messages that it had yet to read are removed.
func TestReadDuringAPurge(t *testing.T) {
	t.Parallel()
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	const n = 2000 // more than a reader requests at once
	appended := make(chan error, n)
	for range n {
		if err := l.AppendAsync(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}, func(_ transport.Appended, err error) { appended <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := receive(t, appended); err != nil {
			t.Fatal(err)
		}
	}
	ctx := realtime.Patient(t)
	got := 0
	for _, err := range l.Read(ctx, transport.ReadConfig{}) {
		if err != nil {
			t.Fatalf("after %d messages: %v", got, err)
		}
		if got++; got == 1 {
			if _, err := l.Purge(ctx, transport.PurgeConfig{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got == n {
		t.Error("nothing was purged in time")
	}
}

// LastPerSubject reads a message of each subject that has one, also if it is replaced all the time.
func TestReadLastBesideAppends(t *testing.T) {
	t.Parallel()
	for _, retention := range []transport.Retention{transport.LimitsRetention, transport.InterestRetention} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			tr := inProcess(t, nil)
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}}})
			appendTo(t, l, "l.a", "0", transport.AppendOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for i := 1; ctx.Err() == nil; i++ {
					if _, err := l.Append(ctx, &transport.Message{Subject: "l.a", Body: []byte(fmt.Sprint(i))}, transport.AppendOptions{}); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			}()
			for range 50 {
				if got := read(t, l, transport.ReadConfig{Start: transport.Start{LastPerSubject: true}}); len(got) == 0 {
					t.Error("nothing was read")
					break
				}
			}
			cancel()
			<-ended
		})
	}
}
