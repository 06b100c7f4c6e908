package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/front"
	"github.com/regcred/csi-driver-regcred/test/clients/pki"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// dockerd shows the client certificate of its certs.d.
func TestDockerdAndClientCertificates(t *testing.T) { eachDockerd(t, dockerdAndClientCertificates) }

func dockerdAndClientCertificates(t *testing.T, program string) {
	w := newDockerWorld(t, nil)
	v := dockerVolume("dind", "front")
	refusal := "no required TLS certificate was sent"
	if program == newDockerd { // it asks by HEAD, which is answered without words
		refusal = "400 Bad Request"
	}
	clientCertificates(t, w, v, func() (client.Client, string) {
		return client.NewDocker(filesOf(w, v), dockerdWith(t, program, w, v)), w.Kubelet.Target(certsOf(v))
	}, refusal)
}

// containerd shows the one that hosts.toml names.
func TestContainerdAndClientCertificates(t *testing.T) {
	eachContainerd(t, containerdAndClientCertificates)
}

func containerdAndClientCertificates(t *testing.T, program string) {
	w := newNode(t, time.Minute, nil)
	v := containerdVolume("front")
	clientCertificates(t, w, v, func() (client.Client, string) {
		return ctrWith(t, program, w, v), w.Kubelet.Target(v)
	}, "400 Bad Request")
}

// skopeo, podman and buildah show the one of their certs.d.
func TestContainersAndClientCertificates(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(client.Files) client.Client{
		"skopeo":  func(f client.Files) client.Client { return client.Skopeo{Files: f} },
		"podman":  func(f client.Files) client.Client { return client.NewPodman(f) },
		"buildah": func(f client.Files) client.Client { return client.NewBuildah(f) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, time.Minute, nil)
			v := aVolume("job", "front")
			v.Attributes["configuration.names"] = "certs-d,docker-config"
			clientCertificates(t, w, v, func() (client.Client, string) {
				at := w.Kubelet.Target(v)
				return with(client.Files{DockerConfig: at, Mounts: map[string]string{"/etc/containers/certs.d": at}}), at
			}, "400 (Bad Request)")
		})
	}
}

