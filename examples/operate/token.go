package main

import (
	"crypto/ed25519"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono/auth"
)

// signer returns a token of a user. An identity provider has such a function.
type signer func(user, scope string, life time.Duration) string

// newKey returns the options for a new key, and its signer.
func newKey() (auth.Options, signer) {
	const issuer = "operate"
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // without random numbers
	}
	sign := func(user, scope string, life time.Duration) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": issuer, "aud": audience, "sub": user, "scope": scope, "exp": time.Now().Add(life).Unix(),
		}).SignedString(private)
		if err != nil {
			panic(err) // the key has another algorithm
		}
		return token
	}
	return auth.Options{Algorithms: []string{"EdDSA"}, Issuer: issuer, Keys: auth.StaticKeys(map[string]any{"own": public})}, sign
}
