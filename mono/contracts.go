package mono

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/mono/internal/contract"
	"gomono.dev/transport"
)

// Processes compare their contracts by two kinds of messages, which need no answer and are not
// stored. A greeting has the hash of the sender's contract. All processes with the same contract
// are one group, so one process of each contract gets the greeting. If the hash is another, it
// sends its contract to the greeter, and asks for the greeter's.
//
// Messages come from programs of any release, or from strangers. They are sent to nothing but
// subjects of contracts, and what they cause has limits.

// The limits of what other processes can cause.
const (
	maxKnown       = 64               // contracts of others that are remembered
	maxReported    = 4096             // differences that are remembered as reported
	maxListed      = 16               // broken differences of a contract that health lists, or an error
	maxGreeting    = 1024             // bytes
	contractPeriod = 10 * time.Second // of the following
	maxSent        = 256              // contracts that are sent in a period
	maxCompared    = 64               // contracts that are compared in a period
)

// A process that asks for contracts waits until none has arrived for contractQuiet, at most for
// contractWait.
const (
	contractQuiet = 250 * time.Millisecond
	contractWait  = 2 * time.Second
)

// contractRefresh is how often a health check asks whether differing processes still run.
const contractRefresh = time.Minute

// announcement is a message between processes: a greeting, or a contract.
type announcement struct {
	Instance string          `json:"instance"` // of the sender
	Hash     string          `json:"hash"`     // of its contract
	Answer   bool            `json:"answer,omitempty"`
	Contract json.RawMessage `json:"contract,omitempty"`
}

// contracts compares what this process declares with what other running processes declare.
type contracts struct {
	in       *instance
	mine     *contract.Contract
	document []byte
	hash     string
	subs     []transport.Receiver
	off      error // why it is not compared

	mu       sync.Mutex
	closed   bool
	known    map[string]*otherContract // by hash
	reported map[Difference]bool       // without the instance
	rounds   map[*contractRound]struct{}
	greeted  time.Time // the last time
	sent     budget
	compared budget
	missed   bool // a contract was not compared, because compared was used up
}

// otherContract is a contract that differs from this process's.
type otherContract struct {
	seen   time.Time // the last time
	broken []string  // differences
}

// contractRound collects the contracts that arrive after a greeting.
type contractRound struct {
	all   map[string]Contract // by hash
	heard chan struct{}       // of capacity 1
}

// budget limits the number of times that something happens in a period.
type budget struct {
	began time.Time
	used  int
}

func (b *budget) take(limit int) bool {
	if now := time.Now(); now.Sub(b.began) >= contractPeriod {
		b.began, b.used = now, 0
	}
	b.used++
	return b.used <= limit
}

// joinContracts makes the contract of this process known to the others. If the server does not
// permit it, or the contract is too large, the process is not compared.
func (in *instance) joinContracts(ctx context.Context) {
	c := &contracts{
		in: in, mine: in.declare(), known: make(map[string]*otherContract), reported: make(map[Difference]bool), rounds: make(map[*contractRound]struct{}),
	}
	c.mine.Instance = in.id
	in.contracts = c
	if c.off = c.join(ctx); c.off != nil {
		in.log.Debug("mono: the contract of this process is not compared with others", "error", c.off)
	}
}

func (c *contracts) join(ctx context.Context) (err error) {
	if c.document, err = c.mine.Encode(); err != nil {
		return err
	}
	if limit := c.in.app.transport.Capabilities().MaxPayload; limit > 0 && len(c.document)+maxGreeting > limit {
		return notDone(ResourceExhausted, "the contract of this process has %d bytes, and the transport carries at most %d", len(c.document), limit)
	}
	c.hash = hashOf(c.document)
	c.in.started.push("contracts", always(c.close))
	to := transport.Subscription{Subject: c.in.names.contracts("to." + c.in.id), PendingLimit: maxCompared}
	if err := c.subscribe(ctx, to, contract.MaxSize+maxGreeting, c.receive); err != nil {
		return err
	}
	greetings := transport.Subscription{Subject: c.in.names.contracts("greeting"), Group: c.hash, PendingLimit: maxSent}
	if err := c.subscribe(ctx, greetings, maxGreeting, c.greet); err != nil {
		return err
	}
	return c.sendGreeting(ctx)
}

