package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the verified claims of a token. They are shared by all messages with the token, and
// must not be changed.
type Claims struct {
	Subject  string // "sub": the user
	Issuer   string
	Audience []string
	ID       string // "jti", "" if the token has none
	Scopes   []string
	Roles    []string
	Expires  time.Time

	notBefore time.Time // the later one of "nbf" and "iat"
	all       jwt.MapClaims
	raw       []byte
}

// String returns the name of the type, also for %+v and %#v: claims are personal data, and a context
// that is printed prints its values.
func (c *Claims) String() string { return "auth.Claims" }

// GoString returns the name of the type.
func (c *Claims) GoString() string { return c.String() }

// Text returns the text of a claim, "" if it is missing or no text.
func (c *Claims) Text(name string) string {
	text, _ := c.all[name].(string)
	return text
}

// Decode decodes all claims into the struct or map that v points to, by the rules of
// encoding/json.
func (c *Claims) Decode(v any) error { return json.Unmarshal(c.raw, v) }

// newClaims returns the claims of a token whose signature is valid, or why they are not valid at any
// time.
func newClaims(all jwt.MapClaims, raw []byte, o *Options) (*Claims, *refusal) {
	c := &Claims{all: all, raw: raw, Subject: textOf(all["sub"]), Issuer: textOf(all["iss"]), ID: textOf(all["jti"])}
	var ok bool
	if c.Expires, ok = timeOf(all["exp"]); !ok {
		return nil, &refusal{code: unauthenticated, text: "the token has no valid expiry: want the claim exp"}
	}
	for _, name := range []string{"nbf", "iat"} {
		if all[name] == nil {
			continue
		}
		at, ok := timeOf(all[name])
		if !ok {
			return nil, &refusal{code: unauthenticated, text: "the token has a time that is not valid"}
		}
		if at.After(c.notBefore) {
			c.notBefore = at
		}
	}
	c.Audience, c.Roles = listOf(all["aud"]), listOf(nested(all, o.RolesClaim))
	c.Scopes = strings.Fields(textOf(all["scope"]))
	for _, names := range listOf(all["scp"]) {
		c.Scopes = append(c.Scopes, strings.Fields(names)...)
	}
	switch {
	case c.Issuer != o.Issuer:
		return nil, &refusal{code: unauthenticated, text: "the token has another issuer"}
	case !slices.Contains(c.Audience, o.Audience):
		return nil, &refusal{code: unauthenticated, text: "the token is for another audience"}
	}
	return c, nil
}

// valid returns why the claims are not valid at a time, nil if they are.
func (c *Claims) valid(at time.Time, leeway time.Duration) *refusal {
	switch {
	case !at.Before(c.Expires.Add(leeway)):
		return &refusal{code: unauthenticated, text: "the token has expired"}
	case at.Add(leeway).Before(c.notBefore):
		return &refusal{code: unauthenticated, text: "the token is not valid yet"}
	}
	return nil
}

func textOf(v any) string {
	text, _ := v.(string)
	return text
}

// listOf returns a claim that is a text or a list of texts.
func listOf(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				list = append(list, text)
			}
		}
	}
	return list
}

// nested returns the claim with a name that may have dots. A claim with exactly that name comes
// first.
func nested(all map[string]any, name string) any {
	if v, ok := all[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	if within, isMap := all[first].(map[string]any); ok && isMap {
		return nested(within, rest)
	}
	return nil
}

// timeOf returns the time of a claim with seconds since 1970.
func timeOf(v any) (time.Time, bool) {
	const year9999 = 253402300799
	seconds, ok := v.(float64)
	if !ok || !(seconds > 0 && seconds <= year9999) {
		return time.Time{}, false
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true
}
