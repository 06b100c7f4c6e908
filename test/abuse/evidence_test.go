package abuse

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// evidence is where secrets are searched: what each place holds, by name.
type evidence map[string][]byte

// onDisk reads every file of the node's directories that lies on a disk: log,
// audit, state, the kubelet's files. Mounts of the driver are left out.
func (n *node) onDisk() evidence {
	n.t.Helper()
	e, _ := n.files()
	e["answers on the CSI socket"] = []byte(strings.Join(n.told, "\n"))
	return e
}

// shown adds what a running driver tells, and what others see of its process.
func (n *node) shown() evidence {
	n.t.Helper()
	e := n.onDisk()
	for _, page := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/vars"} {
		text, err := n.driver.Page(n.t.Context(), page)
		if page == "/metrics" {
			must(n.t, err)
		}
		e[page] = []byte(text + fmt.Sprint(err))
	}
	for _, name := range []string{"cmdline", "environ", "comm", "maps", "status", "mountinfo"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", n.driver.PID(), name))
		must(n.t, err)
		e["/proc/PID/"+name] = content
	}
	open, err := n.driver.Descriptors()
	must(n.t, err)
	e["names of open files"] = []byte(strings.Join(open, "\n"))
	return e
}

// inMemory reads the files that may hold secrets: the volumes, and the
// driver's private tmpfs.
func (n *node) inMemory() evidence {
	n.t.Helper()
	_, e := n.files()
	return e
}

// public is what in volumes is no secret: all names, and every file but those
// that are there to hold one. Of the driver's own tmpfs it is the mark.
func (e evidence) public(t *testing.T) evidence {
	t.Helper()
	public, reports := evidence{}, 0
	for name, content := range e {
		base := filepath.Base(name)
		if base == "regcred.json" {
			reports++
		}
		if base == "regcred-run" || strings.HasPrefix(name, "kubelet/") && !e.secret(name) {
			public[name] = content
		} else {
			public[name] = []byte(name)
		}
	}
	if reports == 0 {
		t.Error("no volume has a regcred.json")
	}
	return public
}

// secret reports whether a volume's file is there to hold one. Directories have
// names of their own below a volume's root, so the helper's answers are told by
// what lies beside them.
func (e evidence) secret(name string) bool {
	dir, base := filepath.Split(name)
	switch base {
	case ".dockerconfigjson", "auth", "auth.json", "config.json", "password", "registry.env", "token":
		return true
	}
	answers := e[dir+".urls"] != nil
	return strings.HasSuffix(base, ".key") || answers && base != ".urls"
}

// files tells by the device what lies on a disk.
func (n *node) files() (disk, memory evidence) {
	n.t.Helper()
	disk, memory = evidence{}, evidence{}
	root := device(n.t, n.dir)
	must(n.t, filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile: the driver is at work
		}
		if err != nil {
			return err
		}
		into := disk
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Dev != root {
			into = memory
		}
		name, err := filepath.Rel(n.dir, path)
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			content = []byte(target)
		case d.Type().IsRegular():
			if content, err = os.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if d.Name() == helperName && bytes.Equal(content, n.helper) {
				content = nil // as it was built, before there were secrets
			}
		}
		into[name] = slices.Concat([]byte(name+"\n"), content)
		return nil
	}))
	return disk, memory
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("%s has no device", path)
	}
	return stat.Dev
}

// free fails the test where a canary is found.
func (e evidence) free(t *testing.T, when string, canaries []canary) {
	t.Helper()
	for _, place := range slices.Sorted(maps.Keys(e)) {
		for _, c := range canaries {
			if found := c.find(e[place]); len(found) > 0 {
				t.Errorf("%s: %s holds the %s (%s): %s", when, place, c.kind, found[0], around(e[place], c))
			}
		}
	}
}

// holds fails the test unless the canary is somewhere.
func (e evidence) holds(t *testing.T, c canary) {
	t.Helper()
	for _, content := range e {
		if len(c.find(content)) > 0 {
			return
		}
	}
	t.Errorf("the %s is nowhere in %q: it was not used, so its absence elsewhere proves nothing", c.kind, slices.Sorted(maps.Keys(e)))
}

// around is the line of a find.
func around(text []byte, c canary) string {
	for line := range strings.Lines(string(text)) {
		if len(c.find([]byte(line))) > 0 {
			return line[:min(len(line), 600)]
		}
	}
	return "across lines"
}
