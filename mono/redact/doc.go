// Package redact removes secrets from log records and from values before they are printed.
//
// One line switches it on, for all modules of an App and for mono itself:
//
//	mono.New(tr, mono.Logger(slog.New(redact.Handler(slog.NewJSONHandler(os.Stderr, nil)))))
//
// # Guarantees
//
//  1. A value is a secret by its name, by a tag, by its type, or by its form.
//     It is replaced by [Mark]. Everything around it is printed as before.
//  2. The argument of a log call is never changed: a value with a secret is copied.
//  3. A type is examined once. A value of a type that can hold no secret costs one
//     look-up, and a record without a secret in its texts allocates nothing.
//  4. Cycles end, and values have limits: 32 levels, 10,000 parts in a record, and 1 MiB
//     in a text, which is cut at a space. The part beyond a limit is not printed.
//  5. A panic in a LogValue, Error, String, or MarshalJSON does not escape, and its text
//     is searched, too.
//  6. Valid JSON stays valid JSON, with its order and its spaces.
//
// # Names
//
// A name is divided into words at each case change, digit, and punctuation mark, so
// dbPassword, DB_PASSWORD and X-Api-Key have the words "db password" and "x api key". It is
// the name of a secret if one of the words, or two of them together, is in this list:
//
//	password passwd passphrase passcode pwd pass
//	secret token jwt bearer otp cvv cvc
//	authorization cookie credential session
//	api key, private key, secret key, access key, account key, shared key, signing key, encryption key
//	dsn, connection string, conn string, seed, sig, amz signature, goog signature
//
// The plural counts as well. A word that ends in password, passwd, passphrase, secret, token or
// apikey counts, too, such as authtoken.
//
// A name whose last word describes the secret is not its name: tokens_used, token_type,
// password_length, session_timeout, PrivateKeyPath. The words author, keyboard and monkey
// are in no list. [Names] adds names, and [Except] removes some.
//
// A value that is nil, a bool, a time or a duration is not redacted by name. A number is, except
// after a plural, pass or seed, because it is a count there: tokens=512, seed=42.
//
// # Tags
//
// The tag of a field takes precedence over its name:
//
//	Card  string `redact:"last4"`  // [REDACTED]4242
//	IBAN  string `redact:"secret"` // [REDACTED]
//	Token string `redact:"public"` // not redacted because of the name
//
// Any other tag has the effect of "secret". A text of fewer than 12 characters shows no part of it.
//
// # Forms
//
// A text is a secret, wherever it occurs, if it is a JSON Web Token, a NATS seed, a private key in
// PEM, or the credentials of "Bearer …" and "Basic …". In a URL it is the password, and a user name
// alone for the schemes of HTTP and NATS. In a text user:password@host it is the password.
//
// # Values
//
// Structs, pointers, slices, arrays, maps and interfaces are searched like fmt and encoding/json print
// them: unexported fields too, but no pointers in them. A secret that is not a
// text becomes the zero value of its type, or [Mark] in an interface. A struct keeps its fields, and
// a slice or a map has one redacted element. An empty text becomes [Mark], too.
//
// A text is searched as JSON if it is JSON, in a string, a []byte or a json.RawMessage. Any
// other text is searched for key=value, key: value, --key value, query parameters and headers,
// quoted and escaped ones included, and for what %+v prints of structs and maps.
//
// A value that has methods to print itself is printed through them, and the result is searched.
// A struct with a lock is not copied as a whole: its unexported fields print as zero values,
// or, if it prints itself, only the result is searched. A type with LogValue is printed as
// LogValue returns, in slices and structs too. If the result does not fit there, the value is
// redacted.
//
// # Limits
//
// Redaction is a net below the care of the author. It cannot find:
//
//   - a secret without a name: log.Info("hunter2"), or a struct printed by %v
//   - the rest of a secret with spaces in plain text: password=correct horse
//   - a secret in a name: the key of a map, or the name of an attribute
//   - a secret in base64 or hexadecimal, or in parts
//   - a secret in XML or in another format
//   - a name beside its value: {"name": "DB_PASSWORD", "value": "hunter2"}
//   - the rest of the password of a URL that has both @ and / and does not escape them
//   - anything that a handler below this one adds
//
// It may redact too much: the error text "auth.session: not found" loses a word. If that is the name of
// a handle, Except("auth.session") keeps it.
package redact
