package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/front"
)

// registries.conf is read whenever a program starts: plain HTTP, unverified TLS
// and mirrors with and without a path are each as the Connector says then.
// podman and buildah are told of the file by a variable that Debian's skopeo
// does not know, which finds it in its folder.
func TestRegistriesConf(t *testing.T) {
	t.Parallel()
	const inFolder, inCerts = "/etc/containers/registries.conf.d", "/etc/containers/certs.d"
	byVariable := func(volume string) client.Files {
		return client.Files{
			RegistriesConf: filepath.Join(volume, "registries.conf"), Mounts: map[string]string{inCerts: volume},
		}
	}
	tests := map[string]func(volume string) (client.Files, func(client.Files) client.Client){
		"skopeo": func(volume string) (client.Files, func(client.Files) client.Client) {
			return client.Files{Mounts: map[string]string{inFolder: volume, inCerts: volume}},
				func(f client.Files) client.Client { return client.Skopeo{Files: f} }
		},
		"podman": func(volume string) (client.Files, func(client.Files) client.Client) {
			return byVariable(volume), func(f client.Files) client.Client { return client.NewPodman(f) }
		},
		"buildah": func(volume string) (client.Files, func(client.Files) client.Client) {
			return byVariable(volume), func(f client.Files) client.Client { return client.NewBuildah(f) }
		},
	}
	for name, with := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registriesConf(t, func(volume, ca string) client.Client {
				files, program := with(volume)
				files.DockerConfig, files.CA = volume, ca
				return program(files)
			})
		})
	}
}

func registriesConf(t *testing.T, with func(volume, ca string) client.Client) {
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
	hub := func(mirrors ...string) string {
		return "{host: docker.io, mirrors: [{url: '" + strings.Join(mirrors, "'}, {url: '") + "'}]}"
	}
	known(fmt.Sprintf("{host: %q}", plain.Host()), fmt.Sprintf("{host: %q}", strange.Host()))
	v := aVolume("job", "hosts")
	v.Attributes["configuration.names"] = "containers-registries,certs-d,docker-config"
	publishDeclared(t, w, v)
	c := with(w.Kubelet.Target(v), w.CAFile())
	// Locations are hosts and paths, in the order in which they are asked.
	shows := func(locations ...string) {
		t.Helper()
		await(t, fmt.Sprintf("registries.conf with %q", locations), func() bool {
			content, err := os.ReadFile(filepath.Join(w.Kubelet.Target(v), "registries.conf"))
			rest := string(content)
			for _, location := range locations {
				var found bool
				if _, rest, found = strings.Cut(rest, "location = '"+location+"'"); !found {
					return false
				}
			}
			return err == nil && strings.Count(string(content), "location = ") == len(locations)
		})
	}
	pulls := func(f *front.Front, image string) {
		t.Helper()
		before := f.Pulls()
		must(t, c.Pull(t.Context(), image))
		if f.Pulls() == before {
			t.Errorf("%s did not come through %s", image, f.Host())
		}
	}
	const (
		tiny     = "docker.io/library/tiny:1"
		noTLS    = "server gave HTTP response to HTTPS client"
		unknown  = "certificate signed by unknown authority"
		noMirror = "registry-1.docker.io" // which nobody in the sandbox is
	)
	archive := newArchive(t)

	refuses(t, c.Push(t.Context(), archive, plain.Host()+"/library/tiny:1"), noTLS)
	refuses(t, c.Pull(t.Context(), strange.Host()+"/library/tiny:1"), unknown)
	known(plainly)
	shows(plain.Host())
	must(t, c.Push(t.Context(), archive, plain.Host()+"/library/tiny:1"))
	must(t, c.Push(t.Context(), archive, plain.Host()+"/dockerhub/library/tiny:1"))
	pulls(plain, plain.Host()+"/library/tiny:1")
	refuses(t, c.Pull(t.Context(), tiny), noMirror)

	known(hub("http://"+plain.Host()), plainly)
	shows("docker.io", plain.Host(), plain.Host())
	pulls(plain, tiny)
	known(hub("https://"+private.Host()+"/dockerhub", "http://"+plain.Host()), privately, plainly)
	shows("docker.io", private.Host()+"/dockerhub", plain.Host(), plain.Host())
	before := plain.Pulls()
	pulls(private, tiny)
	if plain.Pulls() != before {
		t.Error("the second mirror was asked although the first one answers")
	}
	must(t, private.Close())
	pulls(plain, tiny)

	known(fmt.Sprintf("{host: %q, tls: {insecureSkipVerify: true}}", strange.Host()))
	shows(strange.Host())
	pulls(strange, strange.Host()+"/library/tiny:1")
	refuses(t, c.Pull(t.Context(), plain.Host()+"/library/tiny:1"), noTLS)
	refuses(t, c.Pull(t.Context(), tiny), noMirror)
	unpublish(t, w, v)
	nothingLeft(t, w)
}
