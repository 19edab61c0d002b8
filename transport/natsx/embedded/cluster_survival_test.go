package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/loopback"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// cluster is a cluster of three processes, with an account for each fact.
type cluster struct {
	dir    string
	urls   []string
	routes []string
	lives  []*process
}

func serverName(i int) string { return fmt.Sprintf("n%d", i) }

func account(fact int) string { return fmt.Sprintf("f%d", fact) }

func startCluster(t *testing.T) *cluster {
	c := &cluster{dir: t.TempDir(), lives: make([]*process, 3)}
	var accounts strings.Builder
	for i := range facts {
		fmt.Fprintf(&accounts, "%[1]s: { jetstream: enabled, users: [{user: %[1]s, password: x}] }\n", account(i))
	}
	text := "accounts {\n" + accounts.String() + "}\n"
	if err := os.WriteFile(filepath.Join(c.dir, "accounts.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.urls, c.routes = append(c.urls, loopback.Free(t)), append(c.routes, loopback.Free(t))
	}
	c.start(t, 0, 1, 2)
	return c
}

func (c *cluster) start(t *testing.T, which ...int) {
	for _, i := range which {
		routes := append([]string{c.routes[i]}, c.routes...)
		c.lives[i] = life(t, fact{name: "server"}, filepath.Join(c.dir, serverName(i)), c.urls[i], strings.Join(routes, " "))
	}
	for _, i := range which {
		c.lives[i].readLine(t)
	}
}

// open opens the log of a fact as a worker of its own.
func (c *cluster) open(t *testing.T, n, replicas int) (tr *natsx.Transport, l transport.Log, err error) {
	var urls []string
	for _, url := range c.urls {
		urls = append(urls, "nats://"+account(n)+":x@"+url)
	}
	err = retry(func() error {
		tr, err = natsx.Connect(t.Context(), natsx.Options{URLs: urls, Replicas: replicas, ReconnectWait: 10 * time.Millisecond, Logger: discard})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	err = retry(func() error {
		l, err = tr.Log(t.Context(), facts[n].config)
		return err
	})
	return tr, l, err
}

// lead lets a server lead a stream and its consumers.
func lead(ctx context.Context, tr *natsx.Transport, stream, server string) error {
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"placement": map[string]any{"preferred": server}})
	if err != nil {
		return err
	}
	return await(func() (bool, error) {
		led, err := leaders(ctx, js, stream)
		done := err == nil
		for subject, leader := range led {
			if leader != server {
				done = false
				_, _ = tr.Conn().Request("$JS.API."+subject, body, time.Second) // without an answer it is asked again
			}
		}
		return done, ctx.Err()
	})
}

// leaders returns the leaders of a stream and its consumers, by the subjects of the API
// that change them.
func leaders(ctx context.Context, js jetstream.JetStream, stream string) (map[string]string, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	led := map[string]string{"STREAM.LEADER.STEPDOWN." + stream: s.CachedInfo().Cluster.Leader}
	list := s.ListConsumers(ctx)
	for is := range list.Info() {
		led["CONSUMER.LEADER.STEPDOWN."+stream+"."+is.Name] = is.Cluster.Leader
	}
	return led, list.Err()
}

// clusterFailures are the columns of the table about clusters.
var clusterFailures = map[string]struct {
	replicas int
	servers  []int // that end
}{
	"three replicas, one server":  {3, []int{0}},
	"three replicas, all servers": {3, []int{0, 1, 2}},
	"one replica, all servers":    {1, []int{0, 1, 2}},
}

// outcome checks a fact on both sides of a failure. The first server leads its log if
// leads is set.
func (c *cluster) outcome(t *testing.T, n, replicas int, leads bool, before func(), failed <-chan struct{}) (string, error) {
	before = sync.OnceFunc(before)
	defer before()
	f := facts[n]
	tr, l, err := c.open(t, n, replicas)
	if err == nil && leads {
		err = lead(t.Context(), tr, f.config.Name, serverName(0))
	}
	if err != nil {
		return "", err
	}
	note, err := f.before(l)
	if err != nil {
		return "", err
	}
	if f.other {
		_ = tr.Close(context.Background())
	}
	before()
	<-failed
	if f.other {
		if _, l, err = c.open(t, n, replicas); err != nil {
			return "", err
		}
	}
	return f.after(l, note)
}

// The table about clusters in docs/durability.md is correct.
func TestWhatSurvivesInACluster(t *testing.T) {
	rows, columns := survivalTable(t, "clusters")
	for _, f := range facts {
		if rows[f.name] == nil {
			t.Errorf("the table has no row %q", f.name)
		}
	}
	if len(rows) != len(facts) {
		t.Errorf("the table has %d rows for %d facts", len(rows), len(facts))
	}
	for column, name := range columns {
		t.Run(name, func(t *testing.T) {
			failure, ok := clusterFailures[name]
			if !ok {
				t.Fatal("nothing checks the column")
			}
			c := startCluster(t)
			type result struct {
				outcome string
				err     error
			}
			results := make([]result, len(facts))
			var open sync.Map // names of the facts without a result
			failed := make(chan struct{})
			var before, after sync.WaitGroup
			for n, f := range facts {
				if cells := rows[f.name]; cells == nil || cells[column] == cannotHappen {
					continue
				}
				before.Add(1)
				open.Store(f.name, nil)
				after.Go(func() {
					defer open.Delete(f.name)
					outcome, err := c.outcome(t, n, failure.replicas, len(failure.servers) == 1, before.Done, failed)
					results[n] = result{outcome, err}
				})
			}
			before.Wait()
			for _, i := range failure.servers {
				c.lives[i].kill(t)
			}
			if len(failure.servers) == len(c.lives) {
				c.start(t, failure.servers...)
			}
			close(failed)
			done := make(chan struct{})
			go func() {
				after.Wait()
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(2 * time.Minute):
				open.Range(func(name, _ any) bool {
					t.Errorf("two minutes after the failure, nothing is known of %q", name)
					return true
				})
				return
			}
			for n, f := range facts {
				if cells := rows[f.name]; cells != nil && cells[column] != cannotHappen {
					t.Run(f.name, func(t *testing.T) { checkFact(t, f, cells[column], must(results[n].outcome, results[n].err)(t)) })
				}
			}
		})
	}
}
