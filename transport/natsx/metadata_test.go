package natsx

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// readMetadata reads the same metadata from a reply subject as nats.go.
func FuzzReadMetadata(f *testing.F) {
	f.Add("$JS.ACK.s.c.1.2.3.4.5")
	f.Add("$JS.ACK.hub.account.s.c.1.2.3.4.5.token")
	f.Add("$JS.ACK.hub.account.s.c.1.2.3.4.5")
	f.Add("$JS.ACK.s.c.1.2.3.4")
	f.Add("$JS.ACK.s.c.1.x.3.4.5")
	f.Add("$JS.ACK..c.01.2.3.99999999999999999999.5")
	f.Add("_INBOX.a.b")
	f.Add("")
	f.Fuzz(func(t *testing.T, reply string) {
		msg := &nats.Msg{Reply: reply, Sub: new(nats.Subscription)}
		want, wantErr := msg.Metadata()
		var got nats.MsgMetadata
		err := readMetadata(&got, msg)
		if (err != nil) != (wantErr != nil) || err == nil && got != *want {
			t.Errorf("%q: %+v, %v; nats.go reads %+v, %v", reply, got, err, want, wantErr)
		}
	})
}
