package clients

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

func nobody(program) string { return "" }

func situations() []situation {
	return []situation{
		{
			name: "login", means: "pushes and pulls with a user and a password, which it takes to the registry's token server",
			prepare: uses("logins", func(s *stage) string { return s.Registry.Host() }), cannot: nobody,
		},
		{
			name: "htpasswd", means: "pushes and pulls with a user and a password at a registry that wants HTTP Basic authentication",
			prepare: uses("passwords", func(s *stage) string { return s.Passwords.Host() }), cannot: nobody,
		},
		{
			name: "bearer", means: "pushes and pulls with a short-lived bearer token (`registrytoken`)",
			prepare: uses("tokens", func(s *stage) string { return s.Registry.Host() }),
			cannot:  func(p program) string { return p.noRegistryToken },
		},
		{
			name: "identity", means: "pushes and pulls with a refresh token (`identitytoken`) instead of the password",
			prepare: uses("identity", func(s *stage) string { return s.Registry.Host() }), cannot: nobody,
		},
		{
			name: "Docker Hub", means: "pushes to and pulls from `docker.io`, by its own name and the names behind it",
			prepare: uses("hub", func(*stage) string { return "docker.io" }), cannot: nobody,
		},
		{
			name: "mirror", means: "pulls through a mirror with the mirror's own login",
			prepare: mirror, cannot: nobody,
		},
		{
			name: "configured mirror", means: "pulls an image by the registry's name from the mirror that the volume names",
			prepare: configuredMirror, cannot: func(p program) string {
				if p.authFile {
					return ""
				}
				return "it reads no `registries.conf`: docker's mirrors are in `daemon.json`, BuildKit's in `buildkitd.toml`"
			},
			fails: regexp.MustCompile(`the mirror was not asked`),
		},
		{
			name: "intranet", means: "pushes and pulls where the token server has a private address and another name than the registry",
			prepare: uses("intranet", func(s *stage) string { return s.Intranet.Host() }),
			cannot:  func(p program) string { return p.noPrivateTokens },
			fails:   regexp.MustCompile(`bearer realm host "auth\.intranet\.test" resolves to 10\.99\.0\.1`),
		},
		{
			name: "two identities", means: "pulls from two repositories of one host as two users",
			prepare: twoIdentities, cannot: func(p program) string {
				if p.authFile {
					return ""
				}
				return "`config.json` has one login for a host, so such a volume is refused; `auth.json` (`containers-auth`) has one for each path"
			},
			fails: regexp.MustCompile(`docker-config`),
		},
		{
			name: "several", means: "pushes to and pulls from two registries with one volume",
			prepare: several, cannot: nobody,
		},
		{
			name: "anonymous", means: "pulls what is public without a login, and is refused elsewhere",
			prepare: anonymous, cannot: nobody,
		},
		{
			name: "wrong", means: "is refused with a wrong password, also what it could pull without any",
			prepare: wrong, cannot: nobody,
		},
		{
			name: "fsGroup", means: "pushes and pulls as user 1000 whose pod has an fsGroup",
			prepare: fsGroup, cannot: nobody,
		},
		{
			name: "rotation", means: "pulls again and again while the login changes all the time, and is never refused",
			prepare: rotation, cannot: nobody,
		},
		{
			name: "emptied", means: "goes on with what is public once the volume is emptied, and is refused elsewhere",
			prepare: emptied, cannot: nobody,
		},
		{
			name: "subPath", means: "follows a new password in a `config.json` mounted by subPath",
			prepare: subPath, cannot: func(program) string {
				return "a file mounted by subPath does not follow: mount the whole volume"
			},
		},
	}
}

// uses is for a client that has a login and needs nothing else.
func uses(connector string, host func(*stage) string) func(*testing.T, *stage) func(*testing.T, program) error {
	return func(t *testing.T, s *stage) func(*testing.T, program) error {
		files := s.published(t, connector, connector)
		return func(t *testing.T, p program) error {
			return works(t, p.with(t, files, s.daemon), host(s)+"/team/app")
		}
	}
}

func mirror(t *testing.T, s *stage) func(*testing.T, program) error {
	files := s.published(t, "mirror", "mirror")
	return func(t *testing.T, p program) error {
		return p.with(t, files, s.daemon).Pull(t.Context(), s.Mirror.Host()+"/team/app:"+seed)
	}
}

// twoIdentities is a Secret with a login for each of two repositories, where
// each user may do nothing in the other's.
func twoIdentities(t *testing.T, s *stage) func(*testing.T, program) error {
	owners := map[string]string{"team/app": "app-owner", "team/public": "public-owner"}
	logins := map[string]any{}
	for repository, owner := range owners {
		s.Tokens.SetPassword(owner, password)
		s.Tokens.Grant(owner, repository, "pull")
		logins[s.Registry.Host()+"/"+repository] = map[string]string{"username": owner, "password": password}
	}
	manifest, err := world.DockerConfigOf(namespace, "owners-login", logins)
	must(t, err)
	write(t, s.World, "owners-login", manifest)
	write(t, s.World, "owners", s.Connector(namespace, "owners", "issuer: {secret: {name: owners-login}}"))
	v := aVolume("owners", "owners")
	v.Attributes["configuration.names"] = "containers-auth"
	publishSoon(t, s.World, v)
	files := filesOf(s.World, v)
	files.AuthFile = filepath.Join(files.DockerConfig, "auth.json")
	return func(t *testing.T, p program) error {
		if !p.authFile {
			other := aVolume("owners-"+p.name, "owners")
			err := s.Kubelet.Publish(t.Context(), other)
			must(t, s.Kubelet.Forget(other))
			return err
		}
		for repository := range owners {
			if err := p.with(t, files, s.daemon).Pull(t.Context(), s.Image(repository, seed)); err != nil {
				return fmt.Errorf("%s: %w", repository, err)
			}
		}
		return nil
	}
}