func hashOf(document []byte) string {
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:16])
}

// isHash reports whether text could be a hash, or the id of an instance.
func isHash(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == idLength
}

// subscribe receives the announcements of processes with other contracts, up to a size.
func (c *contracts) subscribe(ctx context.Context, s transport.Subscription, limit int, handle func(*announcement)) error {
	sub, err := c.in.app.transport.Subscribe(ctx, s, transport.Serial(func(m *transport.Message) {
		var a announcement
		if len(m.Body) <= limit && json.Unmarshal(m.Body, &a) == nil && isHash(a.Instance) && a.Hash != c.hash {
			_ = guard("comparing contracts", c.in.panicked, func() error { handle(&a); return nil })
		}
	}))
	if err == nil {
		c.subs = append(c.subs, sub)
	}
	return err
}

func (c *contracts) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, sub := range c.subs {
		sub.Close()
	}
}

// sendGreeting asks one process of each other contract for it.
func (c *contracts) sendGreeting(ctx context.Context) error {
	c.mu.Lock()
	c.greeted = time.Now()
	c.mu.Unlock()
	return c.publish(ctx, "greeting", &announcement{Instance: c.in.id, Hash: c.hash})
}

func (c *contracts) publish(ctx context.Context, to string, a *announcement) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.in.app.transport.Publish(ctx, &transport.Message{Subject: c.in.names.contracts(to), Body: body})
}

// greet handles a greeting of a process with another contract.
func (c *contracts) greet(a *announcement) {
	c.mu.Lock()
	known := c.see(a.Hash)
	c.mu.Unlock()
	c.send(a.Instance, !known)
}

// see notes that a process with another contract runs. It reports whether the contract is known.
// The lock is held.
func (c *contracts) see(hash string) bool {
	other := c.known[hash]
	if other != nil {
		other.seen = time.Now()
	}
	return other != nil
}

// send sends the contract of this process to another one.
func (c *contracts) send(instance string, answer bool) {
	c.mu.Lock()
	allowed := !c.closed && c.sent.take(maxSent)
	c.mu.Unlock()
	if !allowed {
		return
	}
	if err := c.publish(c.in.ctx, "to."+instance, &announcement{Instance: c.in.id, Hash: c.hash, Answer: answer, Contract: c.document}); err != nil {
		c.in.log.Debug("mono: the contract of this process was not sent to another one", "error", err)
	}
}

// receive handles a contract. It is called for one after another.
func (c *contracts) receive(a *announcement) {
	if len(a.Contract) == 0 {
		return
	}
	if a.Answer {
		c.send(a.Instance, false)
	}
	a.Hash = hashOf(a.Contract)
	c.mu.Lock()
	known := c.see(a.Hash)
	fresh := !c.closed && (!known || len(c.rounds) > 0)
	wanted := fresh && c.compared.take(maxCompared)
	c.missed = c.missed || fresh && !wanted
	c.mu.Unlock()
	if !wanted {
		return
	}
	theirs, err := contract.Decode(a.Contract)
	if err != nil {
		c.in.log.Debug("mono: the contract of another process is not compared", "error", err)
		return
	}
	theirs.Instance = a.Instance
	is := publicContract(theirs)
	for _, d := range contract.Compare(c.mine, theirs) {
		is.Differences = append(is.Differences, differenceOf(&d))
	}
	for _, d := range c.note(a.Hash, &is) {
		c.report(&d)
	}
}

