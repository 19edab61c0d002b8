package natsx

import (
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/transport"
)

// services answers discovery requests (ADR-32) for all endpoints of a Transport. It uses the
// types of nats.go's package micro, but not its services: micro counts a request while its
// handler runs, and natsx's handler returns immediately.
type services struct {
	t   *Transport
	mu  sync.Mutex
	all map[serviceKey]*service
}

// serviceKey identifies the service of an endpoint.
type serviceKey struct{ instance, name string }

// service is one service with its endpoints.
type service struct {
	identity    micro.ServiceIdentity
	description string
	started     time.Time
	endpoints   []*endpoint // guarded by services.mu
	subs        []*nats.Subscription
}

// endpoint is an announced subscription.
type endpoint struct {
	transport.Endpoint
	subject, group string
	service        *service
}

// join adds the receiver of a subscription with an Endpoint to its service. It returns the
// service if it is new and has to be announced.
func (ss *services) join(r *receiver, s transport.Subscription) (*service, error) {
	if s.Endpoint == nil {
		return nil, nil
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	key := serviceKey{s.Endpoint.Instance, s.Endpoint.Service}
	sv, known := ss.all[key]
	if !known {
		sv = newService(s.Endpoint)
	}
	if err := sv.accepts(s.Endpoint); err != nil {
		return nil, err
	}
	if ss.all == nil {
		ss.all = make(map[serviceKey]*service)
	}
	ss.all[key] = sv
	r.endpoint = &endpoint{Endpoint: *s.Endpoint, subject: s.Subject, group: s.Group, service: sv}
	sv.endpoints = append(sv.endpoints, r.endpoint)
	if known {
		return nil, nil
	}
	return sv, nil
}

func (sv *service) accepts(e *transport.Endpoint) error {
	if sv.identity.Version != e.Version {
		return invalid("service %q has the versions %q and %q: give all endpoints of an instance the same", e.Service, sv.identity.Version, e.Version)
	}
	for _, other := range sv.endpoints {
		if other.Name == e.Name {
			return invalid("service %q has two endpoints %q: give each its own name", e.Service, e.Name)
		}
	}
	return nil
}

func newService(e *transport.Endpoint) *service {
	return &service{
		identity:    micro.ServiceIdentity{Name: e.Service, ID: rand.Text(), Version: e.Version, Metadata: map[string]string{}},
		description: e.Description,
		started:     time.Now().UTC(),
	}
}

// remove removes a receiver from discovery, and its service with the last receiver.
func (ss *services) remove(r *receiver) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	e := r.endpoint
	if e == nil {
		return
	}
	r.endpoint = nil
	sv := e.service
	for i, other := range sv.endpoints {
		if other == e {
			sv.endpoints = append(sv.endpoints[:i:i], sv.endpoints[i+1:]...)
		}
	}
	if len(sv.endpoints) > 0 {
		return
	}
	delete(ss.all, serviceKey{e.Instance, e.Service})
	for _, sub := range sv.subs {
		_ = sub.Unsubscribe() // an error means that the connection is closed
	}
}

// close removes all services. The closed connection has ended their subscriptions.
func (ss *services) close() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all = nil
}

// listen subscribes to the three discovery requests. Each may be sent to all services, to
// those with a name, or to this one.
func (sv *service) listen(ss *services) error {
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: sv.identity, Type: micro.PingResponseType} },
		micro.InfoVerb:  func() any { return sv.info(ss.endpointsOf(sv)) },
		micro.StatsVerb: func() any { return sv.stats(ss.endpointsOf(sv)) },
	} {
		for _, to := range [][2]string{{"", ""}, {sv.identity.Name, ""}, {sv.identity.Name, sv.identity.ID}} {
			if err := sv.answer(ss, verb, to, answer); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sv *service) answer(ss *services, verb micro.Verb, to [2]string, answer func() any) error {
	subject, err := micro.ControlSubject(verb, to[0], to[1])
	if err != nil {
		return err
	}
	sub, err := ss.t.nc.Subscribe(subject, func(msg *nats.Msg) {
		if msg.Reply == "" {
			return
		}
		data, err := json.Marshal(answer())
		if err == nil {
			err = msg.Respond(data)
		}
		if err != nil {
			ss.t.log.Warn("natsx: discovery not answered", "subject", subject, "error", err)
		}
	})
	if err != nil {
		return err
	}
	ss.mu.Lock()
	sv.subs = append(sv.subs, sub)
	ss.mu.Unlock()
	return nil
}

// endpointsOf returns a copy of a service's endpoints.
func (ss *services) endpointsOf(sv *service) []*endpoint {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return append([]*endpoint(nil), sv.endpoints...)
}

func (sv *service) info(endpoints []*endpoint) micro.Info {
	info := micro.Info{ServiceIdentity: sv.identity, Type: micro.InfoResponseType, Description: sv.description, Endpoints: []micro.EndpointInfo{}}
	for _, e := range endpoints {
		metadata := e.Metadata
		if metadata == nil {
			metadata = map[string]string{}
		}
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{Name: e.Name, Subject: e.subject, QueueGroup: e.group, Metadata: metadata})
	}
	return info
}

func (sv *service) stats(endpoints []*endpoint) micro.Stats {
	stats := micro.Stats{ServiceIdentity: sv.identity, Type: micro.StatsResponseType, Started: sv.started, Endpoints: []*micro.EndpointStats{}}
	for _, e := range endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats())
	}
	return stats
}

func (e *endpoint) stats() *micro.EndpointStats {
	s := e.Stats()
	stats := &micro.EndpointStats{
		Name: e.Name, Subject: e.subject, QueueGroup: e.group,
		NumRequests: int(s.Requests), NumErrors: int(s.Errors), LastError: s.LastError, ProcessingTime: s.ProcessingTime,
	}
	if s.Requests > 0 {
		stats.AverageProcessingTime = s.ProcessingTime / time.Duration(s.Requests)
	}
	if s.Data != nil {
		stats.Data, _ = json.Marshal(s.Data) // data that cannot be marshaled is left out
	}
	return stats
}