// configuredMirror gives each client an image of its own, so that the mirror's
// log tells who came.
func configuredMirror(t *testing.T, s *stage) func(*testing.T, program) error {
	// The first line still belongs to the registry.
	write(t, s.World, "mirrored", s.Connector(namespace, "mirrored",
		"  mirrors: [{url: https://"+s.Mirror.Host()+"}]\nissuer: {secret: {name: login}}"))
	files := s.published(t, "mirrored", "mirrored,mirror")
	settings := aVolume("settings", "mirrored,mirror")
	settings.Attributes["configuration.names"] = "containers-registries"
	publishSoon(t, s.World, settings)
	files.Mounts = map[string]string{"/etc/containers/registries.conf.d": s.Kubelet.Target(settings)}
	return func(t *testing.T, p program) error {
		repository := "team/mirrored-" + p.name
		s.Tokens.Grant(user, repository, "pull", "push")
		if err := works(t, p.with(t, files, s.daemon), s.Registry.Host()+"/"+repository); err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Mirror.Accesses(), func(a registry.Access) bool {
			return a.Status == http.StatusOK && strings.HasPrefix(a.Path, "/v2/"+repository+"/manifests/")
		}) {
			return errors.New("the mirror was not asked")
		}
		return nil
	}
}

func several(t *testing.T, s *stage) func(*testing.T, program) error {
	files := s.published(t, "several", "logins,passwords")
	return func(t *testing.T, p program) error {
		c := p.with(t, files, s.daemon)
		if err := works(t, c, s.Registry.Host()+"/team/app"); err != nil {
			return err
		}
		return works(t, c, s.Passwords.Host()+"/team/app")
	}
}

func anonymous(t *testing.T, s *stage) func(*testing.T, program) error {
	files := s.published(t, "anonymous", "anonymous")
	return func(t *testing.T, p program) error { return s.onlyPublic(t, p.with(t, files, s.daemon)) }
}

// onlyPublic: the client gets what everybody gets.
func (s *stage) onlyPublic(t *testing.T, c client.Client) error {
	t.Helper()
	if err := c.Pull(t.Context(), s.Image("team/public", seed)); err != nil {
		return fmt.Errorf("pulling what is public: %w", err)
	}
	if err := letsNobodyIn("a pull", c.Pull(t.Context(), s.Image("team/app", seed))); err != nil {
		return err
	}
	return letsNobodyIn("a push", c.Push(t.Context(), newArchive(t), s.Image("team/public", c.Name())))
}

func wrong(t *testing.T, s *stage) func(*testing.T, program) error {
	files := s.published(t, "wrong", "wrong")
	return func(t *testing.T, p program) error {
		c := p.with(t, files, s.daemon)
		for _, repository := range []string{"team/app", "team/public"} {
			if err := letsNobodyIn("a pull", c.Pull(t.Context(), s.Image(repository, seed))); err != nil {
				return err
			}
		}
		return nil
	}
}

func fsGroup(t *testing.T, s *stage) func(*testing.T, program) error {
	const uid, group = 1000, 2000
	if !sandbox.Privileged() {
		t.Skip("a user namespace of one user has no other: it needs the machine's root")
	}
	v := aVolume("group", "logins")
	v.FSGroup = fmt.Sprint(group)
	publish(t, s.World, v)
	at := mounted(t, s.Kubelet.Target(v))
	files := client.Files{DockerConfig: at, CA: filepath.Join(at, "ca.crt"), User: &client.User{UID: uid, FSGroup: group}}
	return func(t *testing.T, p program) error {
		return works(t, p.with(t, files, s.daemon), s.Registry.Host()+"/team/app")
	}
}

func emptied(t *testing.T, s *stage) func(*testing.T, program) error {
	const spec = "issuer: {secret: {name: login}}\n"
	write(t, s.World, "leaving", s.Connector(namespace, "leaving", spec))
	v := aVolume("emptied", "leaving")
	publishSoon(t, s.World, v)
	if !isLogin(user, password)(shown(t, s.World, v)) {
		t.Fatal("config.json does not show the login at first")
	}
	write(t, s.World, "leaving", s.Connector(namespace, "leaving", spec+"access: [{namespaces: [elsewhere]}]"))
	awaitEntry(t, s.World, v, within, func(e entry) bool { return e == entry{} })
	files := filesOf(s.World, v)
	return func(t *testing.T, p program) error { return s.onlyPublic(t, p.with(t, files, s.daemon)) }
}

// subPath gives each client a user of its own, whose password then changes.
func subPath(_ *testing.T, s *stage) func(*testing.T, program) error {
	return func(t *testing.T, p program) error {
		name := "sub-" + p.name
		s.Tokens.SetPassword(name, password)
		s.Tokens.Grant(name, "team/app", "pull")
		write(t, s.World, name+"-login", world.Login(namespace, name+"-login", name, password))
		write(t, s.World, name, s.Connector(namespace, name, "issuer: {secret: {name: "+name+"-login}}"))
		v := aVolume(name, name)
		publishSoon(t, s.World, v)
		whole := filesOf(s.World, v)
		file := whole
		file.DockerConfig = filepath.Dir(mounted(t, filepath.Join(whole.DockerConfig, "config.json")))
		pull := func(files client.Files) error {
			return p.with(t, files, s.daemon).Pull(t.Context(), s.Image("team/app", seed))
		}
		must(t, pull(file))
		s.Tokens.SetPassword(name, changed)
		write(t, s.World, name+"-login", world.Login(namespace, name+"-login", name, changed))
		awaitEntry(t, s.World, v, within, isLogin(name, changed))
		must(t, pull(whole))
		return pull(file)
	}
}
