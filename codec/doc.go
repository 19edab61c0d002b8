// Package codec turns Go values into the bytes of a message, and back.
//
// Three codecs come with it: [JSON], the default, which every language speaks;
// [MessagePack], smaller and faster; and [Raw], for payloads that are bytes
// already. Anything else is a [Codec] of your own: three methods.
//
// # Guarantees
//
// They hold for the codecs of this package, and are what a codec of your own
// should keep.
//
//  1. Stateless. A codec may be used by any number of goroutines at once. Caches
//     hold immutable facts about types, and nothing runs in the background.
//  2. Ownership. The bytes that Marshal returns belong to the caller. Unmarshal
//     neither keeps nor changes its input, and what it fills shares no memory
//     with it.
//  3. Whole messages. Empty input, a message that ends early, and anything after
//     the value are errors. (To Raw, no bytes is a value like any other.)
//  4. Nothing wraps. A number that its Go type cannot hold is an error, never
//     another number.
//  5. Hostile bytes do no harm. Whatever the input, into a type that CheckType
//     accepts: no panic, no stack without bound, and no more memory than the
//     length of the input times the size of the Go types that its items become.
//     A panic in a type's own method is an error.
//  6. Errors say where. Unmarshal fails with an [*Error], which names the Go type
//     and, when they are known, the byte and the field. Its text holds nothing of
//     the payload but, for malformed JSON, the one character that is wrong.
//  7. Early. [TypeChecker] reports a type that cannot work before the first
//     message, and names the path to the field that is to blame.
//
// A type that brings its own methods for encoding answers for what they do: for
// keeping the bytes that it is lent (2), and for its own recursion and memory (5).
//
// # What changes on the way
//
//	                       JSON                       MessagePack
//	int64, uint64          exact                      exact
//	numbers in any         float64                    int64; uint64 above its range; float64
//	[]byte                 base64; in any a string    bytes; in any []byte
//	time.Time              offset kept,               instant kept, arrives in UTC,
//	                       years 0 to 9999            any year; in any a time.Time
//	monotonic clock        lost                       lost
//	NaN, infinity          error                      kept
//	string not UTF-8       becomes U+FFFD, silently   kept
//	nil slice, map         null: nil                  nil: nil
//	key given twice        last wins (a map or a      last wins
//	                       struct is merged)
//	field name matching    ignores case               exact
//	unknown field          ignored                    ignored
//	deepest nesting        10,000                     1,000 (MaxDepth)
//	map key order          sorted                     sorted for map[string]string,
//	                                                  map[string]bool, map[string]any
package codec
