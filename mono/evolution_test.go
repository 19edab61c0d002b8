package mono_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// A release with another field needs nothing: an older one ignores the field, and a newer one has its
// zero value.
func TestAddAField(t *testing.T) {
	t.Parallel()
	type before struct {
		Text string `json:"text"`
	}
	type after struct {
		Text string `json:"text"`
		Note string `json:"note"`
	}
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		two := shapeOf("2", with(of()), func(text string) after { return after{text, text} }, func(v after) string { return cmp.Or(v.Note, v.Text) })
		b.climb(t, shapeOf("1", with(of()), func(text string) before { return before{text} }, func(v before) string { return v.Text }), two)
		b.history(t, two, 4)
	})
}

// Four releases that rename the field zip to postcode.
type (
	zipOf struct {
		Code string `json:"zip"`
	}
	postcodeOf struct {
		Code string `json:"postcode"`
	}
	// address1 and the others are an address in each release.
	address1 struct {
		At zipOf `json:"at"`
	}
	address3 struct {
		At postcodeOf `json:"at"`
	}
)

func addressOf1(text string) address1 { return address1{zipOf{text}} }
func addressOf3(text string) address3 { return address3{postcodeOf{text}} }
func (a address1) text() string       { return a.At.Code }
func (a address3) text() string       { return a.At.Code }

var (
	readsPostcode = codec.Aliases[zipOf]("zip", "postcode")
	readsZip      = codec.Aliases[postcodeOf]("postcode", "zip")
)

// A field is renamed in three releases: one that reads both names and writes the old one, one that
// reads both and writes the new one, and one that knows the new name only.
func TestRenameAField(t *testing.T) {
	t.Parallel()
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		three := shapeOf("3", with(of(readsZip)), addressOf3, address3.text)
		b.climb(t,
			shapeOf("1", with(of()), addressOf1, address1.text),
			shapeOf("2", with(of(readsPostcode)), addressOf1, address1.text),
			three,
			shapeOf("4", with(of()), addressOf3, address3.text),
		)
		b.history(t, three, 12)
	})
}

// The steps are safe for strict decoders, too.
func TestRenameAFieldWithStrictDecoding(t *testing.T) {
	t.Parallel()
	strict := codec.DisallowUnknownFields()
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		b.climb(t,
			shapeOf("1", with(of(strict)), addressOf1, address1.text),
			shapeOf("2", with(of(strict, readsPostcode)), addressOf1, address1.text),
			shapeOf("3", with(of(strict, readsZip)), addressOf3, address3.text),
			shapeOf("4", with(of(strict)), addressOf3, address3.text),
		)
	})
}

// deadText sends a job of one release to another one that cannot read it, and returns the error of
// the dead letter.
func deadText[From, To any](t testing.TB, b backend, from mono.Queue[From], to mono.Queue[To], job From) string {
	t.Helper()
	var letter mono.DeadLetter[To]
	b.within(t, func(app *mono.App) {
		if err := from.Enqueue(t.Context(), b.start(t), job); err != nil {
			t.Fatal(err)
		}
		letter = awaitDeadLetters(t, to.DeadLetters(app), 1)[0]
	}, module("m", func(s *mono.Scope) {
		to.Handle(s, func(context.Context, To) error { t.Error("it was handled"); return nil })
	}))
	if letter.Reason != mono.ReasonUndecodable {
		t.Errorf("the reason is %s", letter.Reason)
	}
	return letter.Error
}

// A strict release does not take a renamed field for a missing one: the job is a dead letter, whose
// error names the remedy. With the remedy it is handled.
func TestRenameAFieldAtOnce(t *testing.T) {
	t.Parallel()
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		strict := codec.DisallowUnknownFields()
		old, wrong := mono.NewQueue[address1]("rename.at-once", of()), mono.NewQueue[address3]("rename.at-once", of(strict))
		if text := deadText(t, b, old, wrong, addressOf1("1")); !strings.Contains(text, `unknown field "zip": add it to the type, or use codec.Aliases if it was renamed`) {
			t.Errorf("got %s", text)
		}
	})
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		old, right := mono.NewQueue[address1]("rename.replayed", of(codec.DisallowUnknownFields())), mono.NewQueue[address3]("rename.replayed", of(readsZip))
		if text := deadText(t, b, right, old, addressOf3("1")); !strings.Contains(text, `unknown field "postcode"`) {
			t.Errorf("got %s", text)
		}
		got := make(chan address3, 1)
		app := b.start(t, module("m", func(s *mono.Scope) { right.Handle(s, receiverOf(got)) }))
		letters := right.DeadLetters(app)
		for _, l := range awaitDeadLetters(t, letters, 1) {
			if v, err := l.Value(); err != nil || v != addressOf3("1") {
				t.Errorf("the newer release reads %v, %v", v, err)
			}
			if err := letters.Replay(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if v := next(t, got); v != addressOf3("1") {
			t.Errorf("replayed: %v", v)
		}
	})
}

