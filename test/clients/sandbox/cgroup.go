package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Cgroup is the cgroup for what the program puts into containers. Cgroups have
// no namespace that ends with the sandbox, so those below this one are removed
// after it.
func Cgroup() string { return filepath.Base(os.TempDir()) }

// RemoveCgroup removes a cgroup with those below it, from every hierarchy, and
// ends what still runs in them.
func RemoveCgroup(name string) error {
	if !strings.HasPrefix(name, prefix) {
		return fmt.Errorf("cgroup %q is not of a sandbox", name) // nobody else's processes are ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return child.Until(ctx, func(context.Context) error { // a process leaves its cgroup some time after its end
		var err error
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			roots, _ := filepath.Glob(pattern + name) // the pattern is good
			for _, root := range roots {
				err = errors.Join(err, removeTree(root))
			}
		}
		return err
	})
}

func removeTree(root string) error {
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	for _, path := range slices.Backward(all) { // children first
		members, _ := os.ReadFile(filepath.Join(path, "cgroup.procs")) // what stays is told by the removal
		for field := range strings.FieldsSeq(string(members)) {
			if pid, wrong := strconv.Atoi(field); wrong == nil && pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
			}
		}
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
