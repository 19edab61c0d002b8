package natsx_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/natsx"
)

// A server of a cluster may lag behind removals, but never behind appends. Each round creates
// states that any server may have. One of the servers always lags.
func TestLaggingReplica(t *testing.T) {
	t.Parallel()
	servers := clustertest.NewLagging(t, 50*time.Millisecond)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{servers[0].ClientURL()}, Replicas: 3, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	kinds := map[string]func(*lagging) error{
		"reads":  (*lagging).readsAll,
		"begins": (*lagging).startsExactly,
		"owes":   (*lagging).owes,
		"keeps":  (*lagging).keeps,
	}
	const each = 6
	rounds := &realtime.Rounds{Stall: leaderless}
	var wg sync.WaitGroup
	var logs atomic.Int64
	for what, holds := range kinds {
		for range each {
			wg.Go(func() {
				if err := rounds.Try(t, func() error {
					name := fmt.Sprint(what, logs.Add(1))
					return holds(&lagging{ctx: realtime.Patient(t), tr: tr, config: transport.LogConfig{Name: name}})
				}); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
	}
	wg.Wait()
}

// leaderless is a stall after which members of a cluster may choose another leader: the
// leader contacts them once a second.
const leaderless = time.Second

// lagging is a log of which one server lags behind.
type lagging struct {
	transport.Log
	ctx    context.Context
	tr     transport.Transport
	config transport.LogConfig
}

func (l *lagging) open() (err error) {
	l.config.Subjects = []string{l.config.Name}
	l.Log, err = l.tr.Log(l.ctx, l.config)
	return err
}

// put appends when the server of this connection knows the leader of the log.
func (l *lagging) put(bodies ...string) error {
	for _, body := range bodies {
		_, err := l.Append(l.ctx, &transport.Message{Subject: l.config.Name, Body: []byte(body)}, transport.AppendOptions{})
		for transport.CodeOf(err) == transport.Unavailable && l.ctx.Err() == nil {
			_, err = l.Append(l.ctx, &transport.Message{Subject: l.config.Name, Body: []byte(body)}, transport.AppendOptions{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wants fails unless a Read yields these messages. Removed messages may be among them.
func (l *lagging) wants(removed []string, bodies ...string) error {
	var got []string
	for d, err := range l.Read(l.ctx, transport.ReadConfig{}) {
		if err != nil {
			return err
		}
		if body := string(d.Body); !slices.Contains(removed, body) {
			got = append(got, body)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(bodies) {
		return fmt.Errorf("read %v, want %v", got, bodies)
	}
	return nil
}

func (l *lagging) readsAll() error {
	if err := l.open(); err != nil {
		return err
	}
	for last := range uint64(3) { // the last stored message is removed
		if err := l.put("stays", "goes"); err != nil {
			return err
		}
		if err := l.Remove(l.ctx, 2*last+2); err != nil {
			return err
		}
		if err := l.wants([]string{"goes"}, []string{"stays", "stays", "stays"}[:last+1]...); err != nil {
			return err
		}
	}
	return nil
}

// begins fails unless the first delivery to a group is this message.
func (l *lagging) begins(g transport.GroupConfig, meanwhile, body string) error {
	got := make(chan *transport.Delivery, 10)
	r, err := l.Consume(l.ctx, transport.ConsumeConfig{Group: g}, transport.Serial(func(d *transport.Delivery) { got <- d }))
	if err != nil {
		return err
	}
	defer r.Close()
	if err := l.put(meanwhile); err != nil {
		return err
	}
	select {
	case d := <-got:
		if string(d.Body) != body {
			return fmt.Errorf("group %s begins with %q, want %q", g.Name, d.Body, body)
		}
		return d.Ack(l.ctx)
	case <-l.ctx.Done():
		return fmt.Errorf("group %s gets nothing, want %q", g.Name, body)
	}
}

func (l *lagging) startsExactly() error {
	if err := l.open(); err != nil {
		return err
	}
	if err := l.put("0", "1"); err != nil {
		return err
	}
	<-time.After(2 * time.Millisecond)
	middle := time.Now()
	if err := l.put("2", "3"); err != nil {
		return err
	}
	if err := l.begins(transport.GroupConfig{Name: "time", Start: transport.Start{Time: middle}}, "4", "2"); err != nil {
		return err
	}
	if err := l.begins(transport.GroupConfig{Name: "new", Start: transport.Start{New: true}, Update: true}, "5", "5"); err != nil {
		return err
	}
	groups, err := l.Groups(l.ctx)
	if err != nil || len(groups) != 2 || !groups[0].Config.Start.New || !groups[1].Config.Start.Time.Equal(middle) {
		return fmt.Errorf("the groups are %+v, %v", groups, err)
	}
	return nil
}

func (l *lagging) owes() error {
	l.config.Retention, l.config.Groups = transport.InterestRetention, []transport.GroupConfig{{Name: "g"}}
	if err := l.open(); err != nil {
		return err
	}
	if err := l.put("0"); err != nil {
		return err
	}
	if err := l.wants(nil, "0"); err != nil {
		return err
	}
	return l.begins(transport.GroupConfig{Name: "g"}, "1", "0")
}

func (l *lagging) keeps() error {
	if err := l.open(); err != nil {
		return err
	}
	if err := l.put("0", "1", "2", "goes"); err != nil {
		return err
	}
	if err := l.Remove(l.ctx, 4); err != nil {
		return err
	}
	if n, err := l.Purge(l.ctx, transport.PurgeConfig{Before: 5, Keep: 2}); err != nil || n != 1 {
		return fmt.Errorf("purged %d, %v", n, err)
	}
	return l.wants([]string{"0", "goes"}, "1", "2")
}
