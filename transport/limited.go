package transport

import (
	"context"
	"time"
)

// Limited is an ability that a context may have: it ends with another one, or at a
// deadline. Who waits for it may wait for these two, with a timer that serves again,
// and spares the context one of its own.
type Limited interface {
	context.Context

	// Limit returns the two. The other context may have an earlier deadline.
	Limit() (parent context.Context, deadline time.Time)
}
