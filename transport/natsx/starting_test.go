package natsx_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
)

// falsify changes the first answer of that kind to an error. It reports whether there is one.
func falsify(answer []byte, kind string, code jetstream.ErrorCode, description string) bool {
	_, rest, found := bytes.Cut(answer, []byte(kind+`",`))
	end := bytes.Index(rest, []byte("}\r\n"))
	failure := fmt.Sprintf(`"error":{"code":500,"err_code":%d,"description":%q}`, code, description)
	if !found || end < len(failure) || bytes.HasPrefix(rest, []byte(`"error"`)) {
		return false
	}
	copy(rest[copy(rest, failure):end], bytes.Repeat([]byte(" "), end))
	return true
}

// Errors of a cluster whose servers have just started pass: calls are repeated.
func TestErrorsOfAStartingClusterPass(t *testing.T) {
	t.Parallel()
	var answers atomic.Pointer[func([]byte)]
	p := proxytest.NewLiar(t, strings.TrimPrefix(startServer(t, nil).ClientURL(), "nats://"), func(answer []byte) {
		if alter := answers.Load(); alter != nil {
			(*alter)(answer)
		}
	})
	tr := connect(t, "nats://"+p.Address())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
	for _, c := range []struct {
		kind        string // of the answer
		code        jetstream.ErrorCode
		description string
		passes      bool
	}{
		{"stream_create_response", 10005, "no suitable peers for placement, peer offline", true},
		{"stream_create_response", 10005, "no suitable peers for placement", false},
		{"stream_create_response", 10008, "JetStream system temporarily unavailable", true},
		{"consumer_create_response", 10009, "JetStream cluster can not handle request", true},
		{"consumer_create_response", 10008, "JetStream system temporarily unavailable", true},
		{"consumer_info_response", 10119, "consumer is offline", true},
		{"stream_info_response", 10118, "stream is offline", true},
		{"stream_info_response", 10004, "incomplete results", true},
	} {
		if strings.Contains(c.kind, "create") {
			config.Name += "x"
			config.Subjects = []string{config.Name}
		} else {
			openLog(t, tr, config)
		}
		var told atomic.Int64
		alter := func(answer []byte) {
			if told.Load() < 3 && falsify(answer, c.kind, c.code, c.description) {
				told.Add(1)
			}
		}
		answers.Store(&alter)
		_, err := tr.Log(t.Context(), config)
		answers.Store(nil)
		if told.Load() == 0 {
			t.Errorf("no %s was changed", c.kind)
		}
		if !c.passes {
			wantCode(t, err, transport.ResourceExhausted, c.description, "Replicas")
		} else if err != nil {
			t.Errorf("%d in %s: %v", c.code, c.kind, err)
		}
	}
}
