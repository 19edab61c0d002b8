package codec_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

// coder is a pair of functions to measure: a codec, or its basis.
type coder struct {
	name      string
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

func coders() []coder {
	return []coder{
		{"json/codec", codec.JSON.Marshal, codec.JSON.Unmarshal},
		{"json/encoding-json", json.Marshal, json.Unmarshal},
		{"msgpack/codec", codec.MessagePack.Marshal, codec.MessagePack.Unmarshal},
		{"msgpack/vmihailenco", libraryMarshal, libraryUnmarshal},
	}
}

// libraryMarshal is msgpack.Marshal with the settings of codec.MessagePack.
func libraryMarshal(v any) ([]byte, error) {
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	var buf bytes.Buffer
	enc.Reset(&buf)
	enc.SetSortMapKeys(true)
	enc.SetCustomStructTag("json")
	enc.UseCompactInts(true)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// libraryUnmarshal is msgpack.Unmarshal with the settings of codec.MessagePack.
func libraryUnmarshal(data []byte, v any) error {
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.UsePreallocateValues(true)
	dec.Reset(bytes.NewReader(data))
	dec.SetCustomStructTag("json")
	return dec.Decode(v)
}

func sampleOrder() *Order {
	return &Order{
		Base:   Base{ID: 42, Created: time.Unix(1700000000, 5).UTC()},
		Lines:  []Line{{"apples", 3}, {"pears", 4}, {"plums", 5}},
		ByName: map[string]*Line{"first": {"apples", 3}},
		Blob:   []byte("0123456789abcdef"), Price: 12.5, Rate: 0.25, Paid: true,
		Addr: netip.MustParseAddr("192.0.2.1"), Total: big.NewInt(1250),
		Wait: time.Second, ByNumber: map[int16]string{1: "one"},
	}
}

func BenchmarkMarshal(b *testing.B) {
	sent := sampleOrder()
	for _, c := range coders() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var data []byte
			for b.Loop() {
				var err error
				if data, err = c.marshal(sent); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data)), "bytes/msg")
			checkArrives(b, c, data, sent)
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	sent := sampleOrder()
	for _, c := range coders() {
		b.Run(c.name, func(b *testing.B) {
			data, err := c.marshal(sent)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var got Order
				if err := c.unmarshal(data, &got); err != nil || got.ID != sent.ID {
					b.Fatal(err, got.ID)
				}
			}
			checkArrives(b, c, data, sent)
		})
	}
}

func checkArrives(b *testing.B, c coder, data []byte, sent *Order) {
	b.Helper()
	var got Order
	if err := c.unmarshal(data, &got); err != nil {
		b.Fatal(err)
	}
	got.Created = got.Created.UTC()
	if !reflect.DeepEqual(&got, sent) {
		b.Fatalf("got %+v", got)
	}
}

// BenchmarkUnmarshalWithOptions measures the price of options, without an alias in the message and with
// three.
func BenchmarkUnmarshalWithOptions(b *testing.B) {
	aliases := codec.Aliases[Line]("sku", "article")
	for _, c := range []struct {
		name  string
		codec codec.Codec
	}{
		{"json/plain", codec.JSON}, {"json/aliases", codec.NewJSON(aliases)}, {"json/strict", codec.NewJSON(codec.DisallowUnknownFields())},
		{"msgpack/plain", codec.MessagePack}, {"msgpack/aliases", codec.NewMessagePack(aliases)}, {"msgpack/strict", codec.NewMessagePack(codec.DisallowUnknownFields())},
	} {
		sent := sampleOrder()
		data, err := c.codec.Marshal(sent)
		if err != nil {
			b.Fatal(err)
		}
		for name, data := range map[string][]byte{"current": data, "old": bytes.ReplaceAll(bytes.ReplaceAll(data, []byte(`"sku"`), []byte(`"article"`)), []byte("\xa3sku"), []byte("\xa7article"))} {
			if name == "old" && !strings.HasSuffix(c.name, "aliases") {
				continue
			}
			b.Run(c.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var got Order
					if err := c.codec.Unmarshal(data, &got); err != nil || got.Lines[2] != sent.Lines[2] {
						b.Fatal(err, got.Lines)
					}
				}
			})
		}
	}
}

// BenchmarkDeepest measures the cost of MaxDepth: a message nested to the limit, on a fresh
// stack each time.
func BenchmarkDeepest(b *testing.B) {
	for _, c := range []struct {
		name   string
		data   string
		target func() any
	}{
		{"any", strings.Repeat("\x91", codec.MaxDepth) + "\x00", func() any { return new(any) }},
		{"maps", strings.Repeat("\x81\xa1x", codec.MaxDepth) + "\x00", func() any { return new(any) }},
		{"list", strings.Repeat("\x81\xa4Next", codec.MaxDepth) + "\xc0", func() any { return new(List) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			data := []byte(c.data)
			b.ReportAllocs()
			for b.Loop() {
				done := make(chan error)
				go func() { done <- codec.MessagePack.Unmarshal(data, c.target()) }()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
