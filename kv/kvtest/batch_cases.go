package kvtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

// batch stores writes that must succeed, and returns the revision of the last one.
func (b *bucket) batch(f func(*kv.Tx[string])) uint64 {
	b.s.Helper()
	r, err := b.tryBatch(f)
	b.s.must(err)
	return r
}

func (b *bucket) tryBatch(f func(*kv.Tx[string])) (uint64, error) {
	return b.Batch(b.s.patient(), func(tx *kv.Tx[string]) error {
		f(tx)
		return nil
	})
}

const allOrNone = "Batch calls f, which collects writes, and then stores all of them or none."

// batchCases need Batches.
var batchCases = needing(Batches, []testCase{
	{
		name: "batch/all", contract: allOrNone,
		rule: "Writes of all kinds are stored together.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, key := range []string{"put", "update", "deleted", "purged"} {
				b.put(key, "0")
			}
			r := b.get("update").Revision
			b.batch(func(tx *kv.Tx[string]) {
				tx.Put("put", "1")
				tx.Create("create", "1")
				tx.Update("update", r, "1")
				tx.Delete("deleted")
				tx.Purge("purged", kv.IfRevision(b.get("purged").Revision))
			})
			b.wantList("create=1 put=1 update=1")
			b.wantHistory("deleted", "deleted=0 deleted:delete")
			b.wantHistory("purged", "purged:purge")
		},
	},
	{
		name: "batch/revisions", contract: "The result is the revision of the last write; those of the others precede it without a gap.",
		rule: "The writes have consecutive revisions in their order.",
		body: func(s *suite) {
			b := s.open()
			b.put("z", "1")
			last := b.batch(func(tx *kv.Tx[string]) {
				for _, key := range []string{"c", "a", "b"} {
					tx.Put(key, "1")
				}
			})
			for i, key := range []string{"b", "a", "c"} {
				wantEqual(s, "the revision of "+key, b.get(key).Revision, last-uint64(i))
			}
			wantEqual(s, "the next revision", b.put("z", "2"), last+1)
		},
	},
	{
		name: "batch/update-conflict", contract: "If the condition of a Create does not hold, Batch returns already_exists. For another condition it returns aborted. The error names the key if it is known.",
		rule: "If one Update or deletion is aborted, nothing is stored, and the error names the key.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			old := b.put("a", "1")
			b.put("a", "2")
			for _, conflict := range []func(*kv.Tx[string]){
				func(tx *kv.Tx[string]) { tx.Update("a", old, "3") },
				func(tx *kv.Tx[string]) { tx.Delete("a", kv.IfRevision(old)) },
				func(tx *kv.Tx[string]) { tx.Purge("a", kv.IfRevision(old)) },
			} {
				_, err := b.tryBatch(func(tx *kv.Tx[string]) {
					tx.Put("before", "1")
					conflict(tx)
					tx.Put("after", "1")
				})
				b.wantError("a", err, transport.Aborted)
			}
			b.wantList("a=2")
			b.wantHistory("a", "a=1 a=2")
			wantEqual(s, "the next revision", b.put("b", "1"), old+2)
		},
	},
	{
		name: "batch/create-conflict", contract: "If the condition of a Create does not hold, Batch returns already_exists",
		rule: "If one Create meets a value, nothing is stored, and already_exists names the key.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			_, err := b.tryBatch(func(tx *kv.Tx[string]) {
				tx.Create("before", "1")
				tx.Create("a", "2")
				tx.Put("after", "1")
			})
			b.wantError("a", err, transport.AlreadyExists)
			b.wantList("a=1")
		},
	},
	{
		name: "batch/create-over-marks", contract: "If the condition of a Create does not hold, Batch returns already_exists",
		rule: "The marks of deletions hinder no Create of a Batch.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, key := range []string{"deleted", "purged"} {
				b.put(key, "1")
			}
			b.delete("deleted")
			b.purge("purged")
			b.batch(func(tx *kv.Tx[string]) {
				tx.Create("purged", "2")
				tx.Create("new", "2")
				tx.Create("deleted", "2")
			})
			b.wantList("deleted=2 new=2 purged=2")
		},
	},
	{
		name: "batch/error", contract: "An error of f is returned as it is, and nothing is stored.",
		rule: "After an error of f nothing is stored.",
		body: func(s *suite) {
			b := s.open()
			own := errors.New("own")
			_, err := b.Batch(s.patient(), func(tx *kv.Tx[string]) error {
				tx.Put("a", "1")
				return own
			})
			if err != own {
				s.Errorf("got %v, want %v", err, own)
			}
			b.gone("a")
		},
	},
	{
		name: "batch/empty", contract: allOrNone,
		rule: "A Batch without writes does nothing.",
		body: func(s *suite) {
			b := s.open()
			b.batch(func(*kv.Tx[string]) {})
			wantEqual(s, "the first revision", b.put("a", "1"), 1)
		},
	},
	{
		name: "batch/twice", contract: "A key can be written once.",
		rule: "A key that is written twice in a Batch is invalid_argument, and nothing is stored.",
		body: func(s *suite) {
			b := s.open()
			_, err := b.tryBatch(func(tx *kv.Tx[string]) {
				tx.Put("b", "1")
				tx.Put("a", "1")
				tx.Delete("a")
			})
			b.wantError("a", err, transport.InvalidArgument, "twice")
			b.wantKeys(nil)
		},
	},
	{
		name: "batch/limit", contract: "MaxBatch is the maximum number of writes in a Batch.",
		rule: "1,000 writes are stored together, and 1,001 are resource_exhausted.",
		body: func(s *suite) {
			b := s.open()
			write := func(n int) error {
				_, err := b.tryBatch(func(tx *kv.Tx[string]) {
					for i := range n {
						tx.Put(strconv.Itoa(i), strconv.Itoa(n))
					}
				})
				return err
			}
			b.wantError("", write(kv.MaxBatch+1), transport.ResourceExhausted, "1000")
			b.wantKeys(nil)
			s.must(write(kv.MaxBatch))
			b.want("0", "1000")
			b.want("999", "1000")
		},
	},
	{
		name: "batch/bad-input", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "A bad key, TTL or revision in a Batch is invalid_argument, and nothing is stored.",
		body: func(s *suite) {
			b := s.open()
			for key, bad := range map[string]func(*kv.Tx[string]){
				"a": func(tx *kv.Tx[string]) { tx.Put("a", "1", kv.TTL(time.Millisecond)) },
				"b": func(tx *kv.Tx[string]) { tx.Update("b", 0, "1") },
				"c": func(tx *kv.Tx[string]) { tx.Delete("c", kv.IfRevision(0)) },
				"d": func(tx *kv.Tx[string]) { tx.Create("d", "1", nil) },
				"e": func(tx *kv.Tx[string]) { tx.Purge("e", nil) },
				"":  func(tx *kv.Tx[string]) { tx.Purge("") },
			} {
				_, err := b.tryBatch(func(tx *kv.Tx[string]) {
					tx.Put("ok", "1")
					bad(tx)
					tx.Put("ok2", "1")
				})
				b.wantError(key, err, transport.InvalidArgument)
			}
			b.wantKeys(nil)
		},
	},
	{
		name: "batch/watch", contract: eachOnce,
		rule: "A Watch gets the writes of a Batch in their order.",
		body: func(s *suite) {
			b := s.open()
			w := b.watch()
			w.want("current")
			b.batch(func(tx *kv.Tx[string]) {
				tx.Put("b", "1")
				tx.Put("a", "1")
				tx.Delete("c")
			})
			w.want("b=1", "a=1", "c:delete")
		},
	},
	{
		name: "batch/transfers", contract: allOrNone,
		rule: "Concurrent transfers between accounts by Batch and GetAll keep the sum at each revision.",
		body: func(s *suite) {
			b := s.open()
			accounts := []string{"a", "b", "c"}
			for _, key := range accounts {
				b.put(key, "100")
			}
			both := []*bucket{b, b.elsewhere()}
			s.together(6, func(i int) {
				for range 10 {
					from := rand.IntN(3)
					both[i%2].transfer(accounts, accounts[from], accounts[(from+1)%3])
				}
			})
			b.wantSum(accounts, 300)
		},
	},
})

