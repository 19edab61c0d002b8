package natsx

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// api is JetStream's API.
type api struct {
	t *Transport

	// requests are those of nats.go, and the pulls of readers. An entry ends if the server
	// denies its subject.
	requests requests
	slots    chan struct{} // holds a token for each request of inParallel
}

// prefix begins the subjects of JetStream's API.
func (a *api) prefix() string {
	if a.t.options.domain == "" {
		return "$JS.API"
	}
	return "$JS." + a.t.options.domain + ".API"
}

// Times of calls to JetStream's API. A server without a leader to answer may ignore a request
// that it would answer a moment later, so calls are repeated.
const (
	apiTimeout   = 10 * time.Second // if the caller's context has no deadline
	firstAttempt = time.Second      // doubled with each attempt
	apiPause     = 100 * time.Millisecond
)

// callAPI calls JetStream's API until it answers. do must allow repeated calls, also after a
// call whose answer was lost.
func callAPI[T any](ctx context.Context, t *Transport, do func(context.Context) (T, error)) (T, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, apiTimeout)
		defer cancel()
	}
	for timeout := firstAttempt; ; timeout *= 2 {
		if err := t.ready(ctx); err != nil {
			var none T
			return none, err
		}
		result, err := attempt(ctx, t, timeout, do)
		if err == nil || !transient(ctx, err) || !pause(ctx, apiPause) {
			return result, t.api.explain(err)
		}
	}
}

// attempt calls do once. It ends the context of do when the server denies its request.
func attempt[T any](ctx context.Context, t *Transport, timeout time.Duration, do func(context.Context) (T, error)) (result T, err error) {
	if err := t.permissions.checkReplies(); err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	number := t.api.requests.watch("", func(a answer) { end(a.err) })
	defer t.api.requests.take(number)
	result, err = do(context.WithValue(ctx, apiRequestKey{}, number))
	if denial, ok := context.Cause(ctx).(*transport.Error); ok && err != nil {
		err = denial
	}
	return result, err
}

// apiRequestKey is the context key of an attempt's entry in apiRequests.
type apiRequestKey struct{}

// trace records that the attempt of ctx, if any, sends a request on a subject.
func (a *api) trace(ctx context.Context, subject string) {
	if number, ok := ctx.Value(apiRequestKey{}).(uint64); ok {
		a.requests.retarget(number, subject)
	}
}

// js returns JetStream's API for one attempt.
func (a *api) js(ctx context.Context) jetstream.JetStream {
	trace := jetstream.WithClientTrace(&jetstream.ClientTrace{RequestSent: func(subject string, _ []byte) { a.trace(ctx, subject) }})
	js, _ := jetstream.NewWithAPIPrefix(a.t.nc, a.prefix(), trace) // fails only for invalid options
	return js
}

// request sends one request to JetStream's API. It is used if nats.go has no method for the
// request, or one that hides the error.
func (a *api) request(ctx context.Context, subject string, question, answer any) error {
	if err := a.t.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout) // the earlier deadline counts
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	subject = a.prefix() + "." + subject
	a.trace(ctx, subject)
	reply, err := a.t.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	var refused struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &refused); err != nil {
		return err
	}
	if refused.Error != nil {
		return refused.Error
	}
	return json.Unmarshal(reply.Data, answer)
}

// pause waits for d. It reports false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retries limits how long a request is sent again. The last time is after the limit, so a request
// whose first answer is late is sent again too.
type retries struct {
	limit time.Time
	last  bool
}

// retryFor returns the retries of a request that is now sent for the first time.
func retryFor(d time.Duration) *retries { return &retries{limit: time.Now().Add(d)} }

// next waits until the request is to be sent again. It reports false if it was sent after the
// limit, or if ctx ends first.
func (r *retries) next(ctx context.Context) bool {
	if r.last || !pause(ctx, apiPause) {
		return false
	}
	r.last = time.Now().After(r.limit)
	return true
}

// transient reports whether another attempt may succeed.
func transient(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return true
	}
	return passes(apiErrorOf(err))
}

// passes reports whether an error of JetStream ends by itself: a cluster has lost its leader,
// or its servers have yet to hear of each other after a restart.
func passes(e *jetstream.APIError) bool {
	if e == nil {
		return false
	}
	switch e.ErrorCode {
	case codeIncomplete, codeNotAssigned, codeNotAvailable, codeNotLeader, codeStreamOffline, codeConsumerOffline:
		return true
	case codeNoPeers:
		return strings.Contains(e.Description, "peer offline")
	}
	return false
}

// tooFewServers reports whether a cluster is too small for the requested replicas.
func tooFewServers(err error) bool {
	e := apiErrorOf(err)
	return e != nil && (e.ErrorCode == codeNoPeers || e.ErrorCode == codeNotClustered) && !passes(e)
}

