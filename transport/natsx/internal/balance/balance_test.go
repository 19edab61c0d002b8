package balance_test

import (
	"fmt"
	"slices"
	"testing"

	"gomono.dev/transport/natsx/internal/balance"
	"pgregory.net/rapid"
)

func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(t, "partitions")
		members := rapid.SliceOfNDistinct(rapid.StringN(0, 8, 8), 1, 20, rapid.ID[string]).Draw(t, "members")
		shuffled := rapid.Permutation(members).Draw(t, "shuffled")
		owners := make([]int, n)
		for _, m := range members {
			share := balance.Share(n, m, members)
			if !slices.Equal(share, balance.Share(n, m, append(shuffled, m))) {
				t.Fatal("the share depends on the order of the members")
			}
			has := 0
			for p, mine := range share {
				if mine {
					owners[p]++
					has++
				}
			}
			if has < n/len(members) || has > (n+len(members)-1)/len(members) {
				t.Fatalf("%q has %d of %d partitions of %d members", m, has, n, len(members))
			}
		}
		for p, owners := range owners {
			if owners != 1 {
				t.Fatalf("partition %d has %d owners", p, owners)
			}
		}
	})
}

// A join or a leave moves few partitions more than it must.
func TestFewPartitionsMove(t *testing.T) {
	const partitions, rounds = 64, 200
	for _, size := range []int{2, 3, 8} {
		moved := 0
		for round := range rounds {
			members := make([]string, size)
			for i := range members {
				members[i] = fmt.Sprint("member ", round, ".", i)
			}
			before, after := owners(partitions, members[:size-1]), owners(partitions, members)
			for p := range before {
				if before[p] != after[p] {
					moved++
				}
			}
		}
		if need := rounds * partitions / size; moved > need*3/2 {
			t.Errorf("%d members: %d partitions moved, and %d must", size, moved, need)
		} else {
			t.Logf("%d members: %d partitions moved, and %d must", size, moved, need)
		}
	}
}

func owners(partitions int, members []string) []string {
	of := make([]string, partitions)
	for _, m := range members {
		for p, mine := range balance.Share(partitions, m, members) {
			if mine {
				of[p] = m
			}
		}
	}
	return of
}

func TestRoster(t *testing.T) {
	r := balance.NewRoster("self")
	want := func(n int) {
		t.Helper()
		has := 0
		for _, mine := range r.Share(60) {
			if mine {
				has++
			}
		}
		if has != 60/n {
			t.Errorf("the member has %d partitions: want those of one of %d members", has, n)
		}
	}
	want(1)
	if r.Heard("self") || !r.Heard("a") || r.Heard("a") || !r.Heard("b") {
		t.Error("only a and b join, once each")
	}
	want(3)
	if r.Left("other") || !r.Left("a") || r.Left("a") {
		t.Error("a leaves, once")
	}
	want(2)
	for range 3 {
		if r.Pass() {
			t.Error("b is forgotten too early")
		}
	}
	r.Heard("b")
	for i := range 4 {
		if r.Pass() != (i == 3) {
			t.Error("b is forgotten after more than three periods without a word")
		}
	}
	want(1)
	for i := range 5000 {
		r.Heard(fmt.Sprint(i))
	}
	if members := len(r.Share(1)); members != 1 {
		t.Error(members)
	}
	joined := 0
	for i := range 5000 {
		if r.Left(fmt.Sprint(i)) {
			joined++
		}
	}
	if joined != 1024 {
		t.Errorf("the roster knew %d members: want 1024 at most", joined)
	}
}
