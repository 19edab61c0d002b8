// Package copier copies a value as sending it would. The result is the same as
// encoding and decoding the value with a codec, and an error is that codec's error.
// If the result can be proved to be the same, no bytes are encoded.
//
// # What a plan does
//
// A [Plan] is compiled once for a type and a codec. It treats three kinds of parts:
//
//   - Parts that every value keeps (integers, booleans, the structure of structs,
//     slices, arrays, maps and pointers) are copied.
//   - Parts that depend on the value are checked during the copy: strings that are not
//     UTF-8, NaN and infinities, times that RFC 3339 cannot express, zeros whose sign
//     omitempty drops, the contents of interfaces, values that nest deeply or contain
//     themselves. If the result is not certain, the codec copies the whole value.
//   - Parts whose type allows no proof are left to the codec: types with methods for
//     encoding, embedded pointers, keys of maps other than strings, integers and
//     booleans. A few such parts take a round trip each, and the rest is copied. The
//     whole value takes one round trip if there may be many such parts, as in a slice
//     or a map, if the codec's CheckType refuses the type, and with every codec from
//     outside package codec.
//
// Parts that are not sent (unexported fields, fields tagged "-", the monotonic clock)
// are zero in the copy. Parts that are empty and omitted are nil, and so is a pointer
// that the encoding cannot distinguish from nil.
//
// # How it is tested
//
// The tests and fuzz targets draw random types and values, and compare every copy with
// the round trip, errors included.
package copier
