package clients

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// seed is the tag of an image and of a chart that every stage has in its two
// repositories: team/app is the user's, team/public everybody's.
const seed = "seed"

// newStage is a node with every kind of registry and of Connector.
func newStage(t *testing.T) *stage {
	t.Helper()
	w := newNode(t, matrixLife, connectors{
		"tokens":    shortToken,
		"logins":    longLogin,
		"identity":  "allowLongLived: true\nissuer: {distributionToken: {secretRef: {name: login}, output: identityToken}}",
		"anonymous": "issuer: {anonymous: {}}",
		"wrong":     "issuer: {secret: {name: wrong}}",
	})
	s := &stage{World: w, daemon: newDaemon(t, "SSL_CERT_FILE="+w.CAFile())}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.StartPasswords(ctx, map[string]string{"keeper": password}))
	must(t, w.StartMirror(ctx, user, password, map[string]string{"cacher": password}))
	must(t, w.StartIntranet(ctx))
	must(t, w.StartHub(ctx, matrixLife))
	w.Tokens.SetPassword("", "")
	w.Tokens.Grant("", "team/public", "pull")
	w.Tokens.Grant(user, "team/public", "pull", "push")
	w.HubTokens.SetPassword(user, password)
	w.HubTokens.Grant(user, "team/app", "pull", "push")
	write(t, w, "wrong-login", world.Login(namespace, "wrong", user, "not the password"))
	for name, r := range map[string]struct {
		host, user string
	}{
		"passwords": {w.Passwords.Host(), "keeper"}, "mirror": {w.Mirror.Host(), "cacher"},
		"intranet": {w.Intranet.Host(), user}, "hub": {"docker.io", user},
	} {
		write(t, w, name+"-login", world.Login(namespace, name+"-login", r.user, password))
		write(t, w, name, world.ConnectorFor(r.host, namespace, name, "issuer: {secret: {name: "+name+"-login}}"))
	}
	files := s.published(t, "seeder", "logins")
	archive := newArchive(t)
	for _, c := range []client.Client{client.Crane{Files: files}, client.Helm{Files: files}} {
		must(t, c.Push(t.Context(), archive, w.Image("team/app", seed)))
		must(t, c.Push(t.Context(), archive, w.Image("team/public", seed)))
	}
	return s
}

// published is a volume of these connectors as a container sees it.
func (s *stage) published(t *testing.T, pod, names string) client.Files {
	t.Helper()
	v := aVolume(pod, names)
	publishSoon(t, s.World, v)
	return filesOf(s.World, v)
}

// works pushes an image of its own and pulls it again.
func works(t *testing.T, c client.Client, repository string) error {
	t.Helper()
	sum := sha256.Sum256([]byte(t.Name()))
	reference := fmt.Sprintf("%s:%s-%x", repository, c.Name(), sum[:4])
	if err := c.Push(t.Context(), newArchive(t), reference); err != nil {
		return fmt.Errorf("pushing: %w", err)
	}
	if err := c.Pull(t.Context(), reference); err != nil {
		return fmt.Errorf("pulling: %w", err)
	}
	return nil
}

// letsNobodyIn: the registry must refuse, and for no other reason.
func letsNobodyIn(what string, err error) error {
	switch {
	case err == nil:
		return errors.New(what + " is let in")
	case !refusal.MatchString(err.Error()):
		return fmt.Errorf("%s fails for another reason: %w", what, err)
	default:
		return nil
	}
}

// openFolder is a folder that other users find too.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// mounted shows a volume, or one file of it, at a path of its own, as the
// kubelet does for a container: found by everybody, also without root.
func mounted(t *testing.T, source string) string {
	t.Helper()
	info, err := os.Stat(source)
	must(t, err)
	at := filepath.Join(openFolder(t), filepath.Base(source))
	if info.IsDir() {
		must(t, os.Mkdir(at, 0o755))
	} else {
		must(t, os.WriteFile(at, nil, 0o644))
	}
	must(t, unix.Mount(source, at, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	return at
}