// transfer moves 1 from one account to another one.
func (b *bucket) transfer(accounts []string, from, to string) {
	for {
		sum := b.wantSum(accounts, 300)
		if sum == nil {
			return
		}
		_, err := b.tryBatch(func(tx *kv.Tx[string]) {
			for key, change := range map[string]int{from: -1, to: 1} {
				n, _ := strconv.Atoi(sum[key].Value)
				tx.Update(key, sum[key].Revision, strconv.Itoa(n+change))
			}
		})
		if transport.CodeOf(err) != transport.Aborted {
			report(b.s, err)
			return
		}
	}
}

// wantSum reads the accounts, and fails unless they have this sum.
func (b *bucket) wantSum(accounts []string, want int) map[string]kv.Entry[string] {
	entries, _, err := b.GetAll(b.s.patient(), accounts...)
	if err != nil {
		b.s.Error(err)
		return nil
	}
	sum := 0
	all := make(map[string]kv.Entry[string])
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Value)
		sum += n
		all[e.Key] = e
	}
	if sum != want {
		b.s.Errorf("the sum is %d, want %d: %v", sum, want, entries)
	}
	return all
}

// needing returns the cases with a needed feature.
func needing(needs Feature, cases []testCase) []testCase {
	for i := range cases {
		cases[i].needs = needs
	}
	return cases
}

const oneRevision = "GetAll returns the values of several keys as of one revision, which it also returns, in the order of their revisions."

