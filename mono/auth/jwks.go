package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// DefaultRefresh is the time between two regular fetches of a JWKS.
const DefaultRefresh = time.Hour

// The bounds of fetches.
const (
	minFetchInterval = 10 * time.Second // between the begins of two fetches, for whatever reason
	fetchTimeout     = 5 * time.Second
	maxSetSize       = 1 << 20 // bytes
	maxWaiting       = 16      // messages that wait for a fetch at once
)

// A JWKSOption is an option of JWKS.
type JWKSOption func(*jwks)

// RefreshEvery sets the time between two regular fetches, an hour by default, 10 seconds at least. A
// key that the issuer has withdrawn is valid until the next fetch.
func RefreshEvery(d time.Duration) JWKSOption { return func(k *jwks) { k.refresh = d } }

// HTTPClient sets the client of the fetches, for proxies or certificates. It should not follow
// redirects to addresses without TLS.
func HTTPClient(c *http.Client) JWKSOption { return func(k *jwks) { k.client = c } }

// JWKS returns the keys of a JSON Web Key Set (RFC 7517) that an issuer publishes. The address needs
// https, except on the loopback interface. Only keys for signatures are used. Secrets, RSA keys with
// less than 2048 bits, and keys of unknown types are ignored.
//
// The set is fetched at the start of the App, then regularly, and when a token names a key that the
// set does not have, but not within 10 seconds after the last fetch, however many such tokens
// arrive. If the set has changed, all cached tokens are verified again.
//
// If a fetch fails, the known keys remain valid, the failure is logged, and it is repeated after 10
// seconds. A token with an unknown key is refused with [mono.Unavailable] then, since the key may be
// new, and with [mono.Unauthenticated] if the last fetch has succeeded. A stored message with an
// unknown key is tried again 10 seconds after the last fetch, until one has begun after it was stored.
// At most 16 messages wait for a fetch, 5 seconds at most; others get Unavailable at once.
func JWKS(address string, opts ...JWKSOption) Keys {
	k := &jwks{address: address, refresh: DefaultRefresh}
	k.client = &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("too many redirects")
		}
		return checkAddress(r.URL)
	}}
	for _, o := range opts {
		o(k)
	}
	return k
}

// jwks is a set of keys that is fetched.
type jwks struct {
	address string
	client  *http.Client
	refresh time.Duration
	logger  atomic.Pointer[slog.Logger]

	set     atomic.Pointer[keySet]
	waiting atomic.Int64

	mu      sync.Mutex
	ctx     context.Context // while an App runs, else nil
	cancel  context.CancelFunc
	changed func()
	last    *fetch // the newest
	ended   sync.WaitGroup
}

// keySet is a set as it was fetched.
type keySet struct {
	keys jwt.Keyfunc
	text []jwkset.JWKMarshal
}

// fetch is one fetch of the set.
type fetch struct {
	began time.Time
	done  chan struct{}
	err   error // once it is done
}

func (k *jwks) check(algorithms []string) error {
	address, err := url.Parse(k.address)
	if err != nil {
		return errors.New("the address of the JWKS is not a URL")
	}
	if err := checkAddress(address); err != nil {
		return err
	}
	for _, name := range algorithms {
		if familyOfAlgorithm(name) == "secret" {
			return fmt.Errorf("a JWKS is public and has no secrets: remove the algorithm %q", name)
		}
	}
	if k.client == nil {
		return errors.New("auth.HTTPClient: want a client, got nil")
	}
	if k.refresh < minFetchInterval {
		return fmt.Errorf("auth.RefreshEvery(%v): want at least %v", k.refresh, minFetchInterval)
	}
	return nil
}

// checkAddress reports an address from which anybody on the way could send keys.
func checkAddress(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	if host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return fmt.Errorf("the address of the JWKS has the scheme %q and the host %q: want https, or http on the loopback interface", u.Scheme, host)
	}
	return nil
}

func (k *jwks) log(to *slog.Logger) { k.logger.Store(to) }

// start fetches the set, and begins to refresh it. It waits for the first fetch.
func (k *jwks) start(ctx context.Context, changed func()) {
	k.mu.Lock()
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.changed, k.last = changed, nil
	own := k.ctx
	first := k.begin()
	k.mu.Unlock()
	k.ended.Go(func() { k.keepFresh(own) })
	select {
	case <-first.done:
	case <-ctx.Done():
	}
}

// stop ends all fetches and waits until they have ended.
func (k *jwks) stop() {
	k.mu.Lock()
	k.cancel()
	k.ctx = nil
	k.mu.Unlock()
	k.ended.Wait()
}

func (k *jwks) health() error {
	if k.set.Load() == nil {
		return errors.New("no keys have been fetched from the JWKS yet, so all tokens are refused")
	}
	return nil
}

