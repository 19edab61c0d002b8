// Package notifications is the contract of the module that writes to customers.
package notifications

import "gomono.dev/mono"

// Sent says how many customers were written to.
var Sent = mono.NewService[struct{}, Count]("notifications.sent",
	mono.Version("1.0.0"), mono.Doc("how many customers were written to"))

// Count is a number of messages.
type Count struct {
	Sent int `json:"sent"`
}
