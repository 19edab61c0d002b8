// Package web serves the orders over HTTP.
package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
)

// Module listens on Addr and serves POST /orders, GET /orders/{id}, with ?batch= for
// an order of a batch, and GET /health. With RequestIDs each request has an id, as package
// requestid describes.
type Module struct {
	Addr       string
	RequestIDs bool

	// Wrap returns a handler around that of all requests. The default adds nothing.
	Wrap func(http.Handler) http.Handler

	// Place and Get are the services that are called, by default those of package orders.
	Place *mono.Service[orders.Order, orders.Confirmation]
	Get   *mono.Service[orders.GetRequest, orders.Confirmation]

	place  mono.Func[orders.Order, orders.Confirmation]
	get    mono.Func[orders.GetRequest, orders.Confirmation]
	scope  *mono.Scope
	server *server
}

// Bind needs the orders, so that they are served before this module starts and until it has
// stopped.
func (m *Module) Bind(s *mono.Scope) error {
	m.place = cmp.Or(m.Place, &orders.Place).Client(s)
	m.get = cmp.Or(m.Get, &orders.Get).Client(s)
	m.scope = s
	return nil
}

// Start listens.
func (m *Module) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", m.Addr)
	if err != nil {
		return mono.Errorf(mono.FailedPrecondition, "cannot serve on %s: choose another address with -serve: %w", m.Addr, err)
	}
	handler := m.routes()
	if m.Wrap != nil {
		handler = m.Wrap(handler)
	}
	if m.RequestIDs {
		handler = requestid.Handler(handler)
	}
	m.server = serve(listener, handler, m.scope.Logger())
	m.scope.Logger().Info("serving", "address", listener.Addr().String())
	return nil
}

func (m *Module) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", m.postOrder)
	mux.HandleFunc("GET /orders/{id}", m.getOrder)
	mux.HandleFunc("GET /health", m.getHealth)
	return mux
}

// Stop answers the requests under way, and ends their connections.
func (m *Module) Stop(ctx context.Context) error { return m.server.stop(ctx) }

func (m *Module) postOrder(w http.ResponseWriter, r *http.Request) {
	var o orders.Order
	if err := readJSON(w, r, &o); err != nil {
		fail(w, err)
		return
	}
	c, err := m.place(r.Context(), o)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", location(c.Order))
	reply(w, http.StatusCreated, c)
}

// location is the path of an order.
func location(o orders.Order) string {
	u := url.URL{Path: "/orders/" + o.ID}
	if o.Batch != "" {
		u.RawQuery = url.Values{"batch": {o.Batch}}.Encode()
	}
	return u.String()
}

func (m *Module) getOrder(w http.ResponseWriter, r *http.Request) {
	batch, err := batchOf(r.URL)
	if err != nil {
		fail(w, err)
		return
	}
	c, err := m.get(r.Context(), orders.GetRequest{ID: r.PathValue("id"), Batch: batch})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, c)
}

// batchOf returns the batch in a query, or "". Unlike URL.Query, it reports a malformed query.
func batchOf(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", reject(http.StatusBadRequest, "the query %.200q is malformed: %v", u.RawQuery, err)
	}
	if n := len(query["batch"]); n > 1 {
		return "", reject(http.StatusBadRequest, "the query has %d batches: name one", n)
	}
	return query.Get("batch"), nil
}

func (m *Module) getHealth(w http.ResponseWriter, r *http.Request) {
	h := m.scope.Health(r.Context())
	status := http.StatusOK
	if !h.Healthy {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, h)
}

// fail sends an error: the name, code and value of a failure of any module, or the code and the
// text of another error.
func fail(w http.ResponseWriter, err error) {
	if f, ok := mono.FailureOf(err); ok {
		reply(w, f.Status, f)
		return
	}
	status := mono.CodeOf(err).HTTPStatus()
	if e, ok := errors.AsType[*bodyError](err); ok {
		status = e.status
	}
	reply(w, status, map[string]any{"code": mono.CodeOf(err), "message": err.Error()})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}
