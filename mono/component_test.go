package mono_test

import (
	"context"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// A component of the App gets its environment, which is also known before the start.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	app := mono.New(inproc.New(inproc.Options{}), mono.Namespace("shop.eu"), mono.DefaultCodec(codec.Raw))
	before := app.Environment()
	var got transport.Environment
	app.Attach(transport.Component{
		Kind: "probe", Name: "p",
		Open:  func(_ context.Context, e transport.Environment) error { got = e; return nil },
		Close: func(context.Context) error { return nil },
	})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(t.Context())
	if got.Shared == nil || got.Namespace != "shop.eu" || got.Codec != codec.Raw {
		t.Errorf("a component got %+v", got)
	}
	got.Shared, got.Logger = nil, before.Logger
	if before != got {
		t.Errorf("before the start %+v, a component got %+v", before, got)
	}
}
