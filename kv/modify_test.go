package kv_test

import (
	"errors"
	"testing"

	"gomono.dev/kv"
)

// f decides on the newest value, and not on what a lagging replica has.
func TestModifyDecidesOnNewestValue(t *testing.T) {
	withFaults(t, func(f *faulty) {
		for _, value := range []string{"closed", "open"} {
			if _, err := f.other.Put(f.Context(), "a", value); err != nil {
				f.Fatal(err)
			}
		}
		f.on("get", stale)
		_, err := f.Modify(f.Context(), "a", func(was string) (string, error) {
			if was == "closed" {
				return "", errors.New("it is closed")
			}
			return was + "ed", nil
		})
		if err != nil {
			f.Error(err)
		}
		if err := f.other.Delete(f.Context(), "b"); err != nil {
			f.Fatal(err)
		}
		if _, err := f.other.Put(f.Context(), "b", "1"); err != nil {
			f.Fatal(err)
		}
		f.on("get", stale)
		if _, err := f.Touch(f.Context(), "b"); err != nil {
			f.Error(err)
		}
	}, kv.Replicas(3))
}
