package natsx_test

import (
	"fmt"
	"strings"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
)

// An acknowledgement without a receiver (the consumer has no leader at that time) is answered with
// the status 503. It does not count as confirmed: the next message of the key waits until the
// acknowledgement has reached the server.
func TestAcknowledgementWithoutAReceiverIsNotConfirmed(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	const n = 4
	p := proxytest.NewStraying(t, strings.TrimPrefix(s.ClientURL(), "nats://"), "$JS.ACK.", n)
	group := transport.GroupConfig{Name: "g", Ordered: true}
	l := openLog(t, connect(t, "nats://"+p.Address()), transport.LogConfig{
		Name: "l", Subjects: []string{"l.*"}, Partitions: 1, Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{group},
	})
	for i := range n {
		appendTo(t, l, "l.key", fmt.Sprint(i), transport.AppendOptions{})
	}
	js := jetStream(t, connect(t, s.ClientURL()))
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: n})
	for i := range n {
		d := receive(t, deliveries)
		if string(d.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, d.Body)
		}
		pending := 0
		stream, err := js.Stream(t.Context(), "l")
		if err != nil {
			t.Fatal(err)
		}
		for is := range stream.ListConsumers(t.Context()).Info() {
			pending += is.NumAckPending + int(is.NumPending)
		}
		if pending != n-i {
			t.Errorf("message %d is handled while the server has %d unsettled messages, want %d", i, pending, n-i)
		}
		ack(t, d)
	}
	if left := p.Strays(); left > 0 {
		t.Errorf("%d acknowledgements were to go astray yet", left)
	}
}