// keepFresh fetches the set regularly, and soon after a failure.
func (k *jwks) keepFresh(ctx context.Context) {
	for {
		k.mu.Lock()
		last := k.last
		k.mu.Unlock()
		select {
		case <-last.done:
		case <-ctx.Done():
			return
		}
		wait := k.refresh
		if last.err != nil {
			wait = minFetchInterval
		}
		due := time.NewTimer(time.Until(last.began.Add(wait)))
		select {
		case <-due.C:
		case <-ctx.Done():
			due.Stop()
			return
		}
		k.mu.Lock()
		if k.last == last && k.ctx == ctx {
			k.begin()
		}
		k.mu.Unlock()
	}
}

// begin begins a fetch. The mutex is held, and an App runs.
func (k *jwks) begin() *fetch {
	f, ctx, changed, before := &fetch{began: time.Now(), done: make(chan struct{})}, k.ctx, k.changed, k.last
	k.last = f
	k.ended.Go(func() {
		defer close(f.done)
		f.err = k.fetch(ctx, changed)
		k.report(ctx, before, f.err)
	})
	return f
}

// report logs that fetches have begun to fail, or succeed again.
func (k *jwks) report(ctx context.Context, before *fetch, err error) {
	logger, failed := k.logger.Load(), before != nil && before.err != nil
	switch {
	case logger == nil || ctx.Err() != nil:
	case err != nil && !failed:
		logger.Warn("auth: JWKS not fetched, the known keys remain valid", "keys", k.set.Load().size(), "error", err)
	case err == nil && failed:
		logger.Info("auth: JWKS fetched again", "keys", k.set.Load().size())
	}
}

// fetch fetches the set once.
func (k *jwks) fetch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.address, nil)
	if err != nil {
		return err
	}
	request.Close = true // no connection is kept for an hour
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server of the JWKS answered %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSetSize+1))
	if err != nil {
		return err
	}
	if len(body) > maxSetSize {
		return fmt.Errorf("the JWKS has more than %d bytes", maxSetSize)
	}
	set, err := parseSet(body)
	if err != nil {
		return err
	}
	before := k.set.Swap(set)
	if before != nil && !reflect.DeepEqual(before.text, set.text) {
		changed()
	}
	return nil
}

// parseSet returns the keys of a set that verify signatures.
func parseSet(body []byte) (*keySet, error) {
	var all jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, errors.New("the JWKS is not a JSON Web Key Set")
	}
	store, set := jwkset.NewMemoryStorage(), new(keySet)
	for _, text := range all.Keys {
		key, err := jwkset.NewJWKFromMarshal(text, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || text.USE != "" && text.USE != jwkset.UseSig {
			continue
		}
		if family, err := familyOf(key.Key()); err != nil || family == "secret" {
			continue
		}
		if err := store.KeyWrite(context.Background(), key); err != nil {
			return nil, err
		}
		set.text = append(set.text, text)
	}
	if len(set.text) == 0 {
		return nil, errors.New("the JWKS has no key that can be used")
	}
	keys, err := keyfunc.New(keyfunc.Options{Storage: store})
	if err != nil {
		return nil, err
	}
	set.keys = keys.Keyfunc
	return set, nil
}

func (s *keySet) size() int {
	if s == nil {
		return 0
	}
	return len(s.text)
}

// find returns the key of a token. It reports false if the set has no key with that id.
func (s *keySet) find(t *jwt.Token) (key any, err error, found bool) {
	if s == nil {
		return nil, nil, false
	}
	key, err = s.keys(t)
	return key, err, !errors.Is(err, jwkset.ErrKeyNotFound)
}

func (k *jwks) key(ctx context.Context, t *jwt.Token, since time.Time) (any, error) {
	if key, err, found := k.set.Load().find(t); found {
		return key, err
	}
	arrived := time.Now()
	last := k.await(ctx)
	if last == nil {
		return nil, errUnavailable
	}
	key, err, found := k.set.Load().find(t)
	switch {
	case found:
		return key, err
	case last.began.Before(arrived) && last.began.Before(since):
		return nil, unknownYet(time.Until(last.began.Add(minFetchInterval)))
	}
	return nil, errUnknownKey
}

// await waits for a fetch, if the last one is not too recent. It returns the newest fetch, nil if
// that has not succeeded.
func (k *jwks) await(ctx context.Context) *fetch {
	k.mu.Lock()
	if k.ctx == nil {
		k.mu.Unlock()
		return nil
	}
	f := k.last
	select {
	case <-f.done:
		if time.Since(f.began) >= minFetchInterval {
			f = k.begin()
		}
	default: // it runs
	}
	k.mu.Unlock()
	select {
	case <-f.done:
		return f.succeeded()
	default:
	}
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > maxWaiting {
		return nil
	}
	select {
	case <-f.done:
		return f.succeeded()
	case <-ctx.Done():
		return nil
	}
}

// succeeded returns a fetch that is done, nil if it has failed.
func (f *fetch) succeeded() *fetch {
	if f.err != nil {
		return nil
	}
	return f
}
