package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/front"
	"github.com/regcred/csi-driver-regcred/test/clients/pki"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// atDockerd is where a dind container mounts the volume with daemon.json: not
// at /etc/docker, where dockerd 20.10 wants to write.
const atDockerd = "/etc/regcred"

// Debian's dockerd keeps a key of its own in /etc/docker and cannot start when
// that is the volume. Newer ones start.
func TestDockerdInEtcDocker(t *testing.T) { eachDockerd(t, dockerdInEtcDocker) }

func dockerdInEtcDocker(t *testing.T, program string) {
	w := newDockerWorld(t, connectors{"logins": secretLogin})
	v := dockerVolume("dind", "logins")
	publish(t, w, v)
	docker := client.Dockerd{
		Program: program, ConfigFile: "/etc/docker/daemon.json",
		Mounts: map[string]string{"/etc/docker": w.Kubelet.Target(v)},
	}
	if program == debianDockerd {
		_, err := startDockerd(t, docker)
		refuses(t, err, "failed to start daemon: Error saving key file: open /etc/docker/.tmp-key.json")
		return
	}
	pushAndPull(t, w, client.NewDocker(filesOf(w, v), runDockerd(t, docker)), newArchive(t), "etc")
}

// A changed login is used by the next pull and push, without a word to dockerd.
func TestDockerdAndLogins(t *testing.T) { eachDockerd(t, dockerdAndLogins) }

