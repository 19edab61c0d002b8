package natsx_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// wanted returns a log with interest retention and one group.
func wanted(change func(*transport.LogConfig)) transport.LogConfig {
	c := transport.LogConfig{
		Name: "l", Subjects: []string{"l.*"}, Retention: transport.InterestRetention, Storage: transport.MemoryStorage,
		Groups: []transport.GroupConfig{group},
	}
	if change != nil {
		change(&c)
	}
	return c
}

var group = transport.GroupConfig{Name: "g"}

// removeConsumer deletes consumers with the stock client.
func removeConsumer(t *testing.T, js jetstream.JetStream, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := js.DeleteConsumer(t.Context(), "l", name); err != nil {
			t.Fatal(err)
		}
	}
}

// consumerNames lists the durable consumers of the log.
func consumerNames(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	s, err := js.Stream(t.Context(), "l")
	if err != nil {
		t.Fatal(err)
	}
	list := s.ListConsumers(t.Context())
	for c := range list.Info() {
		if c.Config.Durable != "" {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// eventuallyStores appends until a message is stored. The log may have no leader for a while.
func eventuallyStores(t *testing.T, l transport.Log) {
	t.Helper()
	eventually(t, "an append is stored", func() bool {
		before := stored(t, l)
		_, err := l.Append(t.Context(), &transport.Message{Subject: "l.a", Body: []byte("x")}, transport.AppendOptions{})
		if err != nil && transport.CodeOf(err) != transport.Unavailable {
			t.Fatal(err)
		}
		return err == nil && stored(t, l) > before
	})
}

// creation returns the time at which the consumer of the group was created, or the zero
// time if the server does not find it.
func creation(t *testing.T, js jetstream.JetStream) time.Time {
	t.Helper()
	c, err := js.Consumer(t.Context(), "l", "g")
	if err != nil {
		return time.Time{}
	}
	return c.CachedInfo().Created
}

func stored(t *testing.T, l transport.Log) uint64 {
	t.Helper()
	info, err := l.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Messages
}

// delivers fails the test unless the group gets all messages that are appended now.
func delivers(t *testing.T, l transport.Log, g transport.GroupConfig) {
	t.Helper()
	const n = 20
	round := fmt.Sprint(rounds.Add(1))
	for i := range n {
		appendTo(t, l, fmt.Sprintf("l.%d", i), round, transport.AppendOptions{})
	}
	deliveries, r := consume(t, l, transport.ConsumeConfig{Group: g, MaxInFlight: 10})
	defer r.Close()
	for got := 0; got < n; {
		d := receive(t, deliveries)
		if string(d.Body) == round {
			got++
		}
		ack(t, d)
	}
}

var rounds atomic.Int64

// A process without receivers recreates a deleted group.
func TestDeletedGroupIsRecreated(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := jetStream(t, connect(t, s.ClientURL()))
	l := openLog(t, connect(t, s.ClientURL()), wanted(nil))
	delivers(t, l, group)
	for range 3 {
		removeConsumer(t, js, "g")
		eventually(t, "the group is recreated", func() bool { return len(consumerNames(t, js)) == 1 })
		delivers(t, l, group)
	}
}

// An ordered group is recreated if only some of its consumers are deleted.
func TestDeletedPartsOfAGroupAreRecreated(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := jetStream(t, connect(t, s.ClientURL()))
	l := openLog(t, connect(t, s.ClientURL()), wanted(func(c *transport.LogConfig) {
		c.Partitions, c.Groups[0].Ordered = 4, true
	}))
	all := consumerNames(t, js)
	removeConsumer(t, js, all[1], all[3])
	eventually(t, "the group is whole again", func() bool { return slices.Equal(consumerNames(t, js), all) })
	delivers(t, l, transport.GroupConfig{Name: "g", Ordered: true})
}

// In a cluster a recreated group is used after all servers know it.
func TestDeletedGroupIsRecreatedInACluster(t *testing.T) {
	t.Parallel()
	servers := clustertest.NewLagging(t, 50*time.Millisecond)
	var transports []*natsx.Transport
	for _, s := range servers {
		transports = append(transports, connect(t, s.ClientURL()))
	}
	js := jetStream(t, transports[0])
	l := openLog(t, transports[1], wanted(nil))
	eventuallyStores(t, l)
	for range 3 {
		before := creation(t, js)
		removeConsumer(t, js, "g")
		// A server that does not know of the deletion stores appends for the deleted group,
		// and then removes them.
		eventually(t, "the group is recreated", func() bool { return creation(t, js).After(before) })
		eventuallyStores(t, l)
		delivers(t, l, group)
	}
}

// The deletion of a group ends its members although the group is recreated. A member that
// waits for its handler, and has no request at the server, ends too.
func TestMemberOfARecreatedGroupEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := jetStream(t, connect(t, s.ClientURL()))
	l := openLog(t, connect(t, s.ClientURL()), wanted(nil))
	for _, busy := range []bool{false, true, false, true} {
		ended := make(chan error, 1)
		deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, OnEnd: func(err error) { ended <- err }})
		if busy {
			appendTo(t, l, "l.a", "held", transport.AppendOptions{})
			receive(t, deliveries)
		}
		removeConsumer(t, js, "g")
		wantCode(t, receive(t, ended), transport.NotFound, `"g"`, "deleted")
	}
}