// isStoreFailure reports whether the server could not create files, mostly because its disk is
// full. It hides the cause from clients.
func isStoreFailure(e *jetstream.APIError) bool {
	return e != nil && (e.ErrorCode == codeConsumerStore || strings.HasPrefix(e.Description, "error creating store"))
}

// Codes of JetStream's API without a name in nats.go.
const (
	codeIncomplete       jetstream.ErrorCode = 10004
	codeNotAssigned      jetstream.ErrorCode = 10007
	codeNotAvailable     jetstream.ErrorCode = 10008
	codeNotLeader        jetstream.ErrorCode = 10009
	codeNoPeers          jetstream.ErrorCode = 10005
	codeAccountResources jetstream.ErrorCode = 10002
	codeResources        jetstream.ErrorCode = 10023
	codeMaxStreams       jetstream.ErrorCode = 10027
	codeMemory           jetstream.ErrorCode = 10028
	codeSequenceNotFound jetstream.ErrorCode = 10043
	codeStorage          jetstream.ErrorCode = 10047
	codeInvalidConfig    jetstream.ErrorCode = 10052
	codeDeleteFailed     jetstream.ErrorCode = 10057
	codeStreamMismatch   jetstream.ErrorCode = 10060
	codeSubjectOverlap   jetstream.ErrorCode = 10065
	codeNotClustered     jetstream.ErrorCode = 10074
	codeStoreFailed      jetstream.ErrorCode = 10077
	codeHeaderTooLarge   jetstream.ErrorCode = 10097
	codeConsumerStore    jetstream.ErrorCode = 10104
	codeMaxBytesRequired jetstream.ErrorCode = 10113
	codeIDInProcess      jetstream.ErrorCode = 10158
	codeWrongLastID      jetstream.ErrorCode = 10070
	codeStreamOffline    jetstream.ErrorCode = 10118
	codeConsumerOffline  jetstream.ErrorCode = 10119
	codeTTLDisabled      jetstream.ErrorCode = 10166
	codeTooMany          jetstream.ErrorCode = 10167
)

// apiErrorOf returns the error of JetStream's API in err, or nil.
func apiErrorOf(err error) *jetstream.APIError {
	if e, ok := errors.AsType[jetstream.JetStreamError](err); ok {
		return e.APIError()
	}
	return nil
}

// codeOfAPI returns the code of an error of JetStream's API, or 0 for any other error.
func codeOfAPI(err error) jetstream.ErrorCode {
	if e := apiErrorOf(err); e != nil {
		return e.ErrorCode
	}
	return 0
}

// missing reports whether an error means that the requested item does not exist.
func missing(err error) bool {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Code == transport.NotFound
	}
	return false
}

// explain converts an error of JetStream's API.
func (a *api) explain(err error) error {
	if err == nil {
		return nil
	}
	if ours, ok := errors.AsType[*transport.Error](err); ok {
		return ours
	}
	e := apiErrorOf(err)
	if e == nil {
		return a.t.failure(err, transport.OutcomeUnknown)
	}
	return a.refusal(err, e, advice[e.ErrorCode])
}

// refusal returns the error for a refused request. err is or wraps e.
func (a *api) refusal(err error, e *jetstream.APIError, remedy string) *transport.Error {
	fail := transport.Errorf(codeFor(e), transport.OutcomeNotDone, "%s: %s", a.t.address, e.Description)
	switch {
	case isStoreFailure(e):
		fail.Message += ": make room on the server's disk, or read the server's log"
	case remedy != "":
		fail.Message += ": " + remedy
	}
	if e.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum || e.ErrorCode == codeHeaderTooLarge {
		err = errors.Join(transport.ErrTooLarge, err)
	}
	fail.Err = err
	return fail
}

// advice maps errors of JetStream to remedies.
var advice = map[jetstream.ErrorCode]string{
	jetstream.JSErrCodeMaximumConsumersLimit: "raise the server's, account's or stream's limit of consumers (max consumers), or use fewer groups or partitions",
	jetstream.JSErrCodeStreamNotFound:        "the log was deleted, or never created: open it again",
	codeSubjectOverlap:                       "another log has one of its subjects: use each subject in one log only",
	codeMaxBytesRequired:                     "set MaxBytes",
	codeAccountResources:                     "make room, or raise the account's limit",
	codeMaxStreams:                           "raise the account's limit of streams (max streams), or use fewer logs",
	codeResources:                            "the server has no room for such a log: make room, or raise its limits",
	codeStorage:                              "make room, or raise the limit",
	codeMemory:                               "make room, or raise the limit",
	codeStoreFailed:                          "wait until there is room, or raise the bound",
	codeNoPeers:                              "start the servers that are offline, or set fewer Replicas",
	codeHeaderTooLarge:                       "move data from the header to the body",

	jetstream.JSErrCodeStreamMessageExceedsMaximum:     "send a smaller message, or a reference to the data",
	jetstream.JSErrCodeStreamWrongLastSequence:         "read the new messages, and try again",
	jetstream.JSErrCodeStreamWrongLastSequenceConstant: "read the new messages, and try again",

	codeTTLDisabled: "the log was created by a server before 2.11, or by another client, without TTLs for messages",
}