// Aliases that cannot have an effect panic at the declaration. Start reports two declarations of a
// handle whose codecs have different options, and not those that have the same.
func TestWrongAliases(t *testing.T) {
	t.Parallel()
	for want, declare := range map[string]func(){
		`queue "rename.wrong" declared at `: func() { mono.NewQueue[job]("rename.wrong", mono.Codec(codec.NewJSON(readsZip))) },
		`contains none of these structs`:    func() { mono.NewService[job, job]("rename.wrong", mono.Codec(codec.NewMessagePack(readsZip))) },
		`has no field with the encoded name "zip"`: func() {
			mono.NewQueue[address3]("rename.wrong", mono.Codec(codec.NewJSON(codec.Aliases[postcodeOf]("zip", "postcode"))))
		},
	} {
		if got := panicOf(declare); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	queue := func(opts ...codec.Option) mono.Handle {
		return mono.NewQueue[address3]("rename.twice", mono.Codec(codec.NewJSON(opts...)))
	}
	type holder struct {
		postcodeOf
		Zip string `json:"zip"`
	}
	app := newApp(t).Add(module("m", func(s *mono.Scope) {
		s.Use(queue(readsZip), queue(readsZip))
		s.Use(mono.NewService[job, address3]("rename.reply", mono.Codec(codec.NewJSON(readsZip))), mono.NewEvent[holder]("rename.holder", mono.Codec(codec.NewJSON(readsZip))))
	}))
	app.Remote(mono.NewService[job, address3]("rename.reply", mono.Codec(codec.NewJSON(readsZip))))
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "1 problem(s)") || !strings.Contains(err.Error(), `the alias "zip" of "postcode" is a name of another field`) {
		t.Errorf("got %v", err)
	}
	app = newApp(t).Add(module("m", func(s *mono.Scope) { s.Use(queue(readsZip), queue(readsZip, codec.DisallowUnknownFields())) }))
	err := app.Start(t.Context())
	for _, want := range []string{`with Codec(application/json with Aliases[mono_test.postcodeOf]("postcode", "zip")) at `, `"zip"), DisallowUnknownFields()) at `} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A message without a content type is read by the codec of its handle, or of the App, with its
// options. Local calls work as with a codec without options.
func TestOptionsOfACodecApply(t *testing.T) {
	t.Parallel()
	strict := codec.NewJSON(codec.DisallowUnknownFields())
	handles := []mono.Service[reply, reply]{mono.NewService[reply, reply]("strict.own", mono.Codec(strict)), mono.NewService[reply, reply]("strict.standard")}
	app := newApp(t, mono.DefaultCodec(strict)).Add(module("m", func(s *mono.Scope) {
		for _, h := range handles {
			h.Handle(s, func(_ context.Context, r reply) (reply, error) { return r, nil })
		}
	}))
	begin(t, app)
	for _, h := range handles {
		if r, err := h.Call(t.Context(), app, reply{Text: "x"}); err != nil || r.Text != "x" {
			t.Errorf("%s: got %v, %v", h.Name(), r, err)
		}
		for body, unknown := range map[string]bool{`{"text":"x"}`: false, `{"text":"x","zip":1}`: true} {
			for _, contentType := range []string{"", "application/json", "application/json; charset=utf-8"} {
				m := &transport.Message{Subject: "services." + h.Name(), Body: []byte(body)}
				if contentType != "" {
					m.Header.Set(transport.HeaderContentType, contentType)
				}
				answer, err := mono.Raw(app).Request(t.Context(), m)
				if err == nil {
					if e := transport.ErrorFromHeader(answer.Header); e != nil {
						err = e
					}
				}
				if refused := mono.CodeOf(err) == mono.InvalidArgument && strings.Contains(err.Error(), `unknown field "zip"`); refused != unknown || err != nil && !refused {
					t.Errorf("%s, %s as %q: got %v", h.Name(), body, contentType, err)
				}
			}
		}
	}
}

// Three releases that change the type of a job: a price in euros becomes an amount.
type (
	euros  struct{ Text string }
	amount struct{ Parts []string }
)

func toAmount(e euros) (amount, error) { return amount{strings.Split(e.Text, " ")}, nil }
func toEuros(c amount) (euros, error)  { return euros{strings.Join(c.Parts, " ")}, nil }

// A type changes in two releases: one that reads both versions and writes the older one, and one that
// writes the newer one.
func TestChangeAType(t *testing.T) {
	t.Parallel()
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		of1 := func(text string) euros { return euros{text} }
		of2 := func(text string) amount { c, _ := toAmount(euros{text}); return c }
		text2 := func(c amount) string { return strings.Join(c.Parts, " ") }
		release := func(name string, step codec.Step) shape {
			return shapeOf(name, options{all: []mono.MessageOption{of()}, stored: []mono.StoredOption{mono.Upcasts(step)}}, of2, text2)
		}
		one := shapeOf("1", with(of()), of1, func(e euros) string { return e.Text })
		three := release("3", codec.Upcast("1", toAmount))
		b.climb(t, one, release("2", codec.Transition("1", toAmount, toEuros)), three)
		b.history(t, three, 8)
	})
}