// A group that is deleted during a loss of the connection is recreated after it.
func TestGroupDeletedWhileDisconnectedIsRecreated(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := proxytest.New(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
	js := jetStream(t, connect(t, s.ClientURL()))
	l := openLog(t, connect(t, "nats://"+p.Address()), wanted(nil))
	ended := make(chan error, 1)
	consume(t, l, transport.ConsumeConfig{Group: group, OnEnd: func(err error) { ended <- err }})
	p.Cut()
	removeConsumer(t, js, "g")
	p.Mend()
	eventually(t, "the group is recreated", func() bool { return len(consumerNames(t, js)) == 1 })
	wantCode(t, receive(t, ended), transport.NotFound)
	delivers(t, l, group)
}

// The replacement of a group during a loss of the connection ends its members.
func TestGroupReplacedWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := proxytest.New(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
	admin := connect(t, s.ClientURL())
	config := wanted(func(c *transport.LogConfig) { c.Retention = transport.LimitsRetention })
	l := openLog(t, connect(t, "nats://"+p.Address()), config)
	ended := make(chan error, 1)
	consume(t, l, transport.ConsumeConfig{Group: group, OnEnd: func(err error) { ended <- err }})
	p.Cut()
	removeConsumer(t, jetStream(t, admin), "g")
	openLog(t, admin, config)
	p.Mend()
	wantCode(t, receive(t, ended), transport.NotFound)
}

// withoutAdvisories starts a server that denies advisories to its user u.
func withoutAdvisories(t *testing.T) *embedded.Server {
	config := writeFile(t, `authorization { users: [ {user: u, password: p, permissions: { subscribe: {deny: "$JS.EVENT.>"} } }, {user: a, password: a} ] }`)
	return startServer(t, func(o *embedded.Options) { o.ConfigFile = config })
}

// Without permission for advisories, appends check the groups, and a warning appears once.
func TestDeletedGroupIsRecreatedWithoutAdvisories(t *testing.T) {
	t.Parallel()
	url := withoutAdvisories(t).ClientURL()
	var log lockedBuffer
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, User: "u", Password: "p", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	js := jetStream(t, connect(t, strings.Replace(url, "://", "://a:a@", 1)))
	openLog(t, tr, wanted(func(c *transport.LogConfig) { c.Name, c.Subjects = "m", []string{"m"} }))
	l := openLog(t, tr, wanted(nil))
	delivers(t, l, group)
	removeConsumer(t, js, "g")
	eventuallyStores(t, l)
	delivers(t, l, group)
	eventually(t, "the log has advice", func() bool {
		return strings.Contains(log.String(), "allow the account to subscribe to $JS.EVENT.ADVISORY.CONSUMER.DELETED.>")
	})
	if n := strings.Count(log.String(), "denied"); n != 1 {
		t.Errorf("the warning appears %d times in\n%s", n, log.String())
	}
	if n := strings.Count(log.String(), "recreated"); n != 1 || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log is\n%s", log.String())
	}
}

