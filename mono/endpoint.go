package mono

import (
	"cmp"

	"gomono.dev/mono/internal/contract"
	"gomono.dev/transport"
)

// endpoint describes a service's receiver for discovery: the module is the service, and
// the handle is its endpoint.
func (s *subscriber) endpoint() *transport.Endpoint {
	r := s.r
	metadata := map[string]string{
		"handle":       r.decl.name,
		"request":      r.decl.types[0].String(),
		"response":     r.decl.types[1].String(),
		"content-type": r.codec.ContentType(),
	}
	s.describeTypes(metadata)
	if r.config.Version != "" {
		metadata["version"] = r.config.Version
	}
	if r.config.Doc != "" {
		metadata["doc"] = r.config.Doc
	}
	return &transport.Endpoint{
		Service:     r.in.names.service(r.unit.name),
		Instance:    r.in.id,
		Version:     r.unit.version,
		Description: r.unit.doc,
		Name:        underscored(r.decl.name),
		Metadata:    metadata,
		Stats:       r.stats.snapshot,
	}
}

// maxSchemas bounds the JSON Schemas in the metadata of a module's endpoints, in bytes, and maxSchema
// one of them: a module answers discovery with one message.
const (
	maxSchema  = 8 << 10
	maxSchemas = 128 << 10
)

// describeTypes adds the JSON Schemas of request and reply to the metadata of an endpoint. A schema
// that is too large is left out, and so is one of a codec that cannot describe types.
func (s *subscriber) describeTypes(metadata map[string]string) {
	r := s.r
	services := 0
	for _, other := range r.unit.receivers {
		if other.replies() {
			services++
		}
	}
	limit := maxSchemas
	if payload := r.in.app.transport.Capabilities().MaxPayload; payload > 0 {
		limit = min(limit, payload/4)
	}
	k := cmp.Or(r.decl.config.Codec, r.in.app.options.codec)
	for i, name := range []string{"request-schema", "response-schema"} {
		schema, err := contract.SchemaOf(k, r.decl.types[i])
		if err != nil || schema == nil {
			continue
		}
		if text := schema.Encoded(); len(text) <= min(maxSchema, limit/(2*services)) {
			metadata[name] = string(text)
		}
	}
}