// note remembers a contract, and returns the differences that were not reported before.
func (c *contracts) note(hash string, is *Contract) (fresh []Difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	other := &otherContract{seen: time.Now()}
	for _, d := range is.Differences {
		if d.Broken && len(other.broken) < maxListed {
			other.broken = append(other.broken, d.Text)
		}
		key := d
		key.Instance, key.Text = "", strings.ReplaceAll(d.Text, d.Instance[:8], "")
		if !c.reported[key] && len(c.reported) < maxReported {
			c.reported[key] = true
			fresh = append(fresh, d)
		}
	}
	if c.known[hash] == nil && len(c.known) == maxKnown {
		c.forgetOldest()
	}
	c.known[hash] = other
	for r := range c.rounds {
		r.all[hash] = *is
		select {
		case r.heard <- struct{}{}:
		default:
		}
	}
	return fresh
}

func (c *contracts) forgetOldest() {
	oldest := ""
	for hash, other := range c.known {
		if oldest == "" || other.seen.Before(c.known[oldest].seen) {
			oldest = hash
		}
	}
	delete(c.known, oldest)
}

func (c *contracts) report(d *Difference) {
	var handle Handle
	for _, h := range c.in.plan.handles {
		if h.address().String() == d.Handle {
			handle = h
		}
	}
	log := c.in.log.Info
	if d.Broken {
		log = c.in.log.Warn
	}
	log("mono: another process declares this differently: "+d.Text, "handle", d.Handle, "broken", d.Broken, "program", d.Program, "instance", d.Instance)
	c.in.observe(ContractDiffers{Handle: handle, Difference: *d})
}

// ask greets the other processes and returns their contracts, each once.
func (c *contracts) ask(ctx context.Context) ([]Contract, error) {
	if c.off != nil {
		return nil, notDone(CodeOf(c.off), "mono: contracts are not compared: %w", c.off)
	}
	r := &contractRound{all: make(map[string]Contract), heard: make(chan struct{}, 1)}
	c.mu.Lock()
	c.rounds[r] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.rounds, r)
		c.mu.Unlock()
	}()
	if err := c.sendGreeting(ctx); err != nil {
		return nil, err
	}
	if err := r.await(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Contract
	for _, is := range r.all {
		all = append(all, is)
	}
	slices.SortFunc(all, compareContracts)
	return all, nil
}

// await waits until no further contract arrives.
func (r *contractRound) await(ctx context.Context) error {
	quiet, most := time.NewTimer(contractQuiet), time.NewTimer(contractWait)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-r.heard:
			quiet.Reset(contractQuiet)
		case <-quiet.C:
			return nil
		case <-most.C:
			return nil
		case <-ctx.Done():
			return transport.ContextError(ctx, OutcomeNotDone, "mono: waiting for the contracts of other processes")
		}
	}
}

// broken returns the differences with running processes that cannot work. It greets now and then, also
// after it has missed a contract, and forgets a contract of which no process has answered.
func (c *contracts) broken(ctx context.Context) (all []string) {
	c.mu.Lock()
	now, differs := time.Now(), false
	for hash, other := range c.known {
		if other.seen.Before(c.greeted) && now.Sub(c.greeted) > contractWait {
			delete(c.known, hash)
			continue
		}
		differs = differs || len(other.broken) > 0
		all = append(all, other.broken...)
	}
	again := differs && now.Sub(c.greeted) >= contractRefresh || c.missed && now.Sub(c.compared.began) >= contractPeriod
	c.missed = c.missed && !again
	c.mu.Unlock()
	if again {
		_ = c.sendGreeting(ctx) // the check of the transport reports what is wrong with it
	}
	slices.Sort(all)
	return all[:min(len(all), maxListed)]
}

// check adds the differences that cannot work to the details of a health check.
func (c *contracts) check(ctx context.Context) {
	if c == nil {
		return
	}
	if broken := c.broken(ctx); len(broken) > 0 {
		ReportDetail(ctx, "contracts", broken)
	}
}