func dockerdAndLogins(t *testing.T, program string) {
	w := newDockerWorld(t, connectors{"logins": secretLogin})
	v := dockerVolume("dind", "logins")
	publish(t, w, v)
	daemon := dockerdWith(t, program, w, v)
	docker := client.NewDocker(filesOf(w, v), daemon)
	unauthorized := func(tag string) {
		t.Helper()
		limit := patience
		if program == newDockerdOldStore {
			limit /= 3
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err := docker.Pull(ctx, w.Image("team/app", tag))
		if program != newDockerdOldStore {
			refuses(t, err, "unauthorized")
			return
		}
		// The CLI then asks for another login, and waits for ever where
		// nobody can answer.
		if err == nil || !strings.Contains(daemon.Log(), "/manifests/"+tag+`\": unauthorized`) {
			t.Errorf("dockerd pulls %s, or fails for another reason: %v", tag, err)
		}
	}
	archive := newArchive(t)
	pushAndPull(t, w, docker, archive, "first")

	w.Tokens.SetPassword(user, changed)
	unauthorized("docker-first")
	write(t, w, "login", world.Login(namespace, "login", user, changed))
	awaitEntry(t, w, v, within, isLogin(user, changed))
	pushAndPull(t, w, docker, archive, "second")

	// Consent withdrawn empties the entries; how to reach the registry stays.
	write(t, w, "logins", w.Connector(namespace, "logins", "access: [{namespaces: [others]}]\n"+secretLogin))
	awaitEntry(t, w, v, within, func(e entry) bool { return e == entry{} })
	unauthorized("docker-second")
	unpublish(t, w, certsOf(v))
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// certs.d is read at every pull: an authority that is replaced is known as
// soon as the volume shows it, and its predecessor forgotten.
func TestDockerdAndAuthorities(t *testing.T) { eachDockerd(t, dockerdAndAuthorities) }

func dockerdAndAuthorities(t *testing.T, program string) {
	w := newDockerWorld(t, nil)
	v := dockerVolume("dind", "front")
	rotateAuthority(t, w, v, func() (client.Client, string) {
		return client.NewDocker(filesOf(w, v), dockerdWith(t, program, w, v)), w.Kubelet.Target(certsOf(v))
	})
}

// rotateAuthority has a registry change the authority of its certificate, and
// wants a client to follow what the volume says, no sooner and no later. start
// also names the folder where the hosts' authorities are.
func rotateAuthority(t *testing.T, w *world.World, v kubelet.Volume, start func() (c client.Client, folder string)) {
	t.Helper()
	first, second := newAuthority(t), newAuthority(t)
	f := newFront(t, w, first)
	trusting := func(authorities ...*pki.Authority) {
		bundle := w.CA() // of the token server
		for _, a := range authorities {
			bundle = append(bundle, a.PEM()...)
		}
		declare(t, w, "front", fmt.Sprintf("registries: [{host: %q, tls: {caBundle: %q}}]\n%s", f.Host(), bundle, secretLogin))
	}
	trusting(first)
	publishDeclared(t, w, v)
	c, folder := start()
	image := f.Host() + "/team/app:authorities"
	must(t, c.Push(t.Context(), newArchive(t), image))

	certificates := func() int {
		content, err := os.ReadFile(filepath.Join(folder, f.Host(), "ca.crt"))
		must(t, err)
		return strings.Count(string(content), "BEGIN CERTIFICATE")
	}
	const unknown = "certificate signed by unknown authority"
	must(t, f.Present(second))
	refuses(t, c.Pull(t.Context(), image), unknown)
	trusting(first, second)
	await(t, "both authorities", func() bool { return certificates() == 3 })
	for range 5 { // the file is rewritten while it is read
		trusting(second, first)
		must(t, c.Pull(t.Context(), image))
		trusting(first, second)
		must(t, f.Present(first))
		must(t, c.Pull(t.Context(), image))
		must(t, f.Present(second))
	}
	must(t, f.Present(first))
	trusting(second)
	await(t, "one authority", func() bool { return certificates() == 2 })
	refuses(t, c.Pull(t.Context(), image), unknown)
	must(t, f.Present(second))
	must(t, c.Pull(t.Context(), image))
}

// daemon.json is read again at SIGHUP: a mirror of Docker Hub and a registry
// without TLS come, change and go while dockerd runs.
func TestDockerdReload(t *testing.T) { eachDockerd(t, dockerdReload) }

func dockerdReload(t *testing.T, program string) {
	w := newDockerWorld(t, nil)
	w.Tokens.Grant(user, "library/tiny", "pull", "push")
	plain, other, secure := newFront(t, w, nil), newFront(t, w, nil), newFront(t, w, newAuthority(t))
	// In the sandbox nobody answers as Docker Hub itself.
	known := func(registries string) {
		declare(t, w, "hub", "registries: ["+registries+"]\nissuer: {secret: {name: hub}}")
	}
	plainly := func(f *front.Front) string { return fmt.Sprintf("{host: %q, plainHTTP: true}", f.Host()) }
	mirrored := func(f *front.Front) string {
		return fmt.Sprintf("{host: docker.io, mirrors: [{url: 'http://%s'}]}, %s", f.Host(), plainly(f))
	}
	writeLogins(t, w, "hub", "https://index.docker.io/v1/", plain.Host(), other.Host(), secure.Host())
	known("{host: docker.io}")
	v := dockerVolume("dind", "hub")
	publishDeclared(t, w, v)
	daemon := dockerdWith(t, program, w, v)
	docker := client.NewDocker(filesOf(w, v), daemon)
	reloaded := func(insecure, mirrors []string) {
		t.Helper()
		await(t, fmt.Sprintf("daemon.json with %q and %q", insecure, mirrors), func() bool {
			return cmp.Equal(daemonJSON{insecure, mirrors}, readDaemonJSON(t, w, v))
		})
		must(t, daemon.Reload())
		want := client.Registries{Insecure: insecure}
		for _, m := range mirrors {
			want.Mirrors = append(want.Mirrors, m+"/") // as dockerd spells it
		}
		await(t, fmt.Sprintf("docker info to show %+v", want), func() bool {
			got, err := daemon.Registries(t.Context())
			must(t, err)
			return cmp.Equal(want, got, cmpopts.EquateEmpty())
		})
	}
	pulls := func(f *front.Front, image string) {
		t.Helper()
		before := f.Pulls()
		must(t, docker.Pull(t.Context(), image))
		if f.Pulls() == before {
			t.Errorf("%s did not come through %s", image, f.Host())
		}
	}

	none := []string{}
	refuses(t, docker.Push(t.Context(), newArchive(t), plain.Host()+"/library/tiny:1"), "server gave HTTP response to HTTPS client")
	known(plainly(plain))
	reloaded([]string{plain.Host()}, none)
	must(t, docker.Push(t.Context(), newArchive(t), plain.Host()+"/library/tiny:1"))
	refuses(t, docker.Pull(t.Context(), "tiny:1"), "registry-1.docker.io")

	known(mirrored(plain))
	reloaded([]string{plain.Host()}, []string{"http://" + plain.Host()})
	if program == newDockerd { // it sends mirrors no login at all
		refuses(t, docker.Pull(t.Context(), "tiny:1"), "unauthorized")
		w.Tokens.SetPassword("", "")
		w.Tokens.Grant("", "library/tiny", "pull")
	}
	pulls(plain, "tiny:1")
	known(mirrored(other))
	reloaded([]string{other.Host()}, []string{"http://" + other.Host()})
	pulls(other, "tiny:1")
	refuses(t, docker.Pull(t.Context(), plain.Host()+"/library/tiny:1"), "server gave HTTP response to HTTPS client")

	known(fmt.Sprintf("{host: %q, tls: {insecureSkipVerify: true}}", secure.Host()))
	reloaded([]string{secure.Host()}, none)
	pulls(secure, secure.Host()+"/library/tiny:1")
	refuses(t, docker.Pull(t.Context(), "tiny:1"), "registry-1.docker.io")
}

// daemonJSON is what a volume's daemon.json says; no key may be missing.
type daemonJSON struct {
	Insecure []string `json:"insecure-registries"`
	Mirrors  []string `json:"registry-mirrors"`
}

func readDaemonJSON(t *testing.T, w *world.World, v kubelet.Volume) daemonJSON {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(w.Kubelet.Target(v), "daemon.json"))
	must(t, err)
	var config daemonJSON
	must(t, json.Unmarshal(content, &config))
	return config
}

// With subPath dockerd starts, and sees what the files said then, for as long
// as they are kept: SIGHUP reads the old daemon.json, and an authority that is
// replaced takes its whole folder away.
func TestDockerdAndSubPaths(t *testing.T) { eachDockerd(t, dockerdAndSubPaths) }

func dockerdAndSubPaths(t *testing.T, program string) {
	w := newDockerWorld(t, nil)
	authority := newAuthority(t)
	f := newFront(t, w, authority)
	declared := func(insecure bool, authorities string) {
		declare(t, w, "front", fmt.Sprintf("registries: [{host: %q, tls: {caBundle: %q}}, {host: plain.test, plainHTTP: %t}]\n%s",
			f.Host(), authorities, insecure, secretLogin))
	}
	trusted := string(w.CA()) + string(authority.PEM())
	declared(false, trusted)
	v := dockerVolume("dind", "front")
	publishDeclared(t, w, v)
	subPath := func(name string) string { // resolved once, by the kubelet
		path, err := filepath.EvalSymlinks(filepath.Join(w.Kubelet.Target(v), name))
		must(t, err)
		return path
	}
	daemon := runDockerd(t, client.Dockerd{
		Program: program, ConfigFile: "/etc/docker/daemon.json",
		Mounts: map[string]string{
			"/etc/docker": emptyEtcDocker(t), "/etc/docker/certs.d": subPath("certs.d"), "/etc/docker/daemon.json": subPath("daemon.json"),
		},
	})
	docker := client.NewDocker(filesOf(w, v), daemon)
	image := f.Host() + "/team/app:sub-path"
	must(t, docker.Push(t.Context(), newArchive(t), image))

	old := subPath("certs.d")
	declared(true, trusted+string(newAuthority(t).PEM()))
	await(t, "daemon.json", func() bool { return len(readDaemonJSON(t, w, v).Insecure) == 1 })
	must(t, daemon.Reload())
	await(t, "a reload", func() bool { return strings.Contains(daemon.Log(), "Reloaded configuration") })
	got, err := daemon.Registries(t.Context())
	must(t, err)
	if diff := cmp.Diff(client.Registries{}, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("dockerd sees the new daemon.json (-want +got):\n%s", diff)
	}
	await(t, "the old certs.d to go", func() bool {
		_, err := os.Stat(old)
		return os.IsNotExist(err)
	})
	refuses(t, docker.Pull(t.Context(), image), "certificate signed by unknown authority")
}

// A host has no volumes: what the page tells to run writes a folder to which
// /etc/docker has links, and replaces it when something changed.
func TestDockerdOnHost(t *testing.T) { eachDockerd(t, dockerdOnHost) }

func dockerdOnHost(t *testing.T, program string) {
	w := newDockerWorld(t, nil)
	authority := newAuthority(t)
	f, plain := newFront(t, w, authority), newFront(t, w, nil)
	page, err := os.ReadFile("../../docs/clients/dockerd.md")
	must(t, err)
	blocks := fenced(string(page), "bash")
	if len(blocks) != 1 {
		t.Fatalf("%d blocks of bash, want the one for hosts", len(blocks))
	}
	manifests := t.TempDir()
	mounts := map[string]string{"/etc/docker": t.TempDir(), "/run/regcred": t.TempDir(), "/etc/connectors": manifests}
	for at := range mounts {
		must(t, makeOwnFolder(at))
	}
	render := func(registries string) {
		t.Helper()
		manifest := manifestOf("registry", "registries: ["+registries+"]\nissuer: {anonymous: {}}")
		must(t, os.WriteFile(filepath.Join(manifests, "registry.yaml"), []byte(manifest), 0o600))
		said, err := client.WithMounts(t.Context(), mounts, "sh", "-euxc", blocks[0]).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	private := fmt.Sprintf("{host: %q, tls: {caBundle: %q}}", f.Host(), string(w.CA())+string(authority.PEM()))
	render(private)
	daemon := runDockerd(t, client.Dockerd{Program: program, ConfigFile: "/etc/docker/daemon.json", Mounts: mounts})
	login, err := json.Marshal(map[string]any{"auths": map[string]any{
		f.Host(): entry{Username: user, Password: password}, plain.Host(): entry{Username: user, Password: password},
	}})
	must(t, err)
	docker := client.NewDocker(client.Files{DockerConfig: t.TempDir()}, daemon)
	must(t, os.WriteFile(filepath.Join(docker.DockerConfig, "config.json"), login, 0o600))
	must(t, docker.Push(t.Context(), newArchive(t), f.Host()+"/team/app:host"))
	refuses(t, docker.Pull(t.Context(), plain.Host()+"/team/app:host"), "server gave HTTP response to HTTPS client")

	render(fmt.Sprintf("{host: %q, plainHTTP: true}", plain.Host()))
	must(t, daemon.Reload())
	await(t, "docker info to show "+plain.Host(), func() bool {
		got, err := daemon.Registries(t.Context())
		must(t, err)
		return cmp.Equal(client.Registries{Insecure: []string{plain.Host()}}, got, cmpopts.EquateEmpty())
	})
	must(t, docker.Pull(t.Context(), plain.Host()+"/team/app:host"))
	// What the Connector does not name any more is not trusted any more.
	refuses(t, docker.Pull(t.Context(), f.Host()+"/team/app:host"), "certificate signed by unknown authority")
}

// eachDockerd runs a test with Debian's dockerd and, in make test-all, with a
// newer one: with its own image store, which new installations have, and with
// the one that it still has from before.
func eachDockerd(t *testing.T, test func(t *testing.T, program string)) {
	t.Helper()
	eachVersion(t, []string{debianDockerd, newDockerd, newDockerdOldStore}, test)
}

const (
	debianDockerd      = "dockerd"
	newDockerd         = "dockerd-29"
	newDockerdOldStore = "dockerd-29 with vfs"
)

// eachVersion runs a test with the first program and, in make test-all, with
// the others, which take long to build.
func eachVersion(t *testing.T, programs []string, test func(t *testing.T, program string)) {
	t.Helper()
	t.Parallel()
	if os.Getenv("REGCRED_CLIENTS") != "all" {
		programs = programs[:1]
	}
	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			test(t, program)
		})
	}
}

