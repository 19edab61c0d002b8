package mono_test

import (
	"context"
	"encoding/json"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// endpointTap is a transport that records the metadata of endpoints, by handle.
type endpointTap struct {
	transport.Transport
	metadata map[string]map[string]string
}

func (e *endpointTap) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	if s.Endpoint != nil {
		e.metadata[s.Endpoint.Metadata["handle"]] = s.Endpoint.Metadata
	}
	return e.Transport.Subscribe(ctx, s, h)
}

// schemaServices binds services with several codecs.
func schemaServices(s *mono.Scope) {
	provides[required, of[int8]]()(s, "schema.json")
	mono.NewService[required, required]("schema.msgpack", mono.Codec(codec.MessagePack)).Handle(s, func(context.Context, required) (r required, err error) { return r, nil })
	mono.NewService[image, image]("schema.raw", mono.Codec(codec.Raw)).Handle(s, func(context.Context, image) (r image, err error) { return r, nil })
}

// Discovery shows the JSON Schemas of requests and replies.
func TestDiscoveryShowsSchemas(t *testing.T) {
	t.Parallel()
	tr := &endpointTap{openInproc(t), make(map[string]map[string]string)}
	begin(t, mono.New(tr, quiet(t)).Add(module("m", schemaServices)))
	for handle, want := range map[string][2]string{
		"schema.json": {
			`{"$ref":"#/$defs/mono_test.required","$defs":{"mono_test.required":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"x-order":["text"]}}}`,
			`{"$ref":"#/$defs/mono_test.of_int8_","$defs":{"mono_test.of_int8_":{"type":"object","properties":{"F":{"type":"integer","minimum":-128,"maximum":127}},"required":["F"],"x-order":["F"]}}}`,
		},
		"schema.raw": {},
	} {
		if m := tr.metadata[handle]; m["request-schema"] != want[0] || m["response-schema"] != want[1] {
			t.Errorf("%s: got %q", handle, m)
		}
	}
	if m := tr.metadata["schema.msgpack"]; m["request-schema"] == "" || m["content-type"] != "application/msgpack" {
		t.Errorf("MessagePack: got %q", m)
	}
}

// Schemas that would fill the answer to discovery are left out.
func TestDiscoveryLeavesOutLargeSchemas(t *testing.T) {
	t.Parallel()
	tr := &endpointTap{inproc.New(inproc.Options{MaxPayload: 1000}), make(map[string]map[string]string)}
	begin(t, mono.New(tr, quiet(t)).Add(module("m", schemaServices)))
	for handle, m := range tr.metadata {
		if m["request-schema"] != "" || m["request"] == "" {
			t.Errorf("%s: got %q", handle, m)
		}
	}
}

// A client reads the schemas from a NATS server.
func TestSchemasOnNATS(t *testing.T) {
	t.Parallel()
	tr := openNATS(t)
	begin(t, mono.New(tr, quiet(t)).Add(module("m", func(s *mono.Scope) { provides[required, of[int8]]()(s, "schema.json") })))
	reply, err := tr.Request(t.Context(), &transport.Message{Subject: "$SRV.INFO.m"})
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Endpoints []struct{ Metadata map[string]string }
	}
	if err := json.Unmarshal(reply.Body, &info); err != nil || len(info.Endpoints) != 1 {
		t.Fatalf("got %s, %v", reply.Body, err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(info.Endpoints[0].Metadata["request-schema"]), &schema); err != nil || schema["$ref"] != "#/$defs/mono_test.required" {
		t.Errorf("got %q, %v", info.Endpoints[0].Metadata, err)
	}
}
