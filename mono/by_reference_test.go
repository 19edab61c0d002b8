package mono_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"gomono.dev/mono"
)

var (
	lend         = mono.NewService[*parcel, *parcel]("test.lend", mono.ByReference())
	lendBalanced = mono.NewService[*parcel, *parcel]("test.lend-balanced", mono.ByReference(), mono.LoadBalanced())
)

// lender is a module that provides lend and lendBalanced.
func lender(fn mono.Func[*parcel, *parcel]) mono.Module {
	return module("lender", func(s *mono.Scope) {
		lend.Handle(s, fn)
		lendBalanced.Handle(s, fn)
	})
}

// ByReference passes values of local calls without a copy. Values over the transport are
// copied.
func TestByReferencePassesValuesWithoutACopy(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var got *parcel
		app := p.start(t, lender(func(_ context.Context, v *parcel) (*parcel, error) { got = v; return v, nil }))
		mine := newParcel()
		for _, service := range []mono.Service[*parcel, *parcel]{lend, lendBalanced} {
			back, err := service.Call(t.Context(), app, &mine)
			same := service.Name() == lend.Name() && !p.noLocalCalls
			if err != nil || (got == &mine) != same || (back == got) != same || back.Label != mine.Label {
				t.Errorf("%s: sent %p, the handler got %p, the caller %p, %v", service.Name(), &mine, got, back, err)
			}
		}
	})
}

// referenceWatch is an observer that asks for checks of values passed by reference.
type referenceWatch struct{ trace }

func (w *referenceWatch) WatchReferences() {}

func (w *referenceWatch) Observe(o mono.Observation) {
	if c, ok := o.(mono.ReferenceChanged); ok {
		w.add(fmt.Sprint(c.Handle.Name(), " ", c.Changed, " ", c.Caller, " ", c.Provider))
	}
}

// A change of a value after it was passed by reference is reported at the end of the call,
// or at the latest when the App stops.
func TestChangedReferencesAreReported(t *testing.T) {
	t.Parallel()
	untouched := func(_ context.Context, v *parcel) (*parcel, error) { return v, nil }
	for _, c := range []struct {
		name    string
		service mono.Service[*parcel, *parcel]
		handle  mono.Func[*parcel, *parcel]
		after   func(mine, got *parcel)
		want    []string
	}{
		{"no change", lend, untouched, func(*parcel, *parcel) {}, nil},
		{"the handler changes the request", lend, func(_ context.Context, v *parcel) (*parcel, error) {
			v.Tags["x"] = 2
			return nil, nil
		}, func(*parcel, *parcel) {}, []string{"test.lend request caller lender"}},
		{"the handler changes the request and fails", lend, func(_ context.Context, v *parcel) (*parcel, error) {
			v.Items[0] = "z"
			return nil, mono.Errorf(mono.Aborted, "no")
		}, func(*parcel, *parcel) {}, []string{"test.lend request caller lender"}},
		{"the caller changes the request later", lend, func(context.Context, *parcel) (*parcel, error) { return nil, nil },
			func(mine, _ *parcel) { mine.Label = "changed" }, []string{"test.lend request caller lender"}},
		{"the caller changes the reply", lend, func(context.Context, *parcel) (*parcel, error) { return &parcel{Label: "new"}, nil },
			func(_, got *parcel) { got.Label = "changed" }, []string{"test.lend reply caller lender"}},
		{"a call over the transport copies values", lendBalanced, func(_ context.Context, v *parcel) (*parcel, error) {
			v.spoil()
			return v, nil
		}, func(mine, got *parcel) { mine.spoil(); got.spoil() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			watch := &referenceWatch{}
			app := newApp(t)
			app.Observe(watch)
			var client mono.Func[*parcel, *parcel]
			app.Add(lender(c.handle), module("caller", func(s *mono.Scope) { client = c.service.Client(s) }))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			mine := newParcel()
			got, err := client(t.Context(), &mine)
			if err != nil && mono.CodeOf(err) != mono.Aborted {
				t.Error(err)
			}
			c.after(&mine, got)
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if got := watch.all(); !slices.Equal(got, c.want) {
				t.Errorf("observed %q, want %q", got, c.want)
			}
		})
	}
}
