package patience

import (
	"context"
	"time"
)

// Limited is a context that ends with another context or at a deadline, such as those of
// package mono. A goroutine that waits for it may wait for these two instead, with a timer
// that it reuses, so that the context need not allocate a timer.
type Limited interface {
	context.Context

	// Limit returns the other context and the deadline. The other context may have an
	// earlier deadline.
	Limit() (parent context.Context, deadline time.Time)
}
