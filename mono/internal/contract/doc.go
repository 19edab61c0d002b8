// Package contract compares what two processes declare. A process makes a [Contract] of its
// handles, with the types of their messages as JSON Schema. [Compare] finds the differences
// between two Contracts, before a message meets them.
//
// The package does no I/O and starts no goroutine. Documents come from other processes, of any
// release: [Decode] refuses what is too large or malformed, and ignores what it does not know.
//
// # Schemas
//
// [SchemaOf] describes a type as a codec writes it, by JSON Schema 2020-12
// (https://json-schema.org/draft/2020-12). The forms of types come from package codec, so a
// schema has the names, options and embedded fields that the codec uses. These are the forms:
//
//	bool                    {"type": "boolean"}
//	int8, uint64            {"type": "integer", "minimum": …, "maximum": …}
//	float32, float64        {"type": "number", "format": "float" or "double"}
//	json.Number             {"type": "number"}
//	string                  {"type": "string"}
//	[]byte in JSON          {"type": ["string", "null"], "contentEncoding": "base64"}
//	[]byte in MessagePack   {"type": ["string", "null"], "contentMediaType": "application/octet-stream"}
//	time.Time               {"type": "string", "format": "date-time"}
//	MarshalText             {"type": "string", "x-go-type": …}
//	the tag ",string"       {"type": "string", "contentMediaType": "application/json", "contentSchema": …}
//	*T                      T or null
//	[]T                     {"type": ["array", "null"], "items": …}
//	[2]T                    {"type": "array", "items": …, "minItems": 2, "maxItems": 2}
//	map[K]V                 {"type": ["object", "null"], "propertyNames": …, "additionalProperties": …}
//	struct                  {"type": "object", "properties": …, "required": …, "x-order": …}
//	as_array                {"type": "array", "prefixItems": …, "minItems": …, "maxItems": …, "x-order": …}
//	any                     {}
//	MarshalJSON             {"x-go-type": …}
//
// "required" lists the fields that are always written. A named type with parts is a definition,
// so types may contain themselves. A key that is not a string has a "contentSchema": in JSON its
// text is the key, and in MessagePack the key is such a value.
//
// # Severity
//
// Each payload is compared in the directions in which it is sent. A difference is [Broken] if
// some value that the sender may send is refused by the reader. It is a [Warning] if all are
// read, and a part of some value is lost, or is zero or nil at the reader without being so at the
// sender. A type with methods of its own is compared by its name: if the names differ, nothing is
// known, which is a Warning.
//
// A field that only the sender has is no difference, unless the reader is strict: the reader has
// no use for it. A field that only the reader has is a Warning, since it is zero there.
package contract
