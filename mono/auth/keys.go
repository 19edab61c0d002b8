package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys verify the signatures of tokens: see [StaticKeys] and [JWKS].
type Keys interface {
	check(algorithms []string) error
	log(to *slog.Logger)
	start(ctx context.Context, changed func())
	stop()
	health() error

	// key returns the key of a token whose algorithm is allowed. The error is errUnknownKey,
	// errUnavailable or an unknownYet. The latter is for a token that a stored message has had
	// since a time, zero for others: its key may be newer than the known ones.
	key(ctx context.Context, t *jwt.Token, since time.Time) (any, error)
}

// StaticKeys returns keys that never change, by their ids: values of type *rsa.PublicKey,
// *ecdsa.PublicKey, ed25519.PublicKey, or []byte for a secret of the HS algorithms. A token names
// its key in the header "kid". If there is one key, a token without that header is verified with it.
//
// An RSA key needs at least 2048 bits, a secret at least 32 bytes.
func StaticKeys(keys map[string]any) Keys { return staticKeys(maps.Clone(keys)) }

type staticKeys map[string]any

func (k staticKeys) check(algorithms []string) error {
	if len(k) == 0 {
		return errors.New("no key is given")
	}
	used := make(map[string]bool)
	for _, id := range slices.Sorted(maps.Keys(k)) {
		family, err := familyOf(k[id])
		if err != nil {
			return fmt.Errorf("key %q: %w", id, err)
		}
		used[family] = true
		if !slices.ContainsFunc(algorithms, func(name string) bool { return familyOfAlgorithm(name) == family }) {
			return fmt.Errorf("key %q is of type %T, and no algorithm in %q uses it: remove it, or add its algorithm", id, k[id], algorithms)
		}
	}
	for _, name := range algorithms {
		if !used[familyOfAlgorithm(name)] {
			return fmt.Errorf("no key fits the algorithm %q: add one, or remove the algorithm", name)
		}
	}
	return nil
}

func (staticKeys) log(*slog.Logger)              {}
func (staticKeys) start(context.Context, func()) {}
func (staticKeys) stop()                         {}
func (staticKeys) health() error                 { return nil }

func (k staticKeys) key(_ context.Context, t *jwt.Token, _ time.Time) (any, error) {
	id, named := t.Header["kid"]
	if !named && len(k) == 1 {
		for _, key := range k {
			return key, nil
		}
	}
	text, _ := id.(string)
	key, ok := k[text]
	if !named || !ok {
		return nil, errUnknownKey
	}
	return key, nil
}

// familyOfAlgorithm returns the kind of key that an algorithm needs.
func familyOfAlgorithm(name string) string {
	switch {
	case strings.HasPrefix(name, "HS"):
		return "secret"
	case strings.HasPrefix(name, "RS"), strings.HasPrefix(name, "PS"):
		return "RSA"
	case strings.HasPrefix(name, "ES"):
		return "ECDSA"
	}
	return "Ed25519"
}

// The least sizes of keys.
const (
	minRSABits     = 2048
	minSecretBytes = 32
)

// familyOf returns the kind of a key, and an error if it is weak or of another type.
func familyOf(key any) (string, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key == nil || key.N == nil {
			return "", errors.New("the RSA key is nil")
		}
		if bits := key.N.BitLen(); bits < minRSABits {
			return "", fmt.Errorf("the RSA key has %d bits: want at least %d", bits, minRSABits)
		}
		return "RSA", nil
	case *ecdsa.PublicKey:
		if key == nil || key.Curve == nil {
			return "", errors.New("the ECDSA key is nil")
		}
		return "ECDSA", nil
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return "", fmt.Errorf("the Ed25519 key has %d bytes: want %d", len(key), ed25519.PublicKeySize)
		}
		return "Ed25519", nil
	case []byte:
		if len(key) < minSecretBytes {
			return "", fmt.Errorf("the secret has %d bytes: want at least %d", len(key), minSecretBytes)
		}
		if bytes.Contains(key, []byte("-----BEGIN ")) {
			return "", errors.New("it is a text in PEM and not a secret: parse it with package x509")
		}
		return "secret", nil
	}
	return "", fmt.Errorf("its type is %T: want *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte", key)
}

// noKeys stands for Keys that are not given.
type noKeys struct{ staticKeys }

func (noKeys) check([]string) error { return errors.New("is nil: want auth.JWKS or auth.StaticKeys") }
