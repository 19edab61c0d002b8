package natsx_test

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
)

// A removal succeeds if its first answer is lost and the second one reports that there is
// nothing to remove. Without a lost answer, that report is an error.
func TestRemovalWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	var lose atomic.Pointer[string] // the type of an answer
	p := proxytest.NewLiar(t, strings.TrimPrefix(startServer(t, nil).ClientURL(), "nats://"), func(answer []byte) {
		kind := lose.Load()
		if kind == nil || !bytes.Contains(answer, []byte(*kind)) {
			return
		}
		if inbox := bytes.LastIndex(answer[:bytes.Index(answer, []byte(*kind))], []byte("MSG _INBOX.")); inbox >= 0 && lose.CompareAndSwap(kind, nil) {
			end := inbox + len("MSG ") + bytes.IndexByte(answer[inbox+len("MSG "):], ' ')
			answer[end-1] = '~' // an answer without a waiter
		}
	})
	l := openLog(t, connect(t, "nats://"+p.Address()), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{{Name: "g"}}})
	appendTo(t, l, "l", "a", transport.AppendOptions{})
	for kind, remove := range map[string]func() error{
		"stream_msg_delete_response": func() error { return l.Remove(t.Context(), 1) },
		"consumer_delete_response":   func() error { return l.DeleteGroup(t.Context(), "g") },
	} {
		lose.Store(&kind)
		if err := remove(); err != nil || lose.Load() != nil {
			t.Errorf("%s: %v; an answer was lost: %v", kind, err, lose.Load() == nil)
		}
		wantCode(t, remove(), transport.NotFound)
	}
}
