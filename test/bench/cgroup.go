package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// cgroup is a control group that charges memory: the process', the pages of
// the files that it writes into any tmpfs, and what the kernel keeps for it.
type cgroup struct {
	Dir   string
	Usage string // the file that tells how much
}

// newCgroup makes one below this process' own, or where that cannot be (a
// group of version 2 that has processes has no controllers to give) below the
// nearest above it.
func newCgroup(name string) (*cgroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var failures []error
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		version2 := fields[2] == "cgroup2"
		version1 := fields[2] == "cgroup" && has(fields[3], "memory")
		if !version1 && !version2 {
			continue
		}
		usage := map[bool]string{true: "memory.current", false: "memory.usage_in_bytes"}[version2]
		for at := place(string(own), version2); ; at = filepath.Dir(at) {
			g := &cgroup{Dir: filepath.Join(fields[1], at, name), Usage: usage}
			err := g.create(version2)
			if err == nil {
				return g, nil
			}
			failures = append(failures, err)
			if at == "/" {
				break
			}
		}
	}
	return nil, fmt.Errorf("no control group for memory can be made: %w", errors.Join(failures...))
}

// has tells whether a list separated by commas holds item.
func has(list, item string) bool { return strings.Contains(","+list+",", ","+item+",") }

// place is the path of this process in the hierarchy, as /proc/self/cgroup
// tells it: "4:memory:/a/b", or "0::/a/b" in version 2.
func place(own string, version2 bool) string {
	for line := range strings.Lines(own) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (version2 && parts[0] == "0" || !version2 && has(parts[1], "memory")) {
			return parts[2]
		}
	}
	return "/"
}

func (g *cgroup) create(version2 bool) error {
	if version2 {
		// It may be on already, or not be ours to switch; the file tells.
		_ = os.WriteFile(filepath.Join(filepath.Dir(g.Dir), "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	if err := os.Mkdir(g.Dir, 0o755); err != nil {
		return err
	}
	if _, err := g.memory(); err != nil {
		return errors.Join(err, os.Remove(g.Dir))
	}
	return nil
}

// memory is what is charged now, in bytes.
func (g *cgroup) memory() (float64, error) {
	text, err := os.ReadFile(filepath.Join(g.Dir, g.Usage))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}

// parts tells what the memory is, in bytes: names and numbers of the kernel's
// that both versions have, under the names of version 2.
func (g *cgroup) parts() (map[string]float64, error) {
	stat, err := os.ReadFile(filepath.Join(g.Dir, "memory.stat"))
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if all[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
	}
	if kernel, err := os.ReadFile(filepath.Join(g.Dir, "memory.kmem.usage_in_bytes")); err == nil { // version 1
		all["anon"], all["file"] = all["rss"], all["cache"]
		if all["kernel"], err = strconv.ParseFloat(strings.TrimSpace(string(kernel)), 64); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// remove ends the group, as soon as its last process has ended.
func (g *cgroup) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return child.Until(ctx, func(context.Context) error { return os.Remove(g.Dir) })
}