var getAllCases = []testCase{
	{
		name: "getall/order", contract: oneRevision,
		rule: "The values come in the order of their revisions, each key once, with the revision of the bucket.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, key := range []string{"c", "a", "x y", "b", "a"} {
				b.put(key, "of "+key)
			}
			last := b.put("other", "1")
			entries, r, err := b.GetAll(s.patient(), "a", "x y", "b", "c", "b")
			s.must(err)
			var got []string
			for _, e := range entries {
				got = append(got, entryText(e))
			}
			wantEqual(s, "GetAll", strings.Join(got, ","), "c=of c,x y=of x y,b=of b,a=of a")
			wantEqual(s, "the revision", r, last)
		},
	},
	{
		name: "getall/missing", contract: "Keys without a value are left out.",
		rule: "Keys that were never set, or were deleted, are left out. No keys are no error.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("deleted", "1")
			b.delete("deleted")
			last := b.put("b", "1")
			b.purge("b")
			for _, keys := range [][]string{{"a", "new", "deleted", "b"}, {"new", "b"}, {}} {
				entries, r, err := b.GetAll(s.patient(), keys...)
				s.must(err)
				wantEqual(s, "values", len(entries), strings.Count(strings.Join(keys, ""), "a"))
				wantEqual(s, "the revision", r, last+1)
			}
		},
	},
	{
		name: "getall/limit", contract: "At most MaxKeys keys are allowed; resource_exhausted means that there are more",
		rule: "1,024 keys are read at once, and 1,025 are resource_exhausted.",
		body: func(s *suite) {
			b := s.open()
			keys := b.fill(1025)
			_, _, err := b.GetAll(s.patient(), keys...)
			b.wantError("", err, transport.ResourceExhausted, "1024")
			entries, _, err := b.GetAll(s.patient(), keys[1:]...)
			s.must(err)
			wantEqual(s, "values", len(entries), 1024)
		},
	},
	{
		name: "getall/undecodable", contract: "A value that cannot be decoded is data_loss, with a [DecodeError].",
		rule: "GetAll with such a value is data_loss with the key and the revision.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			r := b.putRaw("b", "{")
			_, _, err := b.GetAll(s.patient(), "a", "b")
			b.isDecodeError(err, "b", r)
			raw, _, err := b.Raw().GetAll(s.patient(), "a", "b")
			s.must(err)
			wantEqual(s, "values", len(raw), 2)
		},
	},
	{
		name: "getall/snapshot", contract: oneRevision,
		rule: "Keys that one writer sets in turn never differ by more than one step.",
		body: func(s *suite) {
			b := s.open()
			keys := []string{"a", "b", "c"}
			over := make(chan struct{})
			ctx := s.patient()
			go func() {
				defer close(over)
				for n := range 100 {
					for _, key := range keys {
						if _, err := b.Put(ctx, key, fmt.Sprintf("%03d", n)); err != nil {
							s.Error(err)
						}
						<-time.After(time.Microsecond) // lets the time of a bubble pass
					}
				}
			}()
			for running := true; running; {
				select {
				case <-over:
					running = false
				case <-time.After(time.Microsecond):
				}
				b.wantSteps(keys)
			}
		},
	},
	{
		name: "getall/own-writes", contract: "It returns at least what this process has written last.",
		rule: "GetAll has the last write of this process, and its revision is not before it.",
		body: func(s *suite) {
			b := s.open()
			for i := range 50 {
				last := b.put("a", strconv.Itoa(i))
				entries, r, err := b.GetAll(s.patient(), "a")
				s.must(err)
				if r < last || len(entries) != 1 || entries[0].Value != strconv.Itoa(i) {
					s.Errorf("got %v at %d after a write of %d at %d", entries, r, i, last)
				}
			}
		},
	},
	{
		name: "getall/recreated-bucket", contract: "No method outlasts its context.",
		rule: "After another program has deleted the bucket and created it again, GetAll reads the new one.",
		body: func(s *suite) {
			b := s.open()
			b.fill(10)
			tr := s.connect()
			s.must(kv.DeleteBucket(s.patient(), tr, b.name))
			again := &bucket{connectAs[string](s, tr, b.name), s, b.name}
			again.put("a", "1")
			entries, r, err := b.GetAll(s.patient(), "a", "1")
			s.must(err)
			if r != 1 || len(entries) != 1 {
				s.Errorf("got %v at %d", entries, r)
			}
			b.want("a", "1")
			b.gone("1")
		},
	},
}

// wantSteps fails unless the values are those of one moment of the writer.
func (b *bucket) wantSteps(keys []string) {
	entries, _, err := b.GetAll(b.s.patient(), keys...)
	if err != nil {
		b.s.Error(err)
		return
	}
	values := make([]string, len(keys)) // by key
	for _, e := range entries {
		values[slices.Index(keys, e.Key)] = e.Value
	}
	for i := range values {
		before := values[(i+len(values)-1)%len(values)]
		if i > 0 && values[i] > before {
			b.s.Errorf("not of one revision: %q", values)
		}
	}
	if len(entries) > 0 {
		first, _ := strconv.Atoi(values[0])
		last, err := strconv.Atoi(values[len(values)-1])
		if err == nil && first > last+1 {
			b.s.Errorf("not of one revision: %q", values)
		}
	}
}