// secretLogin is a Connector that gives out the login of a Secret.
const secretLogin = `issuer: {secret: {name: login}}`

func dockerVolume(pod, connectors string) kubelet.Volume {
	v := aVolume(pod, connectors)
	v.Attributes["configuration.names"] = "docker-config,dockerd"
	return v
}

// newDockerWorld is newNode for tests that run a dockerd.
func newDockerWorld(t *testing.T, known connectors) *world.World {
	t.Helper()
	if !sandbox.Privileged() {
		t.Skip("dockerd needs the machine's root")
	}
	return newNode(t, time.Minute, known)
}

// certsOf is the second volume of a dind container, of the same Connectors as
// the first.
func certsOf(v kubelet.Volume) kubelet.Volume {
	certs := v
	certs.Name = "certs"
	certs.Attributes = map[string]string{"connectors": v.Attributes["connectors"], "configuration.names": "certs-d"}
	return certs
}

// dockerdWith runs dockerd in a container's place: with the volume mounted at
// atDockerd, its certs at /etc/docker/certs.d, and an /etc/docker of its own.
func dockerdWith(t *testing.T, program string, w *world.World, v kubelet.Volume) *client.Daemon {
	t.Helper()
	publish(t, w, certsOf(v))
	must(t, os.MkdirAll(atDockerd, 0o755))
	return runDockerd(t, client.Dockerd{
		Program: program, ConfigFile: atDockerd + "/daemon.json",
		Mounts: map[string]string{
			"/etc/docker": emptyEtcDocker(t), "/etc/docker/certs.d": w.Kubelet.Target(certsOf(v)), atDockerd: w.Kubelet.Target(v),
		},
	})
}

