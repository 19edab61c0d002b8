package transport

import (
	"regexp"
	"time"
)

// Endpoint announces a subscription to a backend's service discovery. On NATS it is an
// endpoint of a micro service (ADR-32), listed by `nats micro ls|info|stats`. Endpoints
// of one Transport with the same Instance and Service form one service.
type Endpoint struct {
	// Service is the name of the service: letters, digits, "-" and "_".
	Service string

	// Instance is unique to one running instance of the service.
	Instance string

	// Version is the version of the service, by Semantic Versioning 2.0.0.
	Version string

	// Description describes the service for people.
	Description string

	// Name is the name of the endpoint within the service: letters, digits, "-" and "_".
	Name string

	// Metadata is the metadata of the endpoint.
	Metadata map[string]string

	// Stats returns the statistics of the endpoint. It is called for each query and must
	// return at once. It must not be nil.
	Stats func() EndpointStats
}

// EndpointStats holds the statistics of an endpoint since its start. The layer above the
// transport counts them where handlers run, so they are correct for any number of
// concurrent handlers.
type EndpointStats struct {
	Requests       uint64
	Errors         uint64
	LastError      string
	ProcessingTime time.Duration // of all requests together

	// Data is additional data, shown as JSON. It may be nil.
	Data any
}

var (
	endpointName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	version      = regexp.MustCompile(`^` + number + `\.` + number + `\.` + number + `(-` + before + `(\.` + before + `)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

const (
	number = `(0|[1-9][0-9]*)`
	before = `(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)`
)

// ValidateVersion returns an InvalidArgument unless v is a version by the grammar of
// Semantic Versioning 2.0.0: no leading zeros in numbers, no empty identifiers.
func ValidateVersion(v string) error {
	if !version.MatchString(v) {
		return invalid("%q is not a semantic version: want one such as 1.2.0", v)
	}
	return nil
}

// Validate returns an InvalidArgument for names and a version that cannot be announced,
// and for a nil Stats.
func (e *Endpoint) Validate() error {
	if !endpointName.MatchString(e.Service) || !endpointName.MatchString(e.Name) {
		return invalid("endpoint %q of service %q: names must consist of letters, digits, - and _", e.Name, e.Service)
	}
	if err := ValidateVersion(e.Version); err != nil {
		return invalid("the version of service %q: %w", e.Service, err)
	}
	if e.Stats == nil {
		return invalid("endpoint %q of service %q: Stats is nil: set a function", e.Name, e.Service)
	}
	return nil
}
