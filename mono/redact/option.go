package redact

import "reflect"

// An Option configures a Redactor.
type Option interface{ apply(*Redactor) }

type option func(*Redactor)

func (o option) apply(r *Redactor) { o(r) }

// Except removes names: the values of exactly these names are not secrets. Case and punctuation
// do not matter. Their texts are still searched.
func Except(names ...string) Option {
	return option(func(r *Redactor) {
		for _, n := range names {
			r.except[letters(n)] = true
		}
	})
}

// Names adds names of secrets, such as "iban" or "account number". A name that contains the words of
// one is redacted like "password". Case and punctuation do not matter.
func Names(names ...string) Option {
	return option(func(r *Redactor) {
		for _, n := range names {
			r.names[letters(n)] = true
		}
	})
}

// Type makes every value of type T a secret. If T is an interface, so is every value that implements it.
func Type[T any]() Option {
	return option(func(r *Redactor) { r.secret = append(r.secret, reflect.TypeFor[T]()) })
}
