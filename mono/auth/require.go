package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gomono.dev/mono"
)

// annotation is the key of the annotation of Require and Public.
const annotation = "gomono.dev/mono/auth.Require"

// A Requirement is a part of Require.
type Requirement func(*rule)

// Require declares that messages of a handle need a valid token that meets all requirements. Without
// a requirement any valid token is enough. Describe shows it among the annotations.
//
// Require is about handlers. [mono.Stream.Read] returns the messages of a stream without a token: the
// permissions of the server decide who may read its log.
func Require(requirements ...Requirement) mono.MessageOption {
	r := new(rule)
	for _, add := range requirements {
		add(r)
	}
	return mono.Annotate(annotation, r)
}

// Public declares that messages of a handle need no token. If they have one, it is not looked at. It
// travels on to the calls that the handler makes.
func Public() mono.MessageOption { return mono.Annotate(annotation, &rule{public: true}) }

// Scope requires all of the scopes, in the claim "scope" (RFC 8693) or "scp" of the token.
func Scope(names ...string) Requirement {
	return func(r *rule) { r.scopes = append(r.scopes, names...) }
}

// Role requires one of the roles, in the claim that [Options.RolesClaim] names. Several Roles are
// required together.
func Role(names ...string) Requirement {
	return func(r *rule) { r.roles = append(r.roles, names) }
}

// Audience requires a value of the claim "aud", in addition to [Options.Audience].
func Audience(name string) Requirement {
	return func(r *rule) { r.audiences = append(r.audiences, name) }
}

// Check requires that the function of [Options.Checks] with this name returns true.
func Check(name string) Requirement {
	return func(r *rule) { r.checks = append(r.checks, name) }
}

// CarryToken makes the messages of a queue, an event or a stream carry the token of their sender. It
// is stored with them, and with their dead letters, and everybody who may read the log can use it
// until it expires. Services always carry tokens.
func CarryToken() Requirement { return func(r *rule) { r.carry = true } }

// rule is what a handle declares. It does not change.
type rule struct {
	public    bool
	carry     bool
	scopes    []string
	roles     [][]string
	audiences []string
	checks    []string
}

func ruleOf(h mono.Handle) *rule {
	r, _ := mono.AnnotationOf(h, annotation).(*rule)
	return r
}

// String returns the rule for Describe.
func (r *rule) String() string {
	if r.public {
		return "public"
	}
	parts := []string{"token"}
	add := func(what string, names []string, and string) {
		if len(names) > 0 {
			parts = append(parts, what+" "+strings.Join(names, and))
		}
	}
	add("scope", r.scopes, " and ")
	for _, some := range r.roles {
		add("role", some, " or ")
	}
	add("audience", r.audiences, " and ")
	add("check", r.checks, " and ")
	if r.carry {
		parts = append(parts, "carried")
	}
	return strings.Join(parts, ", ")
}

var (
	errNotDeclared  = errors.New("declares neither auth.Require nor auth.Public: add one, or list it in auth.Options.Open")
	errNoMiddleware = errors.New("declares auth.Require, and the App has no auth.New among its middleware: add it with App.Use, or it would be open")
	errBatch        = errors.New("declares auth.Require and is handled in batches, which have the token of their first message only: use Handle")
	errNotPassedOn  = errors.New("declares auth.Require, and the App does not pass tokens on: give mono.New auth.Propagate()")
)

// CheckReceiver implements [mono.ReceiverChecker]: without the middleware the handle would be open.
func (r *rule) CheckReceiver(at mono.ReceiverInfo) error {
	if r.public {
		return nil
	}
	if at.Batch {
		return errBatch
	}
	if at.Handle.Kind() != mono.KindService && !r.carry {
		return fmt.Errorf("declares auth.Require, and messages of a %s have no token: add auth.CarryToken, or leave the decision to the permissions of the server", at.Handle.Kind())
	}
	if err := r.checkNames(); err != nil {
		return err
	}
	found := false
	for _, m := range at.Middleware {
		a, ok := m.(*Auth)
		if !ok {
			continue
		}
		found = true
		for _, name := range r.checks {
			if a.options.Checks[name] == nil {
				return fmt.Errorf("declares auth.Check(%q), which auth.Options.Checks does not have: add the function", name)
			}
		}
	}
	switch {
	case !found:
		return errNoMiddleware
	case !slices.Contains(at.Propagated, Header):
		return errNotPassedOn
	}
	return nil
}

// checkNames reports an empty list or name, which would make the handle more open than it looks.
func (r *rule) checkNames() error {
	names := slices.Concat(r.scopes, r.audiences, r.checks)
	for _, some := range r.roles {
		if len(some) == 0 {
			return errors.New("declares auth.Role without a role: name at least one")
		}
		names = append(names, some...)
	}
	if slices.Contains(names, "") {
		return errors.New(`declares auth.Require with the name "": want the name of a scope, a role, an audience or a check`)
	}
	return nil
}

// denies returns why claims are not enough, "" if they are.
func (r *rule) denies(ctx context.Context, c *mono.Call, claims *Claims, o *Options) string {
	for _, name := range r.scopes {
		if !slices.Contains(claims.Scopes, name) {
			return fmt.Sprintf("the token lacks the scope %q", name)
		}
	}
	for _, some := range r.roles {
		if !slices.ContainsFunc(some, func(name string) bool { return slices.Contains(claims.Roles, name) }) {
			return fmt.Sprintf("the token lacks the role %s", strings.Join(some, " or "))
		}
	}
	for _, name := range r.audiences {
		if !slices.Contains(claims.Audience, name) {
			return fmt.Sprintf("the token lacks the audience %q", name)
		}
	}
	for _, name := range r.checks {
		if check := o.Checks[name]; check == nil || !check(ctx, c, claims) {
			return fmt.Sprintf("the check %q has refused it", name)
		}
	}
	return ""
}
