package linear

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// The check finds two Creates that both succeed, a lost update, and an old value.
func TestLinearizabilityIsChecked(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string][]call{
		"two creates":   {{method: "create", value: "1", revision: 1}, {method: "create", value: "2", revision: 2}},
		"a lost update": {{method: "create", value: "1", revision: 1}, {method: "modify", value: "2", result: "12", revision: 2}, {method: "modify", value: "3", result: "13", revision: 3}},
		"an old value":  {{method: "create", value: "1", revision: 1}, {method: "modify", value: "2", result: "12", revision: 2}, {method: "get", result: "1", revision: 1}},
	} {
		var history []porcupine.Operation
		for i, c := range calls {
			history = append(history, porcupine.Operation{ClientId: i, Input: c, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if porcupine.CheckOperations(registers.ToModel(), history) {
			t.Errorf("%s is not found", name)
		}
	}
}
