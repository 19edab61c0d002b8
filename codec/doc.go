// Package codec turns Go values into the bytes of a message, and back.
//
// There are three codecs: [JSON], the default, which every language supports; [MessagePack],
// smaller and faster; and [Raw], for payloads that are already bytes. Other formats need a type
// that implements [Codec]: three methods. [NewJSON] and [NewMessagePack] return the first two with
// options, which change how they decode.
//
// # Guarantees
//
// The codecs of this package give these guarantees. Other codecs should, too.
//
//  1. Stateless. A codec may be used by any number of goroutines at once. Caches
//     hold immutable facts about types, and nothing runs in the background.
//  2. Ownership. The bytes that Marshal returns belong to the caller. Unmarshal
//     neither keeps nor changes its input, and the value that it fills shares no
//     memory with it.
//  3. Whole messages. Empty input, a message that ends early, and anything after
//     the value are errors. (To Raw, no bytes is a value like any other.)
//  4. Nothing wraps. A number that its Go type cannot hold is an error, never
//     another number.
//  5. Hostile bytes do no harm. Whatever the input, for a type that CheckType
//     accepts: no panic, no stack without bound, and no more memory than the
//     length of the input times the size of the Go types that its items become.
//     A panic in a type's method is an error.
//  6. Errors name the place. Unmarshal fails with an [*Error], which names the Go
//     type and, if known, the byte and the field. Its text contains nothing of the
//     payload except, for malformed JSON, the one wrong character, and with
//     [DisallowUnknownFields] the name of an unknown field.
//  7. Errors come early. [TypeChecker] reports a type that cannot work, or that
//     would lose a part of its values, before the first message, and names the path
//     to the field.
//
// A type with methods for encoding is responsible for them: for keeping the bytes
// that it is lent (2), and for its recursion and memory (5).
//
// # Types that are refused
//
// CheckType refuses a type if a part of its values would be lost without an error,
// or if its values always fail. The error names the path to the field, the type,
// the reason and the remedy. These are the reasons:
//
//   - No encoding: channels, functions, complex numbers, and uintptr in MessagePack;
//     interfaces with methods, except error in MessagePack; structs with unexported
//     fields only; keys of maps in JSON, except strings, integers and text.
//   - Methods of an embedded type. A struct that embeds a [time.Time] has its methods,
//     which carry the time and leave out the other fields. The struct needs its own
//     methods, or the time in a named field. The same is true for methods that only
//     write or only read, for text as the key of a map, and for IsZero with the option
//     omitzero (JSON) or omitempty (MessagePack). The methods of an embedded pointer
//     or interface cannot read: it is nil in a value to be filled.
//   - Unused methods of an embedded type. If two embedded types have the same methods,
//     the struct has neither, and their unexported fields are not sent. In JSON, a
//     struct type without a name is written by such methods and read without them.
//   - Methods of the pointer, if a map holds the value. That value has no address:
//     JSON passes over its MarshalJSON, and MessagePack fails. MessagePack also fails
//     on an array of a named byte type in a map, and takes now one, now the other of
//     two encoding methods if the preferred one is on the pointer.
//   - Reading methods on the value: they fill a copy.
//   - Methods for one direction: MarshalText without UnmarshalText, or the reverse.
//   - Two fields of one name, by embedding or by tags: at most one would be sent. A
//     struct that embeds itself has the same fault. The case of a name distinguishes.
//   - An embedded pointer to an unexported struct: it cannot be set.
//   - Options of tags: string on a type with methods (JSON); omitempty on an
//     interface, which drops a false in it, and on a struct with methods and without
//     exported fields, which drops every value (MessagePack); the tag json:"-,", by
//     which MessagePack leaves out the field.
//
// A type's own methods are trusted for everything that they cover. These are accepted too:
//
//   - omitempty on a struct: in JSON it has no effect.
//   - Pointers that arrive as nil: to a nil slice, map, pointer or interface; to a
//     zero value with IsZero, with the option omitzero (JSON) or omitempty
//     (MessagePack); an embedded pointer to a struct of which nothing is sent.
//   - Values in an interface. They arrive as other types: see below. If the methods
//     of a pointer are to write them, the interface must hold the pointer.
//   - Keys of maps with the same encoding, such as two times of one instant: they
//     arrive as one key. JSON writes a string as a key without its MarshalText.
//
// # Older shapes
//
// Stored values outlive the types that wrote them. If a type changes in a way that its codec
// cannot read, declare an [Upcast] from the old type to the new one, with mono.Upcasts or
// kv.Upcasts. A chain of them reads every older version. What is written has the newest version
// in its content type, as in "application/json; version=2". A program that does not know a
// version reports it, and does not guess. While an older release may run, a [Transition] as the
// last step writes what that release can read.
//
// A field with a new name needs no upcast: [Aliases] let a decoder read both names.
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
//	unknown field          ignored, or an error       ignored, or an error
//	                       (DisallowUnknownFields)    (DisallowUnknownFields)
//	deepest nesting        10,000                     1,000 (MaxDepth)
//	map key order          sorted                     sorted for map[string]string,
//	                                                  map[string]bool, map[string]any
package codec