// Appends wait for the recreation of a group that this Transport deleted, also without advisories.
func TestGroupDeletedByItsTransportIsRecreated(t *testing.T) {
	t.Parallel()
	url := strings.Replace(withoutAdvisories(t).ClientURL(), "://", "://u:p@", 1)
	ordered := transport.GroupConfig{Name: "g", Ordered: true}
	l := openLog(t, connect(t, url), wanted(func(c *transport.LogConfig) { c.Partitions, c.Groups[0] = 4, ordered }))
	for range 5 {
		if err := l.DeleteGroup(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		delivers(t, l, ordered)
	}
}

// Appends fail while a deleted group cannot be recreated, and then succeed again.
func TestAppendFailsWhileADeletedGroupIsMissing(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	var log lockedBuffer
	tr := inProcess(t, func(o *natsx.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Consumer = func(_, _ string, c *jetstream.ConsumerConfig) {
			if refuses.Load() {
				c.MaxDeliver = 1
			}
		}
	})
	l := openLog(t, tr, wanted(nil))
	refuses.Store(true)
	removeConsumer(t, jetStream(t, tr), "g")
	var failure error
	eventually(t, "an append fails", func() bool {
		_, failure = l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{})
		return failure != nil
	})
	wantCode(t, failure, transport.Unavailable, `"l"`, "deleted", "MaxDeliver")
	if outcome(failure) != transport.OutcomeNotDone {
		t.Errorf("the outcome of %v is %v", failure, outcome(failure))
	}
	refuses.Store(false)
	eventually(t, "appends are taken", func() bool {
		_, err := l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{})
		return err == nil
	})
	delivers(t, l, group)
	if n := strings.Count(log.String(), "cannot be recreated"); n != 1 {
		t.Errorf("the failure appears %d times in\n%s", n, log.String())
	}
}

// Delayed messages arrive although the consumer that moves them is deleted.
func TestDeletedConsumerOfDelayedMessagesIsRecreated(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := jetStream(t, connect(t, s.ClientURL()))
	for _, retention := range []transport.Retention{transport.InterestRetention, transport.LimitsRetention} {
		tr := connect(t, s.ClientURL())
		l := openLog(t, tr, wanted(func(c *transport.LogConfig) { c.Delays, c.Retention = true, retention }))
		deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 10})
		if err := js.DeleteConsumer(t.Context(), "l__later", "source"); err != nil {
			t.Fatal(err)
		}
		appendTo(t, l, "l.a", "later", transport.AppendOptions{NotBefore: time.Now().Add(100 * time.Millisecond)})
		if d := receive(t, deliveries); string(d.Body) != "later" {
			t.Errorf("got %q", d.Body)
		}
		if err := tr.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, stream := range []string{"l", "l__later"} {
			if err := js.DeleteStream(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A deleted log is not recreated: appends fail.
func TestDeletedLogIsNotRecreated(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	js := jetStream(t, tr)
	l := openLog(t, tr, wanted(nil))
	if err := js.DeleteStream(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{})
		wantCode(t, err, transport.NotFound)
	}
}

// A closed Transport recreates no group, and logs nothing.
func TestClosedTransportRecreatesNoGroup(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	js := jetStream(t, connect(t, s.ClientURL()))
	for range 20 {
		var log lockedBuffer
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		openLog(t, tr, wanted(nil))
		removeConsumer(t, js, "g") // its recreation may coincide with the Close
		if err := tr.Close(t.Context()); err != nil {
			t.Error(err)
		}
		logged := log.String()
		eventually(t, "the server has seen the last request", func() bool { return len(connections(t, s)) == 1 })
		_ = js.DeleteConsumer(t.Context(), "l", "g")
		if names := consumerNames(t, js); len(names) > 0 {
			t.Fatalf("the groups %q exist", names)
		}
		if log.String() != logged {
			t.Errorf("the log after Close:\n%s", strings.TrimPrefix(log.String(), logged))
		}
	}
}