// emptyEtcDocker is what an image has there: places to mount to.
func emptyEtcDocker(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "certs.d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "daemon.json"), nil, 0o644))
	return dir
}

func runDockerd(t *testing.T, c client.Dockerd) *client.Daemon {
	t.Helper()
	daemon, err := startDockerd(t, c)
	must(t, err)
	t.Cleanup(func() { must(t, daemon.Close()) })
	return daemon
}

func startDockerd(t *testing.T, c client.Dockerd) (*client.Daemon, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d-") //nolint:usetesting // t.TempDir is too long for dockerd's sockets
	must(t, err)
	c.Dir, c.OwnStore = dir, c.Program == newDockerd
	c.Program, _, _ = strings.Cut(c.Program, " ")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.Start(ctx)
}

// newFront is another address of the world's registry.
func newFront(t *testing.T, w *world.World, authority *pki.Authority) *front.Front {
	t.Helper()
	f, err := front.Start(front.Config{Name: "registry.test", Registry: w.Registry.Host(), CA: w.CA(), Authority: authority})
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	authority, err := pki.New()
	must(t, err)
	return authority
}

// writeLogins writes a Secret with the user's login for several registries.
func writeLogins(t *testing.T, w *world.World, name string, keys ...string) {
	t.Helper()
	auths := map[string]any{}
	for _, key := range keys {
		auths[key] = map[string]string{"username": user, "password": password}
	}
	config, err := json.Marshal(map[string]any{"auths": auths})
	must(t, err)
	write(t, w, name+"-logins", fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\n"+
		"type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '%s'}\n", name, namespace, config))
}

// declare writes a Connector whose whole spec the test says.
func declare(t *testing.T, w *world.World, name, spec string) {
	t.Helper()
	write(t, w, name, manifestOf(name, spec))
}

func manifestOf(name, spec string) string {
	var indented strings.Builder
	for line := range strings.Lines(spec) {
		indented.WriteString("  " + line)
	}
	return fmt.Sprintf("apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: %s, namespace: %s}\nspec:\n%s\n",
		name, namespace, indented.String())
}

// publishDeclared publishes with Connectors that were declared a moment ago:
// the kubelet, too, tries again while the driver does not know them.
func publishDeclared(t *testing.T, w *world.World, v kubelet.Volume) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	must(t, child.Until(ctx, func(ctx context.Context) error {
		if err = w.Kubelet.Publish(ctx, v); status.Code(err) == codes.NotFound {
			return err
		}
		return nil
	}))
	must(t, err)
}

// refuses wants an error that holds these words of the client or the server.
func refuses(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("the answer is %v, want a refusal with %q", err, words)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, child.Until(ctx, func(context.Context) error {
		if !condition() {
			return fmt.Errorf("waiting for %s", what)
		}
		return nil
	}))
}
