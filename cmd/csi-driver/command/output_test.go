package command

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// full is a disk without space, after some bytes.
type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n := f.room
		f.room = 0
		return n, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestLostOutputIsAFailure(t *testing.T) {
	for _, args := range [][]string{
		{"help"},
		{"render", "--help"},
		{"version"},
		{"issuers"},
		{"issuers", "env"},
		{"validate", "testdata/manifests"},
		{"validate", "testdata/mistakes"},
	} {
		for _, room := range []int{0, 20} {
			var stderr bytes.Buffer
			if code := program().Run(t.Context(), args, &full{room}, &stderr); code != exitFailed || stderr.String() != "csi-driver: printing: no space left on device\n" {
				t.Errorf("%v with room for %d bytes: exit code %d, stderr %q", args, room, code, stderr.String())
			}
		}
	}
}

func TestLostExplanationWritesNothing(t *testing.T) {
	for _, kept := range []string{"", "config.json"} {
		out := filepath.Join(t.TempDir(), "out")
		if kept != "" {
			if err := errors.Join(os.Mkdir(out, 0o700), os.WriteFile(filepath.Join(out, kept), []byte("old"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		var stderr bytes.Buffer
		code := program().Run(t.Context(), []string{
			"render", "--connectors-dir", "testdata/manifests", "--connectors", "corp", "--namespace", "ci", "--explain", "--out", out,
		}, &full{100}, &stderr)
		if code != exitFailed || stderr.String() != "csi-driver: printing: no space left on device\n" {
			t.Errorf("exit code %d, stderr %q", code, stderr.String())
		}
		entries, err := os.ReadDir(out)
		switch {
		case kept == "":
			if !os.IsNotExist(err) {
				t.Errorf("something is left: %v, %v", entries, err)
			}
		case err != nil || len(entries) != 1:
			t.Errorf("there are %v, %v", entries, err)
		default:
			if data, err := os.ReadFile(filepath.Join(out, kept)); err != nil || string(data) != "old" {
				t.Errorf("it holds %q, %v", data, err)
			}
		}
	}
}
