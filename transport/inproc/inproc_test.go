package inproc_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	const large = 2 << 20
	for _, c := range []struct {
		options inproc.Options
		limit   int
	}{
		{inproc.Options{}, 1 << 20},
		{inproc.Options{MaxPayload: 10}, 10},
		{inproc.Options{MaxPayload: large}, large},
		{inproc.Options{MaxPayload: -1}, 0},
	} {
		tr := inproc.New(c.options)
		defer tr.Close(t.Context())
		if got := tr.Capabilities(); got.Name != "inproc" || got.MaxPayload != c.limit {
			t.Errorf("%+v: got %+v", c.options, got)
		}
		err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: make([]byte, large)})
		if fits := c.limit == 0 || c.limit >= large; fits != (err == nil) || !fits && transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%+v: %d bytes got %v", c.options, large, err)
		}
	}
}

func TestTransportsShareNothing(t *testing.T) {
	t.Parallel()
	one, two := inproc.New(inproc.Options{}), inproc.New(inproc.Options{})
	defer one.Close(t.Context())
	defer two.Close(t.Context())
	subscribe(t, one, ">", func(m *transport.Message) { t.Errorf("%q came over", m.Subject) })
	if _, err := two.Request(t.Context(), &transport.Message{Subject: "a"}); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("got %v", err)
	}
}

// Hundreds of tests run at once, each with a Transport in a separate bubble. None
// observes anything of another.
func TestManyBubbles(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, oneBubble)
		})
	}
}

func oneBubble(t *testing.T) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(t.Context())
	subscribe(t, tr, "slow", func(m *transport.Message) {
		time.AfterFunc(time.Hour, func() {
			_ = tr.Publish(t.Context(), &transport.Message{Subject: m.Reply, Body: m.Body})
		})
	})
	for i := range 20 {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Duration(i%2*2-1)*time.Minute)
		reply, err := tr.Request(ctx, &transport.Message{Subject: "slow", Body: []byte{byte(i)}})
		cancel()
		switch took := time.Since(begun); {
		case i%2 == 0:
			if transport.CodeOf(err) != transport.DeadlineExceeded || took != 59*time.Minute {
				t.Errorf("request %d got %v, %v after %v", i, reply, err, took)
			}
		case err != nil || reply.Body[0] != byte(i) || took != time.Hour:
			t.Errorf("request %d got %v, %v after %v", i, reply, err, took)
		}
	}
}
