package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// GenerateKey returns a new Ed25519 key for a log: the private one, for [Options], and the
// public one, for those who verify. Both are text on one line, as in C2SP's signed-note.
//
// The origin identifies the log to all of them. It is a URL without a scheme, such as
// "example.com/audit/orders".
func GenerateKey(origin string) (private, public string, err error) {
	if origin == "" || strings.ContainsAny(origin, "+ \t\r\n") {
		return "", "", fmt.Errorf("audit: the origin %q is not valid: use a URL without a scheme, spaces and \"+\", such as example.com/audit/orders", origin)
	}
	private, public, err = note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", "", fmt.Errorf("audit: generating a key: %w", err)
	}
	return private, public, nil
}

// PublicKey returns the public key of a private one.
func PublicKey(private string) (string, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return "", fmt.Errorf("audit: not a private key of GenerateKey: %w", err)
	}
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(private, "+", 5)[4]) // base64 may have a "+"
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("audit: not a private key of GenerateKey")
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(signer.Name(), public)
}
