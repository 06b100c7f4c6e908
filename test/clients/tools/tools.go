// Package tools gets the programs that tests and the demo run.
package tools

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// Prepare runs setup.sh, found in the current folder or above it, and returns
// the folder of the programs it built.
func Prepare() (programs string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, "setup.sh")
		if _, err := os.Stat(script); err == nil {
			return run(script, dir)
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", errors.New("setup.sh is not above the current folder: run this inside test/clients")
	}
}

func run(script, module string) (string, error) {
	cmd := exec.Command(script)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", err
	}
	if cache := os.Getenv("REGCRED_CACHE"); cache != "" {
		return filepath.Join(cache, "bin"), nil
	}
	return filepath.Abs(filepath.Join(module, "..", "..", ".cache", "bin"))
}
