package natsx

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// readMetadata reads the metadata in the reply subject of a stream's message. It does the
// same as [nats.Msg.Metadata], which needs two allocations and still reads uncommon forms.
func readMetadata(about *nats.MsgMetadata, msg *nats.Msg) error {
	if readAckSubject(about, msg.Reply) {
		return nil
	}
	read, err := msg.Metadata()
	if err != nil {
		return err
	}
	*about = *read
	return nil
}

// readAckSubject reads "$JS.ACK.<stream>.<consumer>.<deliveries>.<stream
// sequence>.<consumer sequence>.<nanoseconds>.<pending>".
func readAckSubject(about *nats.MsgMetadata, reply string) bool {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok || strings.Count(rest, ".") != 6 {
		return false
	}
	about.Domain = ""
	about.Stream, rest, _ = strings.Cut(rest, ".")
	about.Consumer, rest, _ = strings.Cut(rest, ".")
	var at uint64
	for _, n := range []*uint64{&about.NumDelivered, &about.Sequence.Stream, &about.Sequence.Consumer, &at, &about.NumPending} {
		var text string
		var err error
		text, rest, _ = strings.Cut(rest, ".")
		if *n, err = strconv.ParseUint(text, 10, 63); err != nil {
			return false
		}
	}
	about.Timestamp = time.Unix(0, int64(at))
	return true
}