// codeFor returns the code for an error of JetStream.
func codeFor(e *jetstream.APIError) transport.Code {
	switch {
	case passes(e):
		return transport.Unavailable
	case isStoreFailure(e):
		return transport.ResourceExhausted
	}
	switch e.ErrorCode {
	case jetstream.JSErrCodeStreamNotFound, jetstream.JSErrCodeConsumerNotFound, jetstream.JSErrCodeMessageNotFound,
		jetstream.JSErrCodeConsumerDoesNotExist, codeSequenceNotFound, codeDeleteFailed:
		return transport.NotFound
	case jetstream.JSErrCodeMaximumConsumersLimit, codeAccountResources, codeResources, codeMaxStreams, codeMemory, codeStorage,
		codeStoreFailed, codeTooMany, codeNoPeers:
		return transport.ResourceExhausted
	case codeInvalidConfig, codeSubjectOverlap, codeMaxBytesRequired, codeStreamMismatch, jetstream.JSErrCodeStreamNameInUse,
		jetstream.JSErrCodeConsumerCreate, jetstream.JSErrCodeConsumerNameExists, jetstream.JSErrCodeConsumerExists:
		return transport.FailedPrecondition
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return transport.Aborted
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge:
		return transport.InvalidArgument
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount, codeTTLDisabled:
		return transport.Unimplemented
	case codeIDInProcess:
		return transport.Unavailable
	}
	switch e.Code {
	case 400:
		return transport.InvalidArgument
	case 404:
		return transport.NotFound
	case 503:
		return transport.Unavailable
	}
	return transport.Internal
}

// maxParallel bounds the concurrent requests of a Transport to JetStream's API for groups.
// More requests do not speed up a cluster, and each of them takes longer.
const maxParallel = 32

// inParallel calls do for 0 to n-1 and returns all errors. At most maxParallel calls run at
// once, over all callers. do must not call inParallel.
func (a *api) inParallel(ctx context.Context, n int, do func(int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		select {
		case a.slots <- struct{}{}:
		case <-ctx.Done():
			errs[i] = transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: %v while it waited for other requests", ctx.Err())
			continue
		}
		wg.Go(func() {
			defer func() { <-a.slots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	return errs
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// account describes the account's JetStream.
type account struct {
	logs  bool
	level int // of the API; a later release of the server has a higher one
}

// Levels of the API of JetStream.
const (
	levelTTL     = 1 // nats-server 2.11: TTL per message
	levelBatches = 2 // nats-server 2.12: several messages are stored at once
	levelDelays  = 4 // nats-server 2.14: a stream copies from another without loss
)

// Capabilities implements [driver.Conn].
func (c conn) Capabilities() transport.Capabilities {
	t, a := c.t, c.t.account.Load()
	has := transport.Capabilities{
		Name: "nats", MaxPayload: t.maxPayload(),
		Logs: a.logs, Delays: a.logs && a.level >= levelDelays, Partitions: a.logs, Durable: a.logs && !t.options.memory,
	}
	switch {
	case !has.Logs:
		has.Advice = "the account has no JetStream: enable it there, or use another account"
	case !has.Delays:
		has.Advice = "it needs nats-server 2.14 or later: upgrade the server"
	}
	return has
}

// probe asks for the capabilities of the account. Without an answer they stay as they are.
// The first probe then uses what the server reports for all its accounts: a cluster without a
// leader does not answer.
func (a *api) probe(ctx context.Context) {
	info, err := attempt(ctx, a.t, probeTimeout, func(ctx context.Context) (*jetstream.AccountInfo, error) {
		return a.js(ctx).AccountInfo(ctx)
	})
	switch {
	case err == nil:
		a.t.account.Store(&account{logs: true, level: info.API.Level})
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		a.t.account.Store(&account{})
	case a.t.account.Load() == nil:
		enabled, level := a.t.nc.ConnectedServerJetStream()
		a.t.account.Store(&account{logs: enabled, level: level})
	}
}

const probeTimeout = 2 * time.Second

// logOptions holds the options for logs, buckets and stores.
type logOptions struct {
	domain   string
	replicas int
	memory   bool
	stream   func(string, *jetstream.StreamConfig)
	consumer func(string, string, *jetstream.ConsumerConfig)
	bucket   func(string, *jetstream.StreamConfig)
	store    func(string, *jetstream.StreamConfig)
}

func (o *Options) logOptions() logOptions {
	return logOptions{
		domain: o.Domain, replicas: o.Replicas, memory: o.Memory, stream: o.Stream, consumer: o.Consumer, bucket: o.Bucket, store: o.Store,
	}
}