// Without the first step the older release makes dead letters of newer jobs, and without an upcast the
// newer one of older jobs. Both errors name the remedy.
func TestChangeATypeAtOnce(t *testing.T) {
	t.Parallel()
	onCodecs(t, func(t *testing.T, b backend, of func(...codec.Option) mono.MessageOption) {
		old, newer := mono.NewQueue[euros]("change.up", of()), mono.NewQueue[amount]("change.up", of(), mono.Upcasts(codec.Upcast("1", toAmount)))
		if text := deadText(t, b, newer, old, amount{}); !strings.Contains(text, "version 2 is newer than 1") || !strings.Contains(text, "codec.Transition") || strings.Contains(text, "Upcasts") {
			t.Errorf("got %s", text)
		}
		type text struct{ Text []int }
		plain, wrong := mono.NewQueue[euros]("change.plain", of()), mono.NewQueue[text]("change.plain", of())
		if text := deadText(t, b, plain, wrong, euros{"1"}); !strings.Contains(text, "if an older release wrote it in another shape, read that with mono.Upcasts") {
			t.Errorf("got %s", text)
		}
	})
}

// A service with another shape is another service. A release serves both until no release calls the
// older one.
func TestChangeTheTypeOfAService(t *testing.T) {
	t.Parallel()
	older, newer := mono.NewService[euros, euros]("change.quote"), mono.NewService[amount, amount]("change.quote-2")
	onBackends(t, func(t *testing.T, b backend) {
		first := b.release(t, 1, func(s *mono.Scope) {
			older.Handle(s, func(_ context.Context, e euros) (euros, error) { return e, nil })
		})
		second := b.release(t, 2, func(s *mono.Scope) {
			older.Handle(s, func(_ context.Context, e euros) (euros, error) { return e, nil })
			newer.Handle(s, func(_ context.Context, c amount) (amount, error) { return c, nil })
		})
		stopFirst, stopSecond := starts(t, first), starts(t, second)
		for _, app := range []*mono.App{first, second} {
			if e, err := older.Call(t.Context(), app, euros{"1"}); err != nil || e.Text != "1" {
				t.Errorf("got %v, %v", e, err)
			}
		}
		if c, err := newer.Call(t.Context(), second, amount{[]string{"1"}}); err != nil || len(c.Parts) != 1 {
			t.Errorf("got %v, %v", c, err)
		}
		stopSecond() // the roll-back
		if e, err := older.Call(t.Context(), first, euros{"1"}); err != nil || e.Text != "1" {
			t.Errorf("got %v, %v", e, err)
		}
		stopFirst()
	})
}

