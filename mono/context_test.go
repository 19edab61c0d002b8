package mono_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
)

// The context of a handler ends at its deadline, regardless of the method that observes it.
func TestHandlerContextEndsAtDeadline(t *testing.T) {
	t.Parallel()
	limited := mono.NewService[question, reply]("test.limited", mono.Timeout(time.Second))
	waits := map[string]func(ctx context.Context){
		"Done": func(ctx context.Context) { <-ctx.Done() },
		"Err": func(ctx context.Context) {
			for ctx.Err() == nil {
				<-time.After(100 * time.Millisecond)
			}
		},
		"derived": func(ctx context.Context) {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			<-derived.Done()
		},
		"Cause": func(ctx context.Context) {
			for context.Cause(ctx) == nil {
				<-time.After(100 * time.Millisecond)
			}
		},
		"AfterFunc": func(ctx context.Context) {
			ended := make(chan struct{})
			context.AfterFunc(ctx, func() { close(ended) })
			<-ended
		},
	}
	for name, wait := range waits {
		for _, p := range paths[:2] {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var kept context.Context
					seen := make(chan error, 1)
					app := p.start(t, module("m", func(s *mono.Scope) {
						limited.Handle(s, func(ctx context.Context, _ question) (reply, error) {
							kept = ctx
							if ctx.Err() != nil || mono.CallFrom(ctx).Handle() == nil {
								t.Error("the context has ended, or has no call")
							}
							wait(ctx)
							seen <- errors.Join(ctx.Err(), context.Cause(ctx))
							return reply{}, nil
						})
					}))
					began := time.Now()
					_, _ = limited.Call(t.Context(), app, question{}) // the call times out at the same instant
					if err := <-seen; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
						t.Errorf("the handler saw %v after %v", err, time.Since(began))
					}
					synctest.Wait()
					if kept.Err() == nil {
						t.Error("a context that was kept has not ended")
					}
				})
			})
		}
	}
}

// The context of a handler ends when the handler returns.
func TestHandlerContextEndsAfterHandler(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		kept := make(chan context.Context, 1)
		app := p.start(t, module("m", func(s *mono.Scope) {
			ask.Handle(s, func(ctx context.Context, _ question) (reply, error) {
				kept <- ctx
				return reply{}, nil
			})
		}))
		if _, err := ask.Call(t.Context(), app, question{}); err != nil {
			t.Fatal(err)
		}
		ctx := <-kept
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("it ended with %v", ctx.Err())
		}
	})
}
