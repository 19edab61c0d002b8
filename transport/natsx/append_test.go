package natsx

import (
	"encoding/json"
	"fmt"
	"testing"
)

// An answer to an append may be anything. An answer that the parser reads as a plain sequence
// has the same sequence in JSON.
func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"l", "seq":12}`))
	f.Add([]byte(`{"stream":"l", "seq":12,"duplicate":true}`))
	f.Add([]byte(`{"error":{"code":400,"err_code":10071},"stream":"l","seq":0}`))
	f.Add([]byte(`{"stream":"\"seq\":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ack, err := parseAck(data)
		if seq, ok := plainSequence(data); ok && (err != nil || ack.Seq != seq || ack.Error != nil) {
			t.Errorf("%q: %+v, %v", data, ack, err)
		}
	})
}

// The partition of a subject is added and removed again.
func TestPartitionRoundTrip(t *testing.T) {
	t.Parallel()
	for subject, stored := range map[string]string{"a.k": "_partition.7.a.k", "a.b._to.g._k.k": "_partition.7.a.b._to.g._k.k", "a.*": "_partition.7.a.*"} {
		if got := addPartition("7", subject); got != stored || trimPartition(got) != subject {
			t.Errorf("%s is stored as %s and comes back as %s", subject, got, trimPartition(got))
		}
	}
	for _, subject := range []string{"a", "a.b", "a.b.c", "", "_partition", "_partition.1", "_partitions.1.k", "."} {
		if got := trimPartition(subject); got != subject {
			t.Errorf("%q became %q", subject, got)
		}
	}
}

func FuzzAcksAsTheServerWritesThem(f *testing.F) {
	f.Add("l", uint64(1))
	f.Fuzz(func(t *testing.T, stream string, seq uint64) {
		name, err := json.Marshal(stream)
		if err != nil {
			return
		}
		ack, err := parseAck(fmt.Appendf(nil, `{"stream":%s, "seq":%d}`, name, seq))
		if err != nil || ack.Seq != seq {
			t.Errorf("%q, %d: %+v, %v", stream, seq, ack, err)
		}
	})
}
