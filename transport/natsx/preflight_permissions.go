package natsx

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gomono.dev/transport"
)

// A client learns of a denial only when it sends or subscribes. That would not be harmless: a
// message reaches handlers, and a subscription with a group takes messages from others. But every
// server reports the permissions of its users.

// userInfoSubject is the subject of requests for the permissions of the user.
const userInfoSubject = "$SYS.REQ.USER.INFO"

// userInfo is the user of the connection.
type userInfo struct {
	User        string `json:"user"`
	Account     string `json:"account"`
	Permissions *struct {
		Publish   *allowances     `json:"publish"`
		Subscribe *allowances     `json:"subscribe"`
		Responses json.RawMessage `json:"responses"`
	} `json:"permissions"`
}

// allowances are the patterns that a user may use. A pattern for subscriptions may be followed by
// a group.
type allowances struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// askUser returns the user, or nil if the server does not tell.
func (t *Transport) askUser(ctx context.Context) *userInfo {
	is, err := attempt(ctx, t, probeTimeout, func(ctx context.Context) (*userInfo, error) {
		t.api.trace(ctx, userInfoSubject)
		reply, err := t.nc.RequestWithContext(ctx, userInfoSubject, nil)
		if err != nil {
			return nil, err
		}
		var answer struct {
			Data *userInfo `json:"data"`
		}
		return answer.Data, json.Unmarshal(reply.Data, &answer)
	})
	if err != nil {
		return nil
	}
	return is
}

// permits reports whether a subject, and a group if it is not "", is allowed, as the server
// decides it.
func (a *allowances) permits(subject, group string) bool {
	if a == nil {
		return true
	}
	matches := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			pattern, of, _ := strings.Cut(p, " ")
			return transport.Match(pattern, subject) && (of == "" || group != "" && transport.Match(strings.TrimSpace(of), group))
		})
	}
	return (len(a.Allow) == 0 || matches(a.Allow)) && !matches(a.Deny)
}

// checkPermissions compares what the program sends and subscribes to with the permissions.
func (p *preflight) checkPermissions(all []*checked) {
	if p.user == nil {
		p.add(transport.Finding{
			Need: "the permissions of its user, to compare them", Found: "the server does not tell them on " + userInfoSubject,
			Remedy: "allow the user to publish to " + strconv.Quote(userInfoSubject), Warning: true,
		})
		return
	}
	may := p.user.Permissions
	if may == nil {
		return
	}
	for _, is := range all {
		var denied []string
		for _, subject := range append(slices.Clone(is.need.Publish), is.requests(p.t)...) {
			if allow := toAllow(subject); !may.Publish.permits(subject, "") && !slices.Contains(denied, allow) {
				denied = append(denied, allow)
			}
		}
		p.deny(is, "publish to", denied)
		denied = nil
		for _, s := range is.subscriptions() {
			if !may.Subscribe.permits(s.Subject, s.Group) && !slices.Contains(denied, s.Subject) {
				denied = append(denied, s.Subject)
			}
		}
		p.deny(is, "subscribe to", denied)
		if inbox := "_INBOX.>"; is.need.Replies && len(is.need.Subscribe) > 0 && len(may.Responses) == 0 && !may.Publish.permits("_INBOX.a.b", "") {
			is.lack("permission to reply", "the "+p.user.String()+" may not publish to the inboxes of callers", fmt.Sprintf("set allow_responses in the user's permissions, or allow publishing to %q", inbox))
		}
	}
}

// String returns the user and the account for texts.
func (u *userInfo) String() string { return fmt.Sprintf("user %q of account %q", u.User, u.Account) }

func (p *preflight) deny(is *checked, to string, denied []string) {
	if len(denied) > 0 {
		is.lack(fmt.Sprintf("permission to %s %q", to, denied), "the "+p.user.String()+" does not have it", "allow it in the user's permissions, or connect as another user")
	}
}

// requests lists the subjects on which natsx itself publishes for a need.
func (is *checked) requests(t *Transport) (subjects []string) {
	api := t.api.prefix() + "."
	for _, s := range is.streams {
		request := "STREAM.CREATE."
		if s.was != nil {
			request = "STREAM.UPDATE."
		}
		subjects = append(subjects, api+request+s.config.Name)
	}
	for _, c := range is.dryRun.consumers {
		subject := api + "CONSUMER.CREATE." + c.stream + "." + c.config.Durable
		if filter := c.config.FilterSubject; filter != "" {
			subject += "." + filter
		}
		subjects = append(subjects, subject)
	}
	for _, consumer := range is.consumers {
		at := is.need.Log.Name + "." + consumer
		subjects = append(subjects, t.api.prefix()+nextSubject+"."+at, "$JS.ACK."+at+".1.1.1.1.1", releasedPrefix+at)
	}
	if is.keyed {
		for _, group := range is.need.Groups {
			subjects = append(subjects, membersPrefix+is.need.Log.Name+"."+group)
		}
	}
	if is.state {
		subjects = append(subjects, bootsSubject, api+"STREAM.MSG.GET."+stateStream)
	}
	return subjects
}

// subscriptions lists the subscriptions of a need.
func (is *checked) subscriptions() []transport.Subscription {
	all := slices.Clone(is.need.Subscribe)
	if is.keyed {
		for _, group := range is.need.Groups {
			all = append(all, transport.Subscription{Subject: membersPrefix + is.need.Log.Name + "." + group})
		}
	}
	return all
}
