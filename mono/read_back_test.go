package mono_test

import (
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// values returns the payloads of a reading.
func values(t testing.TB, read iter.Seq2[mono.Message[job], error]) (all []int, first uint64) {
	t.Helper()
	for m, err := range read {
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			first = m.Sequence
		}
		all = append(all, m.Value.N)
	}
	return all, first
}

// The last messages of a stream, and pages before them, are those of the whole reading, also after
// removals and for some keys.
func TestReadBackwards(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		s := mono.NewStream[job]("back.kept").KeyedBy(job.key)
		app := b.start(t, module("m", func(sc *mono.Scope) { sc.Use(s) }))
		const n = 60
		var jobs []job
		for i := range n {
			jobs = append(jobs, job{i, []string{"a", "b", "b", "b", "b"}[i%5]})
		}
		for _, err := range s.AppendAll(t.Context(), app, jobs...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: "streams_back_kept", Subjects: []string{"none"}, Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		for sequence := uint64(30); sequence < 45; sequence++ {
			if err := log.Remove(t.Context(), sequence); err != nil {
				t.Fatal(err)
			}
		}
		rapid.Check(t, func(r *rapid.T) {
			var keys []mono.ReadOption
			if rapid.Bool().Draw(r, "one key") {
				keys = append(keys, mono.Keys("a"))
			}
			size := rapid.Uint64Range(1, n+5).Draw(r, "size")
			whole, _ := values(t, s.Read(t.Context(), app, keys...))
			var got []int
			page, first := values(t, s.Read(t.Context(), app, append(keys, mono.Last(size))...))
			for len(page) > 0 {
				if len(page) != int(size) && len(page)+len(got) != len(whole) {
					r.Fatalf("a page has %d messages, want %d", len(page), size)
				}
				got = slices.Concat(page, got)
				page, first = values(t, s.Read(t.Context(), app, append(keys, mono.Last(size), mono.Before(first))...))
			}
			if !slices.Equal(got, whole) {
				r.Fatalf("pages of %d are %v, want %v", size, got, whole)
			}
		})
	})
}

// A reader of the last messages goes on with later ones, and options that exclude each other are
// errors.
func TestLastAndFollow(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		s := mono.NewStream[job]("back.followed")
		app := b.start(t, module("m", func(sc *mono.Scope) { sc.Use(s) }))
		add := func(n int) {
			if err := s.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := values(t, s.Read(t.Context(), app, mono.Last(2))); len(got) > 0 {
			t.Errorf("an empty stream has %v", got)
		}
		for n := range 5 {
			add(n)
		}
		var got []int
		for m, err := range s.Read(t.Context(), app, mono.Last(2), mono.Follow()) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, m.Value.N); len(got) == 2 {
				add(5)
			}
			if len(got) == 3 {
				break
			}
		}
		if !slices.Equal(got, []int{3, 4, 5}) {
			t.Errorf("got %v", got)
		}
		for _, options := range [][]mono.ReadOption{
			{mono.Last(2), mono.From(mono.End())}, {mono.Before(2), mono.Follow()}, {mono.Last(0)}, {mono.Before(0)},
		} {
			for _, err := range s.Read(t.Context(), app, options...) {
				if mono.CodeOf(err) != mono.InvalidArgument {
					t.Errorf("got %v", err)
				}
			}
		}
	})
}
