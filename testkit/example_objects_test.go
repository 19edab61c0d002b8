package testkit_test

import (
	"context"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/testkit"
)

// A crash in the middle of a Put leaves the old object whole. Sweep removes the chunks of the new
// one.
func ExampleFaultObjects() {
	uploads := objstore.NewStore("uploads", objstore.ChunkSize(4))
	save := mono.NewService[string, int64]("notes.save")
	newNotes := func() mono.Module {
		return mono.NewModule("notes", func(s *mono.Scope) error {
			store := uploads.Open(s)
			save.Handle(s, func(ctx context.Context, text string) (int64, error) {
				is, err := store.PutBytes(ctx, "note", []byte(text))
				return is.Size, err
			})
			return nil
		})
	}

	runTest(func(t *testing.T) { // func TestNoteIsWhole(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			inside := testkit.Objects(h, uploads)
			if _, err := inside.PutBytes(t.Context(), "note", []byte("Buy milk.")); err != nil {
				t.Fatal(err)
			}
			testkit.FaultObjects(h, uploads, testkit.Crash(testkit.AfterSend)).When(testkit.Writes, testkit.Chunk(2))
			h.AddFunc(newNotes)
			h.MustStart()
			if _, err := save.Call(t.Context(), h, "Sell the cow."); err == nil {
				t.Error("the crash was not noticed")
			}
			if content, _, err := inside.ReadAll(t.Context(), "note"); string(content) != "Buy milk." {
				t.Error(string(content), err)
			}
			if swept, err := inside.Sweep(t.Context(), 0); swept.Chunks != 2 {
				t.Error(swept, err)
			}
		})
	})
	// Output: passed: true
}
