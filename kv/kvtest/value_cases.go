package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// item is a value with fields.
type item struct {
	Name string
	Size int
	Tags map[string][]string
}

var full = item{Name: "näme\x00", Size: math.MaxInt, Tags: map[string][]string{"a": {"1", ""}, "b": nil}}

// fussy is a codec that fails for some values.
type fussy struct{ codec.Codec }

func (fussy) ContentType() string { return "text/fussy" }

func (fussy) Marshal(v any) ([]byte, error) { return fussyText(*v.(*string)) }

func (fussy) Unmarshal(data []byte, v any) (err error) {
	data, err = fussyText(string(data))
	*v.(*string) = string(data)
	return err
}

func (fussy) CheckType(any) error { return nil }

func fussyText(text string) ([]byte, error) {
	switch text {
	case "panic":
		panic("at the codec")
	case "error":
		return nil, errors.New("fussy")
	}
	return []byte(text), nil
}

var valueCases = []testCase{
	{
		name: "value/codecs", contract: "Codec sets the codec of new values.",
		rule: "Structs are stored and read by JSON, MessagePack and Raw alike.",
		body: func(s *suite) {
			for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
				b := connectAs[item](s, s.tr, s.name(), kv.Codec(c))
				_, err := b.Put(s.patient(), "a", full)
				s.must(err)
				e, err := b.Get(s.patient(), "a")
				s.must(err)
				wantEqual(s, c.ContentType(), fmt.Sprintf("%+v", e.Value), fmt.Sprintf("%+v", full))
			}
			b := connectAs[[]byte](s, s.tr, s.name(), kv.Codec(codec.Raw))
			for _, value := range [][]byte{{}, {0, 255}, []byte("{"), bytes.Repeat([]byte{7}, 50_000)} {
				_, err := b.Put(s.patient(), "a", value)
				s.must(err)
				e, err := b.Get(s.patient(), "a")
				s.must(err)
				if !bytes.Equal(e.Value, value) {
					s.Errorf("got %d bytes, want %d", len(e.Value), len(value))
				}
			}
		},
	},
	{
		name: "value/format", contract: "Buckets have NATS's standard format (ADR-8), so that the nats command and clients in other languages read and write the same values.",
		rule: "A value of a JSON bucket is stored as JSON without a content type; another codec is named.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "é")
			b.wantRaw("a", `"é"`)
			r, err := s.foreign(b.name).Get(s.patient(), "a", 0, true)
			s.must(err)
			wantEqual(s, "the content type", r.Header.Get(transport.HeaderContentType), "")
			packed := &bucket{connectAs[string](s, s.tr, s.name(), kv.Codec(codec.MessagePack)), s, ""}
			packed.put("a", "1")
			r, err = s.foreign(packed.Name()).Get(s.patient(), "a", 0, true)
			s.must(err)
			wantEqual(s, "the content type", r.Header.Get(transport.HeaderContentType), codec.MessagePack.ContentType())
		},
	},
	{
		name: "value/others", contract: "Values that are in the bucket keep theirs.",
		rule: "JSON that other programs wrote is read in a bucket with another codec, with and without a content type.",
		body: func(s *suite) {
			name := s.name()
			b := &bucket{connectAs[string](s, s.tr, name, kv.Codec(codec.MessagePack)), s, name}
			b.put("own", "1")
			b.putRaw("plain", `"1"`)
			b.putRaw("json", ` "1"`, transport.Field{Name: transport.HeaderContentType, Value: "Application/JSON; charset=utf-8"})
			b.wantList("json=1 own=1 plain=1")
			w := b.watch()
			w.want("own=1", "plain=1", "json=1", "current")
		},
	},
	{
		name: "value/undecodable", contract: "The value can still be read with [KeyValue.Raw].",
		rule: "Malformed values, and those of an unknown codec, are data_loss; Raw reads them; the next Put replaces them.",
		body: func(s *suite) {
			b := s.open()
			unknown := transport.Field{Name: transport.HeaderContentType, Value: "text/unknown"}
			for value, r := range map[string]uint64{"": b.putRaw("a", ""), "{": b.putRaw("b", "{"), "1": b.putRaw("c", "1"), "x": b.putRaw("d", "x", unknown)} {
				key := map[string]string{"": "a", "{": "b", "1": "c", "x": "d"}[value]
				_, err := b.Get(s.patient(), key)
				b.isDecodeError(err, key, r)
				_, err = b.GetRevision(s.patient(), key, r)
				b.isDecodeError(err, key, r)
				b.wantRaw(key, value)
				b.put(key, "2")
				b.want(key, "2")
			}
		},
	},
	{
		name: "value/undecodable-in-getall", contract: "GetAll leaves out a value that cannot be decoded, and returns the others with a data_loss error.",
		rule: "GetAll returns the values that decode, the revision, and a DecodeError for each other one.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			bad := []uint64{b.putRaw("b", "{"), b.putRaw("c", "1")}
			last := b.put("d", "2")
			entries, revision, err := b.GetAll(s.patient(), "a", "b", "c", "d", "e")
			wantEqual(s, "the revision", revision, last)
			wantEqual(s, "GetAll", entriesText(entries), "a=1 d=2")
			b.areDecodeErrors(err, map[uint64]string{bad[0]: "b", bad[1]: "c"})
		},
	},
	{
		name: "value/undecodable-in-history", contract: "It joins an error with a [DecodeError] for each omitted value.",
		rule: "History returns the values that decode and the deletions, and a DecodeError for each other revision.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			bad := []uint64{b.putRaw("a", "{"), b.putRaw("a", "1")}
			b.delete("a")
			b.put("a", "2")
			entries, err := b.History(s.patient(), "a")
			wantEqual(s, "History", entriesText(entries), "a=1 a:delete a=2")
			b.areDecodeErrors(err, map[uint64]string{bad[0]: "a", bad[1]: "a"})
		},
	},
	{
		name: "value/raw", contract: "Raw returns the bucket with its values as they are stored.",
		rule: "Raw writes are read as values of the bucket's codec, and Raw lists and watches bytes.",
		body: func(s *suite) {
			for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
				name := s.name()
				b := &bucket{connectAs[string](s, s.tr, name, kv.Codec(c)), s, name}
				text := "1"
				value, err := c.Marshal(&text)
				s.must(err)
				_, err = b.Raw().Put(s.patient(), "a", value)
				s.must(err)
				b.want("a", "1")
				for e, err := range b.Raw().List(s.patient()) {
					s.must(err)
					wantEqual(s, "List", string(e.Value), string(value))
				}
				for e, err := range b.Raw().Watch(s.patient()) {
					s.must(err)
					wantEqual(s, "Watch", string(e.Value), string(value))
					break
				}
			}
		},
	},
	{
		name: "value/owned", contract: "All methods may be called concurrently",
		rule: "A value that was read or written belongs to the caller.",
		body: func(s *suite) {
			b := connectAs[[]byte](s, s.tr, s.name(), kv.Codec(codec.Raw))
			value := []byte("abc")
			_, err := b.Put(s.patient(), "a", value)
			s.must(err)
			value[0] = 'x'
			for range 2 {
				e, err := b.Get(s.patient(), "a")
				s.must(err)
				wantEqual(s, "the value", string(e.Value), "abc")
				e.Value[1] = 'x'
			}
			for range 2 {
				for e, err := range b.List(s.patient()) {
					s.must(err)
					wantEqual(s, "the value", string(e.Value), "abc")
					e.Value[2] = 'x'
				}
			}
		},
	},
	{
		name: "value/codec-fails", contract: "No error changes a stored value in part.",
		rule: "A codec that fails or panics is an error, and the stored value stays.",
		body: func(s *suite) {
			name := s.name()
			b := &bucket{connectAs[string](s, s.tr, name, kv.Codec(fussy{})), s, name}
			b.put("a", "1")
			for _, bad := range []string{"panic", "error"} {
				_, err := b.Put(s.patient(), "a", bad)
				b.wantError("a", err, transport.InvalidArgument)
				_, err = b.Modify(s.patient(), "a", func(string) (string, error) { return bad, nil })
				b.wantError("a", err, transport.InvalidArgument)
				b.want("a", "1")
				r := b.putRaw("b", bad, transport.Field{Name: transport.HeaderContentType, Value: "text/fussy"})
				_, err = b.Get(s.patient(), "b")
				b.isDecodeError(err, "b", r)
			}
		},
	},
	{
		name: "value/bad-type", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "A type that the codec can never encode is invalid_argument when the bucket is opened.",
		body: func(s *suite) {
			_, err := kv.Connect(s.patient(), s.tr, kv.NewBucket[chan int](s.name()))
			s.wantError(err, transport.InvalidArgument, "chan int")
		},
	},
	{
		name: "value/limit", contract: "MaxValue limits the size of an encoded value, in bytes.",
		rule: "A value of MaxValue bytes is stored; a larger one is invalid_argument, and the stored value stays.",
		body: func(s *suite) {
			b := s.open(kv.MaxValue(12))
			b.put("a", "0123456789")
			_, err := b.Put(s.patient(), "a", "0123456789a")
			b.wantError("a", err, transport.InvalidArgument, "12")
			_, err = b.Modify(s.patient(), "a", appendText("a"))
			b.wantError("a", err, transport.InvalidArgument, "12")
			b.want("a", "0123456789")
		},
	},
	{
		name: "value/payload-limit", contract: "Without it only the transport's payload limit counts.",
		rule: "A value over the payload limit is invalid_argument, and the stored value stays.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			limit := s.tr.Capabilities().MaxPayload
			_, err := b.Put(s.patient(), "a", strings.Repeat("a", limit+1))
			b.wantError("a", err, transport.InvalidArgument)
			_, err = b.Create(s.patient(), "b", strings.Repeat("a", limit+1))
			b.wantError("b", err, transport.InvalidArgument)
			b.wantList("a=1")
			b.put("b", strings.Repeat("b", limit-2000))
		},
	},
}
