// Package copier copies a value as sending it would: what comes out is what
// encoding and decoding it with a codec gives, and an error is that codec's
// error, without the bytes in between wherever that can be proved to be the same.
//
// # What a plan does
//
// A [Plan] is compiled once for a type and a codec. It knows three kinds of things:
//
//   - what every value keeps on the way (integers, booleans, the structure of
//     structs, slices, arrays, maps and pointers) it copies;
//   - what only the value can decide it looks at while it copies, and leaves the
//     whole value to the codec where the answer is not certain: strings that are not
//     UTF-8, NaN and infinities, times that RFC 3339 cannot say, zeros that
//     omitempty drops the sign of, what an interface holds, values that nest deep or
//     contain themselves;
//   - what it cannot prove of a type it leaves to the codec: methods of its own for
//     encoding, embedded pointers, keys of maps other than strings, integers and
//     booleans. A few such parts take a round trip each, next to the rest that is
//     copied. The whole value takes one if there may be many, as in a slice or a map;
//     if the codec's CheckType refuses the type; and with every codec from outside
//     package codec.
//
// What is not sent (unexported fields, fields tagged "-", the monotonic clock)
// comes out zero, what is empty and omitted comes out nil, and a pointer that the
// encoding cannot tell from nil comes out nil.
//
// # How it is held to that
//
// The tests draw random types and values, and compare every copy with the round
// trip, errors included; so do the fuzz targets.
package copier
