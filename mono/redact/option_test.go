package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
)

// An option that is nil is a mistake of the program, which panics and says so.
func TestNilOption(t *testing.T) {
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, "is nil: leave it out") {
			t.Error(v)
		}
	}()
	redact.New(nil)
}