// A release removes a subscriber of a durable event. Its group is in use as long as the older release
// runs, then it is reported and deleted, and a roll-back makes it again.
func TestRemoveAGroup(t *testing.T) {
	t.Parallel()
	told := mono.NewEvent[job]("remove.told", mono.Durable())
	onBackends(t, func(t *testing.T, b backend) {
		kept, removed := make(chan job, 10), make(chan job, 10)
		older := func() *mono.App {
			return b.release(t, 1, func(s *mono.Scope) {
				told.Handle(s, receiverOf(kept), mono.Group("kept"))
				told.Handle(s, receiverOf(removed), mono.Group("removed"))
			})
		}
		newer := func() *mono.App {
			return b.release(t, 2, func(s *mono.Scope) { told.Handle(s, receiverOf(kept), mono.Group("kept")) })
		}
		first, second := older(), newer()
		stopFirst := starts(t, first)
		unused := watchUnused(second)
		stopSecond := starts(t, second)
		for n, app := range []*mono.App{first, second} {
			if err := told.Publish(t.Context(), app, job{N: n}); err != nil {
				t.Error(err)
			}
			next(t, kept)
			next(t, removed)
		}
		if err := mono.DeleteGroup(t.Context(), second, told, "removed"); len(*unused) > 0 || mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "stop the programs that receive with it") {
			t.Errorf("the older release runs: unused are %q, %v", *unused, err)
		}
		stopFirst()
		stopSecond()
		second = newer()
		unused = watchUnused(second)
		stopSecond = starts(t, second)
		if err := mono.DeleteGroup(t.Context(), second, told, "removed"); err != nil || !slices.Equal(*unused, []string{"remove.told/removed"}) {
			t.Errorf("unused are %q, %v", *unused, err)
		}
		stopSecond()
		first = older()
		stopFirst = starts(t, first)
		if err := told.Publish(t.Context(), first, job{N: 2}); err != nil {
			t.Error(err)
		}
		next(t, kept)
		if j := next(t, removed); j.N != 2 {
			t.Errorf("after the roll-back it got %v", j)
		}
		stopFirst()
	})
}

// The number of partitions cannot be changed, but a stream can be replaced by another one in three
// releases: one that receives from both, one that appends to the new one, and one that has only that.
func TestChangeThePartitions(t *testing.T) {
	t.Parallel()
	older := mono.NewStream[job]("partitions.ledger").KeyedBy(job.key)
	wrong := mono.NewStream[job]("partitions.ledger", mono.Partitions(4)).KeyedBy(job.key)
	newer := mono.NewStream[job]("partitions.ledger-2", mono.Partitions(4)).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan job, 10)
		releases := []struct {
			receives []mono.Stream[job]
			sends    mono.Stream[job]
		}{{[]mono.Stream[job]{older}, older}, {[]mono.Stream[job]{older, newer}, older}, {[]mono.Stream[job]{older, newer}, newer}, {[]mono.Stream[job]{newer}, newer}}
		start := func(i int) (app *mono.App, stop func()) {
			app = b.release(t, uint64(i), func(s *mono.Scope) {
				s.Use(releases[i].sends)
				for _, stream := range releases[i].receives {
					stream.Handle(s, receiverOf(got))
				}
			})
			return app, starts(t, app)
		}
		n := 0
		send := func(i int, app *mono.App) {
			if err := releases[i].sends.Append(t.Context(), app, job{N: n, Key: "k"}); err != nil {
				t.Error(err)
			}
			if j := next(t, got); j.N != n {
				t.Errorf("release %d sent %d, and %d arrived", i+1, n, j.N)
			}
			n++
		}
		app, stop := start(0)
		startRefused(t, b.release(t, 1, func(s *mono.Scope) { s.Use(wrong) }), "stream partitions.ledger", "it exists with mono.Partitions(16), and mono.Partitions(4) is declared here", "choose another name")
		runs := 0
		for _, deployed := range []int{1, 0, 1, 2, 1, 2, 3, 2, 3} { // each release is rolled back once
			other, stopOther := start(deployed)
			send(runs, app)
			send(deployed, other)
			stop()
			app, stop, runs = other, stopOther, deployed
		}
		stop()
	})
}
