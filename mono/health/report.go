package health

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gomono.dev/mono"
)

// Status is a status of draft-inadarei-api-health-check.
type Status string

// The statuses.
const (
	StatusPass Status = "pass"
	StatusFail Status = "fail"
)

// Report is the answer to a probe. Its JSON has the format application/health+json of
// draft-inadarei-api-health-check, with lastSuccess, sinceSuccess, duration and details in addition.
type Report struct {
	Status   Status              `json:"status"`
	Output   string              `json:"output,omitempty"`    // the names of the checks that fail
	Notes    []string            `json:"notes,omitempty"`     // about excluded checks
	Instance string              `json:"serviceId,omitempty"` // see [mono.Scope.Instance]; empty before the start
	Checks   map[string][]Result `json:"checks"`              // one Result for each name
}

// Result is the result of one check.
type Result struct {
	Kind         string          `json:"componentType"` // see [mono.HealthCheck]
	Status       Status          `json:"status"`
	Output       string          `json:"output,omitempty"`       // why it fails
	Time         time.Time       `json:"time,omitzero"`          // when the check returned, up to a second ago; zero if there is no check
	Duration     string          `json:"duration,omitempty"`     // of the check, such as "1.5ms"
	LastSuccess  time.Time       `json:"lastSuccess,omitzero"`   // when a probe last found it to pass
	SinceSuccess string          `json:"sinceSuccess,omitempty"` // the time since then
	Details      json.RawMessage `json:"details,omitempty"`      // see [mono.ReportDetail]
}

// report returns the report of all results.
func (p *Probes) report(results []result, notes ...string) Report {
	p.mu.Lock()
	instance := p.scope.Instance()
	p.mu.Unlock()
	report := Report{Status: StatusPass, Notes: notes, Instance: instance, Checks: make(map[string][]Result)}
	if failed := failures(results); len(failed) > 0 {
		report.Status, report.Output = StatusFail, "failed: "+strings.Join(failed, ", ")
	}
	for i := range results {
		r := &results[i]
		if r.excluded {
			report.Notes = append(report.Notes, "excluded: "+r.name)
			continue
		}
		report.Checks[r.name] = []Result{p.show(r)}
	}
	return report
}

// show returns the public part of a result.
func (p *Probes) show(r *result) Result {
	shown := Result{Kind: r.kind, Status: StatusPass}
	if r.Checked {
		shown.Time, shown.Duration = r.at, r.Duration.String()
	}
	if !r.Healthy {
		shown.Status, shown.Output = StatusFail, p.reason(r)
	}
	if r.Checked && !r.success.IsZero() {
		shown.LastSuccess, shown.SinceSuccess = r.success, since(r.success)
	}
	if !p.hideErrors {
		shown.Details = details(r.HealthResult)
	}
	return shown
}

func since(t time.Time) string { return time.Since(t).Round(time.Millisecond).String() }

// details returns the details of a result as JSON, nil if it has none.
func details(r mono.HealthResult) json.RawMessage {
	if len(r.Details) == 0 {
		return nil
	}
	text, err := json.Marshal(mono.HealthResult{Details: r.Details}) // it replaces what JSON cannot encode
	var shown struct {
		Details json.RawMessage `json:"details"`
	}
	if err != nil || json.Unmarshal(text, &shown) != nil {
		return nil
	}
	return shown.Details
}

// maxReason is the length up to which the text of an error is shown.
const maxReason = 4 << 10

// reason returns why a check fails, in one line.
func (p *Probes) reason(r *result) string {
	if p.hideErrors && !isState(r.name) {
		return "reason withheld"
	}
	text := r.Message
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(strings.ReplaceAll(text, "\n", "; "), "�"))
}

// failures returns the names of the checks that fail.
func failures(results []result) (names []string) {
	for i := range results {
		if !results[i].excluded && !results[i].Healthy {
			names = append(names, results[i].name)
		}
	}
	return names
}

// nameOf returns the name of a check in paths and reports, such as "module/orders".
func nameOf(c mono.HealthCheck) string {
	if c.Name == "" {
		return c.Kind
	}
	return strings.ReplaceAll(c.Kind+" "+c.Name, " ", "/")
}

// unknown returns a note about excluded names that no check has, or "". While the App does not run,
// the names of its checks are unknown.
func unknown(excluded []string, results []result) string {
	if len(results) == 1 && !results[0].Healthy {
		return ""
	}
	var names []string
	for _, name := range excluded {
		if !slices.ContainsFunc(results, func(r result) bool { return r.excluded && r.name == name }) {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "some health checks cannot be excluded: no matches for " + strings.Join(names, ", ")
}
