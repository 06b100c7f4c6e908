package world

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Mounts are the mounts below the kubelet's directory, each a whole line of
// mountinfo: its ids tell whether a mount is still the same one.
func (w *World) Mounts() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], w.KubeletDir()+"/") {
			mounts = append(mounts, strings.TrimSpace(line))
		}
	}
	return mounts, nil
}

// Leftovers lists everything that volumes are made of: mounts, whatever lies
// below the kubelet's directory, and the driver's volume records. Without
// volumes it is empty.
func (w *World) Leftovers() ([]string, error) {
	left, err := w.Mounts()
	if err != nil {
		return nil, err
	}
	records := filepath.Join(w.Driver.RuntimeDir(), "volumes")
	for _, root := range []string{filepath.Join(w.KubeletDir(), "pods"), records} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != root {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("listing what is left: %w", err)
		}
	}
	return left, nil
}