// buildkitd shows the key pair that buildkitd.toml names; what it names is
// known when it starts.
func TestBuildkitAndClientCertificates(t *testing.T) {
	t.Parallel()
	w := newBuildNode(t, time.Minute, connectors{})
	authority := newAuthority(t)
	f, delivering := mutualFront(t, w, authority)
	writeClientPair(t, w, authority)
	delivering(false)
	v := aVolume("client", "front")
	publishDeclared(t, w, v)
	certificates := aVolume("builder", "front")
	certificates.Attributes["configuration.names"], certificates.Attributes["mount.path"] = "buildkitd", "/run/mutual/etc"
	image := client.Build{Dockerfile: "FROM " + f.Host() + "/team/base:1\nRUN echo >/built\n", Push: f.Host() + "/team/app:mutual"}

	without := startBuilder(t, w, certificates, "/run/mutual/etc")
	if holdsKey(t, w.Kubelet.Target(certificates)) {
		t.Error("a volume holds a key that no Connector delivers")
	}
	refuses(t, client.Buildctl{Files: filesOf(w, v), Daemon: without.Buildkit}.Run(t.Context(), image), "400 Bad Request")
	if f.Pulls() != 0 {
		t.Error("buildkitd comes in without a certificate")
	}
	delivering(true)
	await(t, "the client's key", func() bool { return holdsKey(t, w.Kubelet.Target(certificates)) })
	without.end(t)

	one := startBuilder(t, w, certificates, "/run/mutual/etc")
	must(t, client.Buildctl{Files: filesOf(w, v), Daemon: one.Buildkit}.Run(t.Context(), image))
	if f.Pulls() == 0 || !pushed(w, "mutual") {
		t.Error("the image did not come and go through the front")
	}
	one.end(t)
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// clientCertificates has a registry demand a certificate, and wants a client to
// show what the volume holds: none until the Connector delivers it, the one of
// the Secret, its successor, none, and none again without consent. start also
// names the folder where the hosts' certificates are; refusal is how the client
// tells that the registry misses a certificate.
func clientCertificates(t *testing.T, w *world.World, v kubelet.Volume, start func() (c client.Client, folder string), refusal string) {
	t.Helper()
	first, second := newAuthority(t), newAuthority(t)
	f, delivering := mutualFront(t, w, first)
	certificate := writeClientPair(t, w, first)
	delivering(false)
	publishDeclared(t, w, v)
	c, folder := start()
	shows := func(want []byte) {
		t.Helper()
		await(t, "the client certificate", func() bool {
			got, err := os.ReadFile(filepath.Join(folder, f.Host(), "client.cert"))
			return err == nil && bytes.Equal(got, want)
		})
	}
	image := f.Host() + "/team/app:mutual"

	if holdsKey(t, folder) || holdsKey(t, w.Kubelet.Target(v)) {
		t.Error("a volume holds a key that no Connector delivers")
	}
	refuses(t, c.Pull(t.Context(), image), refusal)

	delivering(true)
	shows(certificate)
	must(t, c.Push(t.Context(), newArchive(t), image))
	must(t, c.Pull(t.Context(), image))

	f.Demand(second)
	before := f.Pulls()
	if err := c.Pull(t.Context(), image); err == nil || f.Pulls() != before {
		t.Errorf("a client comes in by the certificate of an authority that is not asked for: %v", err)
	}
	shows(writeClientPair(t, w, second))
	must(t, c.Pull(t.Context(), image))

	withoutKey := func() {
		t.Helper()
		await(t, "a volume without a key", func() bool { return !holdsKey(t, folder) && !holdsKey(t, w.Kubelet.Target(v)) })
		refuses(t, c.Pull(t.Context(), image), refusal)
	}
	delivering(false)
	withoutKey()

	// A key goes with the consent to use it, like a login.
	delivering(true)
	await(t, "a key", func() bool { return holdsKey(t, folder) })
	must(t, c.Pull(t.Context(), image))
	delivering(true, "access: [{namespaces: [others]}]")
	if ctr, ok := c.(client.Ctr); ok { // the files with the login that it is given go, too
		ctr.Login = ""
		c = ctr
	}
	withoutKey()
}

// mutualFront is a registry that demands certificates of an authority; the
// Connector for it, called front, is written by delivering.
func mutualFront(t *testing.T, w *world.World, clients *pki.Authority) (f *front.Front, delivering func(deliver bool, more ...string)) {
	t.Helper()
	authority := newAuthority(t)
	f, err := front.Start(front.Config{
		Name: "registry.test", Registry: w.Registry.Host(), CA: w.CA(), Authority: authority, Clients: clients,
	})
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f, func(deliver bool, more ...string) {
		t.Helper()
		declare(t, w, "front", fmt.Sprintf("registries: [{host: %q, tls: {caBundle: %q, clientCertificateSecretRef: {name: client}, "+
			"deliverClientCertificate: %t}}]\n%s", f.Host(), string(w.CA())+string(authority.PEM()), deliver,
			strings.Join(append(more, secretLogin), "\n")))
	}
}

// writeClientPair writes the Secret client, and returns its certificate.
func writeClientPair(t *testing.T, w *world.World, authority *pki.Authority) []byte {
	t.Helper()
	certificate, key, err := authority.Client("ci")
	must(t, err)
	write(t, w, "client", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: client, namespace: %s}\n"+
		"type: kubernetes.io/tls\nstringData: {tls.crt: %q, tls.key: %q}\n", namespace, certificate, key))
	return certificate
}

// holdsKey reads all of a volume, also what was replaced and not yet removed.
func holdsKey(t *testing.T, dir string) (found bool) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var content []byte
			content, err = os.ReadFile(path)
			found = found || bytes.Contains(content, []byte("PRIVATE KEY"))
		}
		if errors.Is(err, fs.ErrNotExist) { // it is being rewritten
			return nil
		}
		return err
	}))
	return found
}
