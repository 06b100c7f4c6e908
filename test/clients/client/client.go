// Package client runs real registry clients the way a container of a CI job
// does: with the files of a volume, and nothing else that could log them in.
package client

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Client pushes and pulls images. References are host:port/repository:tag.
type Client interface {
	// Name is the program's.
	Name() string
	// Push uploads the image that the archive (docker save's format) holds.
	Push(ctx context.Context, archive, reference string) error
	// Pull fetches an image completely, never from a copy kept earlier.
	Pull(ctx context.Context, reference string) error
}

// Files are what a client reads.
type Files struct {
	// DockerConfig is the folder that holds config.json.
	DockerConfig string
	// AuthFile is what podman, buildah and skopeo read; empty means config.json.
	AuthFile string
	// RegistriesConf is the file that podman and buildah read instead of the
	// image's own; empty means that none is named.
	RegistriesConf string
	// CA is the file with the registry's authority. Docker's daemon does not
	// read it, but certs.d.
	CA string
	// User runs the client as somebody else than root.
	User *User
	// Mounts are folders that the client finds at other paths: the path where
	// it looks, and what is there. Only root's clients can have them.
	Mounts map[string]string
}

// User is whom a pod's securityContext names: runAsUser and fsGroup.
type User struct{ UID, FSGroup uint32 }

func (f Files) authFile() string {
	return "REGISTRY_AUTH_FILE=" + cmp.Or(f.AuthFile, filepath.Join(f.DockerConfig, "config.json"))
}

// run executes a program with an environment of its own: an empty home, so
// that no other login is found. The error is what the program said.
func (f Files) run(ctx context.Context, environment []string, program string, arguments ...string) error {
	_, err := f.output(ctx, environment, program, arguments...)
	return err
}

// output is run for a program whose answer matters.
func (f Files) output(ctx context.Context, environment []string, program string, arguments ...string) (string, error) {
	home, err := f.folder("home-")
	if err != nil {
		return "", err
	}
	defer removeAll(home)
	cmd := WithMounts(ctx, f.Mounts, program, arguments...)
	if u := f.User; u != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.UID, Groups: []uint32{u.FSGroup}}}
	}
	cmd.Dir = home
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}, environment...)
	var answer, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&answer, &said), &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{program}, arguments...), " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return answer.String(), nil
}

// folder makes an empty folder that the client may write to.
func (f Files) folder(prefix string) (string, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil || f.User == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(f.User.UID), int(f.User.UID))
}

// pulled calls pull with an empty folder that is removed again.
func (f Files) pulled(pull func(dir string) error) error {
	dir, err := f.folder("pulled-")
	if err != nil {
		return err
	}
	defer removeAll(dir)
	return pull(filepath.Join(dir, "image"))
}

// removeAll leaves to the sandbox what it cannot remove.
func removeAll(dir string) { _ = os.RemoveAll(dir) }
