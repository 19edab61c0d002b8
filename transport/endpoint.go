package transport

import (
	"regexp"
	"time"
)

// Endpoint announces a subscription to a backend's service discovery. On NATS it
// is an endpoint of a micro service (ADR-32), and `nats micro ls|info|stats`
// show it. Endpoints of one Transport that agree on Instance and Service are one
// service.
type Endpoint struct {
	// Service is the name of the service: letters, digits, "-" and "_".
	Service string

	// Instance is unique to one running instance of the service.
	Instance string

	// Version of the service, by Semantic Versioning 2.0.0.
	Version string

	// Description of the service, for people.
	Description string

	// Name of the endpoint within the service: letters, digits, "-" and "_".
	Name string

	// Metadata of the endpoint.
	Metadata map[string]string

	// Stats returns what the endpoint has done so far. It is called for each
	// question and must return at once. It must not be nil.
	Stats func() EndpointStats
}

// EndpointStats is what an endpoint has done since it began. It is counted where
// handlers run, above the transport, so that it is true however many run at
// once.
type EndpointStats struct {
	Requests       uint64
	Errors         uint64
	LastError      string
	ProcessingTime time.Duration // of all requests together

	// Data is anything more, to be shown as JSON. It may be nil.
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

// ValidateVersion reports, as an InvalidArgument, what is no version by the
// grammar of Semantic Versioning 2.0.0: no leading zeros in numbers, no empty
// identifiers.
func ValidateVersion(v string) error {
	if !version.MatchString(v) {
		return Errorf(InvalidArgument, OutcomeNotDone, "%q is no semantic version: want one such as 1.2.0", v)
	}
	return nil
}

// Validate reports, as an InvalidArgument, names and a version that cannot be
// announced, and a nil Stats.
func (e *Endpoint) Validate() error {
	if !endpointName.MatchString(e.Service) || !endpointName.MatchString(e.Name) {
		return Errorf(InvalidArgument, OutcomeNotDone, "endpoint %q of service %q: want names of letters, digits, - and _", e.Name, e.Service)
	}
	if err := ValidateVersion(e.Version); err != nil {
		return Errorf(InvalidArgument, OutcomeNotDone, "the version of service %q: %w", e.Service, err)
	}
	if e.Stats == nil {
		return Errorf(InvalidArgument, OutcomeNotDone, "endpoint %q of service %q: Stats is nil", e.Name, e.Service)
	}
	return nil
}
