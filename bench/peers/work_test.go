package peers

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	callers  = []int{1, 16, 256}
	payloads = []struct {
		name string
		size int
	}{{"64B", 64}, {"256B", 256}, {"4KiB", 4 << 10}, {"256KiB", 256 << 10}}
)

const (
	// Servers and clients of NATS buffer 64 MiB for a connection at most, and then drop it, or
	// messages. More than this is never under way.
	underWay = 32 << 20
	// A turn moves no more than this, so that stores stay small.
	mostBytes = 64 << 20
	// go-monolith handles batches of this size, and would wait for the rest of the last one. So all
	// numbers of messages are multiples of it.
	batch = 10
)

// BenchmarkCall is requests and their replies.
func BenchmarkCall(b *testing.B) {
	each(b, append(apart, joined...), func(b *testing.B, p peer, l link, size, callers int) *entrant {
		if p.call == nil {
			return nil
		}
		ask := p.call(b, l)
		return &entrant{turn: func(n int) time.Duration { return askAll(b, ask, size, callers, n) }}
	})
}

// BenchmarkEvent is events without a store, each counted when it was handled.
func BenchmarkEvent(b *testing.B) {
	each(b, append(apart, joined...), func(b *testing.B, p peer, l link, size, callers int) *entrant {
		if p.event == nil {
			return nil
		}
		// Senders are ahead of the receiver by at most a few strides, or buffers would overflow.
		most := min(max(8<<20/size, 16), 8192)
		r := newReceiver(b, size, max(most/(aheadStrides+1+callers), 1))
		send := p.event(b, l, r.handle)
		return &entrant{turn: func(n int) time.Duration {
			return r.all(callers, n, func(ctx context.Context, body []byte, i int) error {
				r.waitFor(i)
				return send(ctx, body)
			})
		}}
	})
}

// BenchmarkQueue is jobs: stored, handled, acknowledged and gone. Its time ends when the last one is
// handled.
func BenchmarkQueue(b *testing.B) {
	stored(b, func(p peer) func(*testing.B, link, handler) work { return p.queue })
}

// BenchmarkStream is messages of a history: stored, handled and acknowledged.
func BenchmarkStream(b *testing.B) {
	stored(b, func(p peer) func(*testing.B, link, handler) work { return p.stream })
}

func stored(b *testing.B, kind func(peer) func(*testing.B, link, handler) work) {
	each(b, joined, func(b *testing.B, p peer, l link, size, callers int) *entrant {
		open := kind(p)
		if open == nil {
			return nil
		}
		r := newReceiver(b, size, 0)
		w := open(b, l, r.handle)
		return &entrant{settle: w.idle, turn: func(n int) time.Duration {
			return r.all(callers, n, func(ctx context.Context, body []byte, _ int) error { return w.append(ctx, body) })
		}}
	})
}

// each is a contest of all peers for each link, payload and number of callers. Open returns nil if a
// peer does not have this kind of work.
func each(b *testing.B, links []link, open func(b *testing.B, p peer, l link, size, callers int) *entrant) {
	for _, l := range links {
		for _, payload := range payloads {
			for _, n := range callers {
				if payload.size*n > underWay {
					continue
				}
				b.Run(l.name+"/"+payload.name+"/"+strconv.Itoa(n), func(b *testing.B) {
					var entrants []*entrant
					for _, p := range peers {
						if p.joined && !l.joined {
							continue
						}
						if e := open(b, p, l, payload.size, n); e != nil {
							e.name = p.name
							entrants = append(entrants, e)
						}
					}
					contest(b, (n+batch-1)/batch*batch, mostBytes/payload.size, entrants)
				})
			}
		}
	}
}

// askAll lets callers make n requests together.
func askAll(b *testing.B, ask call, size, callers, n int) time.Duration {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	return together(callers, n, func() func(i int) bool {
		body := make([]byte, size)
		return func(i int) bool {
			mark(body, i)
			reply, err := ask(ctx, body)
			if err != nil || len(reply) != size || number(reply) != i {
				b.Errorf("request %d: %d bytes, %v", i, len(reply), err)
				return false
			}
			return true
		}
	})
}

// together divides n operations among callers, and returns the time of all. Open returns the
// operation of one caller, which returns false to end.
func together(callers, n int, open func() func(i int) bool) time.Duration {
	var wait sync.WaitGroup
	began := time.Now()
	for c := range callers {
		wait.Go(func() {
			do := open()
			for i := c; i < n && do(i); i += callers {
			}
		})
	}
	wait.Wait()
	return time.Since(began)
}

// aheadStrides is the number of strides that are sent before one has to be handled.
const aheadStrides = 7

// receiver counts and checks messages.
type receiver struct {
	b      *testing.B
	size   int
	stride int
	ahead  chan struct{} // holds one for each stride under way

	want, seen, sum atomic.Int64
	done            chan struct{}
}

func newReceiver(b *testing.B, size, stride int) *receiver {
	return &receiver{b: b, size: size, stride: stride, ahead: make(chan struct{}, aheadStrides), done: make(chan struct{}, 1)}
}

func (r *receiver) handle(body []byte) {
	if len(body) != r.size {
		r.b.Errorf("a message has %d bytes, want %d", len(body), r.size)
		return
	}
	r.sum.Add(int64(number(body)))
	seen := r.seen.Add(1)
	if r.stride > 0 && seen%int64(r.stride) == 0 {
		<-r.ahead
	}
	if seen == r.want.Load() {
		r.done <- struct{}{}
	}
}

// waitFor waits until message i may be sent.
func (r *receiver) waitFor(i int) {
	if i%r.stride == 0 {
		r.ahead <- struct{}{}
	}
}

// all lets callers send n messages, waits until they are handled, and returns the time of both.
func (r *receiver) all(callers, n int, send func(ctx context.Context, body []byte, i int) error) time.Duration {
	r.seen.Store(0)
	r.sum.Store(0)
	r.want.Store(int64(n))
	ctx := r.b.Context()
	took := together(callers, n, func() func(i int) bool {
		body := make([]byte, r.size)
		return func(i int) bool {
			mark(body, i)
			if err := send(ctx, body, i); err != nil {
				r.b.Errorf("message %d: %v", i, err)
				return false
			}
			return true
		}
	})
	began := time.Now()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.b.Fatalf("%d of %d messages were handled", r.seen.Load(), n)
	}
	took += time.Since(began)
	if sum := r.sum.Load(); sum != int64(n)*int64(n-1)/2 {
		r.b.Errorf("the numbers of %d messages have the sum %d", n, sum)
	}
	for len(r.ahead) > 0 { // of the last stride, if it is not full
		<-r.ahead
	}
	return took
}

// mark writes a number into a message.
func mark(body []byte, i int) {
	body[0], body[1], body[2], body[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
}

func number(body []byte) int {
	return int(body[0]) | int(body[1])<<8 | int(body[2])<<16 | int(body[3])<<24
}
