package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gomono.dev/internal/cputime"
	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// BenchmarkModules is an App of many modules: the time of its start, and the cost of a call in
// it. Each module provides a service, and needs that of the previous one.
func BenchmarkModules(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		services := manyServices(n)
		modules := make([]mono.Module, n)
		for i := range modules {
			modules[i] = module(fmt.Sprintf("module-%d", i), func(s *mono.Scope) {
				services[i].Handle(s, same)
				if i > 0 {
					s.Use(services[i-1])
				}
			})
		}
		b.Run(number(n)+"/start", func(b *testing.B) { startAndStop(b, modules) })
		b.Run(number(n)+"/call", func(b *testing.B) { callOneOf(b, services, modules) })
	}
}

func manyServices(n int) []mono.Service[flat, flat] {
	services := make([]mono.Service[flat, flat], n)
	for i := range services {
		services[i] = mono.NewService[flat, flat](fmt.Sprintf("bench.service-%d", i))
	}
	return services
}

// startAndStop measures the start alone.
func startAndStop(b *testing.B, modules []mono.Module) {
	b.ReportAllocs()
	var busy time.Duration
	for b.Loop() {
		before := cputime.Spent()
		a := mono.New(inproc.New(inproc.Options{}), mono.Logger(quiet))
		a.Add(modules...)
		if err := a.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		busy += cputime.Spent() - before
		b.StopTimer()
		stop(b, a)
		b.StartTimer()
	}
	b.ReportMetric(float64(busy)/float64(b.N), "cpu-ns/op")
}

// callOneOf calls the services in turn, by name, from outside any module.
func callOneOf(b *testing.B, services []mono.Service[flat, flat], modules []mono.Module) {
	a := serve(b, inproc.New(inproc.Options{}), func(a *mono.App) { a.Add(modules...) })
	some := services[:10] // the same number for all sizes, so as not to measure the processor's caches
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	end := meter(b)
	for i := 0; b.Loop(); i++ {
		got, err := some[i%len(some)].Call(ctx, a, flat{Quantity: i})
		if err != nil || got.Quantity != i {
			b.Fatalf("call %d: %+v, %v", i, got, err)
		}
	}
	end()
}

// BenchmarkHandles is one module with many handles.
func BenchmarkHandles(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		services := manyServices(n)
		b.Run(number(n), func(b *testing.B) {
			callOneOf(b, services, []mono.Module{module("all", func(s *mono.Scope) {
				for _, service := range services {
					service.Handle(s, same)
				}
			})})
		})
	}
}
