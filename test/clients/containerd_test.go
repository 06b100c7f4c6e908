package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/front"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// hosts.toml and the certificates beside it are read at every pull.
func TestContainerdAndAuthorities(t *testing.T) { eachContainerd(t, containerdAndAuthorities) }

func containerdAndAuthorities(t *testing.T, program string) {
	w := newNode(t, time.Minute, nil)
	v := containerdVolume("front")
	rotateAuthority(t, w, v, func() (client.Client, string) { return ctrWith(t, program, w, v), w.Kubelet.Target(v) })
}

// ctr takes the login that the files hold when it starts, and nothing more
// once the volume was emptied.
func TestContainerdAndLogins(t *testing.T) { eachContainerd(t, containerdAndLogins) }

func containerdAndLogins(t *testing.T, program string) {
	w := newNode(t, time.Minute, connectors{"logins": secretLogin})
	v := containerdVolume("logins")
	publish(t, w, v)
	ctr := ctrWith(t, program, w, v)
	pushAndPull(t, w, ctr, newArchive(t), "first")

	w.Tokens.SetPassword(user, changed)
	refuses(t, ctr.Pull(t.Context(), w.Image("team/app", "ctr-first")), "401 Unauthorized")
	write(t, w, "login", world.Login(namespace, "login", user, changed))
	shows := func(want string) {
		t.Helper()
		await(t, "the password", func() bool {
			content, err := os.ReadFile(filepath.Join(w.Kubelet.Target(v), "password"))
			return string(content) == want && (err == nil || want == "")
		})
	}
	shows(changed)
	pushAndPull(t, w, ctr, newArchive(t), "second")

	write(t, w, "logins", w.Connector(namespace, "logins", "access: [{namespaces: [others]}]\n"+secretLogin))
	shows("")
	ctr.Login = ""
	refuses(t, ctr.Pull(t.Context(), w.Image("team/app", "ctr-second")), "401 Unauthorized")
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// Mirrors with and without a path, plain HTTP and unverified TLS, each as the
// Connector says at the time of the pull.
func TestContainerdAndHosts(t *testing.T) { eachContainerd(t, containerdAndHosts) }

func containerdAndHosts(t *testing.T, program string) {
	w := newNode(t, time.Minute, nil)
	for _, repository := range []string{"library/tiny", "dockerhub/library/tiny"} {
		w.Tokens.Grant(user, repository, "pull", "push")
	}
	authority := newAuthority(t)
	plain, private, strange := newFront(t, w, nil), newFront(t, w, authority), newFront(t, w, newAuthority(t))
	known := func(registries ...string) {
		declare(t, w, "hosts", "registries: ["+strings.Join(registries, ", ")+"]\n"+secretLogin)
	}
	plainly := fmt.Sprintf("{host: %q, plainHTTP: true}", plain.Host())
	privately := fmt.Sprintf("{host: %q, tls: {caBundle: %q}}", private.Host(), string(authority.PEM())+string(w.CA()))
	unverified := fmt.Sprintf("{host: %q, tls: {insecureSkipVerify: true}}", strange.Host())
	hub := func(mirrors ...string) string {
		return "{host: docker.io, mirrors: [{url: '" + strings.Join(mirrors, "'}, {url: '") + "'}]}"
	}
	known(plainly)
	v := containerdVolume("hosts")
	publishDeclared(t, w, v)
	// The token server is behind a private authority, too.
	ctr := ctrWith(t, program, w, v, "SSL_CERT_FILE="+w.CAFile())
	shows := func(host string, words ...string) {
		t.Helper()
		await(t, fmt.Sprintf("%s with %q", host, words), func() bool {
			content, err := os.ReadFile(filepath.Join(w.Kubelet.Target(v), host, "hosts.toml"))
			for _, word := range words {
				if err != nil || !strings.Contains(string(content), word) {
					return false
				}
			}
			return true
		})
	}
	pulls := func(f *front.Front, image string) {
		t.Helper()
		before := f.Pulls()
		must(t, ctr.Pull(t.Context(), image))
		if f.Pulls() == before {
			t.Errorf("%s did not come through %s", image, f.Host())
		}
	}
	const tiny = "docker.io/library/tiny:1"
	archive := newArchive(t)

	shows(plain.Host(), "http://"+plain.Host())
	must(t, ctr.Push(t.Context(), archive, plain.Host()+"/library/tiny:1"))
	must(t, ctr.Push(t.Context(), archive, plain.Host()+"/dockerhub/library/tiny:1"))
	pulls(plain, plain.Host()+"/library/tiny:1")
	refuses(t, ctr.Pull(t.Context(), tiny), "registry-1.docker.io")

	known(hub("http://"+plain.Host()), plainly)
	shows("docker.io", `"http://`+plain.Host()+`"`)
	pulls(plain, tiny)
	known(hub("https://"+private.Host()+"/dockerhub", "http://"+plain.Host()), privately, plainly)
	shows("docker.io", `"https://`+private.Host()+`/v2/dockerhub"`)
	pulls(private, tiny)
	must(t, private.Close()) // the next mirror answers
	pulls(plain, tiny)

	refuses(t, ctr.Pull(t.Context(), strange.Host()+"/library/tiny:1"), "certificate signed by unknown authority")
	known(unverified)
	shows(strange.Host(), "skip_verify = true")
	pulls(strange, strange.Host()+"/library/tiny:1")
	refuses(t, ctr.Pull(t.Context(), plain.Host()+"/library/tiny:1"), "server gave HTTP response to HTTPS client")
}

// eachContainerd runs a test with Debian's containerd and, in make test-all,
// with a newer one.
func eachContainerd(t *testing.T, test func(t *testing.T, program string)) {
	t.Helper()
	eachVersion(t, []string{"containerd", "containerd-2"}, test)
}

func containerdVolume(connectors string) kubelet.Volume {
	v := aVolume("puller", connectors)
	v.Attributes["configuration.names"] = "containerd,fields"
	return v
}

// ctrWith is ctr with a volume, and a containerd of its own.
func ctrWith(t *testing.T, program string, w *world.World, v kubelet.Volume, environment ...string) client.Ctr {
	t.Helper()
	dir, err := os.MkdirTemp("", "c-") //nolint:usetesting // t.TempDir is too long for containerd's sockets
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	daemon, err := client.StartContainerd(ctx, program, dir, environment...)
	must(t, err)
	t.Cleanup(func() { must(t, daemon.Close()) })
	return client.Ctr{Daemon: daemon, HostsDir: w.Kubelet.Target(v), Login: w.Kubelet.Target(v)}
}
