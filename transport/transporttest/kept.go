package transporttest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// keptIn is the directory of programs that failed once, in the tested package.
const keptIn = "testdata/programs"

// kept returns the programs that have failed, by name.
func kept(t *testing.T) map[string]Program {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(keptIn, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]Program)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p Program
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = p
	}
	return all
}

// keep saves the smallest program that failed.
func (e *explorer) keep(t *testing.T) {
	if e.failed == nil {
		return
	}
	text, err := json.MarshalIndent(e.failed, "", "\t")
	if err != nil {
		t.Error(err)
		return
	}
	file := filepath.Join(keptIn, fmt.Sprintf("%x.json", sha256.Sum256(text))[:12]+".json")
	if err := os.MkdirAll(keptIn, 0o777); err != nil {
		t.Error(err)
		return
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o666); err != nil {
		t.Error(err)
		return
	}
	t.Logf("the program is saved in %s and runs first next time", file)
}
