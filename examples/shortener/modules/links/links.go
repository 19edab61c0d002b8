// Package links keeps the links in a bucket.
package links

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"gomono.dev/examples/shortener/links"
	"gomono.dev/kv"
	"gomono.dev/mono"
)

// Bucket has the links by alias. Each expires at its own time. A visitor's Get needs no request,
// once the link is in the cache.
var Bucket = kv.NewBucket[Record]("links", kv.Description("short links by alias"), kv.Cached())

// Record is a stored link.
type Record struct {
	URL     string    `json:"url"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Change  string    `json:"change"` // of each write another one
}

// Module keeps the links. Its zero value is ready.
type Module struct {
	bucket  *kv.KeyValue[Record]
	visited mono.Publisher[links.Visit]
	scope   *mono.Scope
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "keeps the links" }

// Bind opens the bucket and provides the services.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.bucket = Bucket.Open(s)
	m.visited = links.Visited.Publisher(s)
	links.Shorten.Handle(s, m.shorten)
	links.Get.Handle(s, m.get)
	links.Resolve.Handle(s, m.resolve)
	links.Update.Handle(s, m.update)
	links.Delete.Handle(s, m.delete)
	links.List.Handle(s, m.list)
	return nil
}

// randomAliases is the number of aliases that shorten tries. Two of them are hardly ever in use.
const randomAliases = 5

func (m *Module) shorten(ctx context.Context, r links.ShortenRequest) (links.Link, error) {
	life, err := checkLife(cmp.Or(r.Life, links.DefaultLife))
	if err != nil {
		return links.Link{}, err
	}
	target, err := checkURL(r.URL)
	if err != nil {
		return links.Link{}, err
	}
	now, id := time.Now().UTC(), rand.Text()
	record := Record{URL: target, ID: id, Created: now, Expires: now.Add(life), Change: id}
	if r.Alias != "" {
		if err := checkAlias(r.Alias); err != nil {
			return links.Link{}, err
		}
		return m.create(ctx, r.Alias, record, life)
	}
	for range randomAliases {
		link, err := m.create(ctx, strings.ToLower(rand.Text()[:7]), record, life)
		if !errors.Is(err, mono.ErrAlreadyExists) {
			return link, err
		}
	}
	return links.Link{}, mono.Errorf(mono.ResourceExhausted, "%d random aliases are in use: choose an alias", randomAliases)
}

func (m *Module) create(ctx context.Context, alias string, r Record, life time.Duration) (links.Link, error) {
	e, err := m.bucket.Create(ctx, alias, r, kv.TTL(life))
	e, err = m.settle(ctx, alias, r, e, err)
	if errors.Is(err, mono.ErrAlreadyExists) {
		return links.Link{}, mono.Errorf(mono.AlreadyExists, "the alias %q is in use: choose another one", alias)
	}
	return linkOf(e), err
}

// settle finds out whether a write with an unknown outcome took effect.
func (m *Module) settle(ctx context.Context, alias string, r Record, e kv.Entry[Record], err error) (kv.Entry[Record], error) {
	if err == nil || mono.OutcomeOf(err) != mono.OutcomeUnknown {
		return e, err
	}
	if is, unread := m.bucket.Get(ctx, alias); unread == nil && is.Value.Change == r.Change {
		return is, nil
	}
	return e, err
}

func (m *Module) get(ctx context.Context, n links.Name) (links.Link, error) {
	e, err := m.find(ctx, n.Alias)
	return linkOf(e), err
}

// find returns a link that has not expired.
func (m *Module) find(ctx context.Context, alias string) (kv.Entry[Record], error) {
	missing := mono.Errorf(mono.NotFound, "no link has the alias %.40q: it may have expired", alias)
	if checkAlias(alias) != nil {
		return kv.Entry[Record]{}, missing
	}
	e, err := m.bucket.Get(ctx, alias)
	if errors.Is(err, mono.ErrNotFound) || err == nil && !time.Now().Before(e.Value.Expires) {
		return kv.Entry[Record]{}, missing
	}
	return e, err
}

// resolve counts on Visited for the statistics. A visitor gets the link even if it fails.
func (m *Module) resolve(ctx context.Context, n links.Name) (links.Link, error) {
	e, err := m.find(ctx, n.Alias)
	if err != nil {
		return links.Link{}, err
	}
	if err := m.visited(ctx, links.Visit{Link: e.Value.ID, At: time.Now().UTC()}); err != nil {
		m.scope.Logger().Warn("a visit may not be counted", "alias", n.Alias, "error", err)
	}
	return linkOf(e), nil
}

func (m *Module) update(ctx context.Context, r links.UpdateRequest) (links.Link, error) {
	e, err := m.find(ctx, r.Alias)
	if err != nil {
		return links.Link{}, err
	}
	if e.Revision != r.Revision {
		return links.Link{}, changed(r.Alias)
	}
	record := e.Value
	record.Change = rand.Text()
	if r.URL != "" {
		if record.URL, err = checkURL(r.URL); err != nil {
			return links.Link{}, err
		}
	}
	if r.Life != 0 {
		life, err := checkLife(r.Life)
		if err != nil {
			return links.Link{}, err
		}
		record.Expires = time.Now().UTC().Add(life)
	}
	left := max(time.Until(record.Expires), time.Second)
	e, err = m.bucket.Update(ctx, r.Alias, r.Revision, record, kv.TTL(left))
	e, err = m.settle(ctx, r.Alias, record, e, err)
	if errors.Is(err, mono.ErrAborted) {
		return links.Link{}, changed(r.Alias)
	}
	return linkOf(e), err
}

// changed is the error of the loser of two changes.
func changed(alias string) error {
	return mono.Errorf(mono.Aborted, "the link %q was changed meanwhile: read it and decide again", alias)
}

func (m *Module) delete(ctx context.Context, r links.DeleteRequest) (links.Link, error) {
	e, err := m.find(ctx, r.Alias)
	if err != nil {
		return links.Link{}, err
	}
	if e.Revision != r.Revision {
		return links.Link{}, changed(r.Alias)
	}
	err = m.bucket.Delete(ctx, r.Alias, kv.IfRevision(r.Revision))
	if errors.Is(err, mono.ErrAborted) {
		return links.Link{}, changed(r.Alias)
	}
	return linkOf(e), err
}

func (m *Module) list(ctx context.Context, _ links.ListRequest) (reply links.ListReply, err error) {
	for e, err := range m.bucket.List(ctx) {
		if _, damaged := errors.AsType[*kv.DecodeError](err); damaged {
			m.scope.Logger().Warn("a link is damaged", "error", err)
			continue
		}
		if err != nil {
			return reply, err
		}
		if reply.Links = append(reply.Links, linkOf(e)); len(reply.Links) == 2*links.MaxList {
			reply.Links = newest(reply.Links)
		}
	}
	reply.Links = newest(reply.Links)
	return reply, nil
}

// newest returns the newest links, at most MaxList, in their order.
func newest(all []links.Link) []links.Link {
	slices.SortFunc(all, func(a, b links.Link) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.Alias, b.Alias))
	})
	return all[:min(len(all), links.MaxList)]
}

// linkOf returns the link of an entry.
func linkOf(e kv.Entry[Record]) links.Link {
	r := e.Value
	return links.Link{Alias: e.Key, URL: r.URL, ID: r.ID, Created: r.Created, Expires: r.Expires, Revision: e.Revision}
}
