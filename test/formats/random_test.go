package formats

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	imageconfig "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// The alphabets are small, so that keys meet each other.
var (
	someHosts     = []string{"a.example", "b.example", "a.example:5000", "docker.io"}
	someHostGlobs = []string{"*.example", "a.*", "*.example:5000", "*.docker.io"}
	someSegments  = []string{"a", "b", "ab", "a-b"}
	someGlobs     = []string{"*", "a*", "*b"}
	hubNames      = []string{"docker.io", "index.docker.io", "registry-1.docker.io"}
)

// choices are made from what a fuzzer gives.
type choices struct{ data []byte }

// of returns a number below n; 0 when there is nothing left to choose from.
func (c *choices) of(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	choice := int(c.data[0]) % n
	c.data = c.data[1:]
	return choice
}

func pick[T any](c *choices, all []T) T { return all[c.of(len(all))] }

// sources are up to three connectors that speak for the same hosts.
func (c *choices) sources() []render.Source {
	var all []render.Source
	for i := range 1 + c.of(3) {
		name := string(rune('x' + i))
		s := render.Source{Connector: connector.Ref{Namespace: "ci", Name: name}, Written: name, Issuer: "secret"}
		for _, host := range someHosts {
			if c.of(2) == 0 {
				s.Registries = append(s.Registries, c.registry(host))
			}
		}
		if c.of(8) == 7 {
			s.Emptied, s.Claims = "expired", []string{pick(c, slices.Concat(someHosts, someHostGlobs))}
		} else {
			s.Credential = &connector.Credential{}
			for range c.of(8) {
				s.Credential.Entries = append(s.Credential.Entries, c.entry(name))
			}
		}
		all = append(all, s)
	}
	return all
}

func (c *choices) registry(host string) render.Registry {
	r := render.Registry{Host: host}
	switch c.of(4) {
	case 1:
		r.PlainHTTP = true
	case 2:
		r.InsecureSkipVerify = true
	}
	for range c.of(3) {
		r.Mirrors = append(r.Mirrors, pick(c, []string{"https://", "http://"})+
			pick(c, []string{"a.example:5000", "b.example", "registry-1.docker.io", "elsewhere.example", "short", "[::1]:5000", "under_score.example"})+
			pick(c, []string{"", "/", "/hub", "/Hub", "/a//b", "/x/y/"}))
	}
	return r
}

func (c *choices) entry(name string) connector.Entry {
	e := connector.Entry{Key: connector.Key{Host: pick(c, someHosts)}}
	if c.of(3) == 0 {
		e.Key.Host = pick(c, someHostGlobs)
	}
	var path []string
	for range c.of(4) {
		segments := someSegments
		if c.of(6) == 5 {
			segments = someGlobs
		}
		path = append(path, pick(c, segments))
	}
	e.Key.Path = strings.Join(path, "/")
	secret := connector.NewSecret(name + pick(c, []string{"1", "2", "3"}))
	switch c.of(16) {
	default:
		e.Username, e.Password = name, secret
	case 1, 2, 3, 4:
		e.Anonymous = true
	case 5, 6:
		e.IdentityToken = secret
	case 7:
		e.RegistryToken = secret
	}
	return e
}

// repositories are all up to three segments deep, and one that no key names.
func repositories() []string {
	segments := append([]string{"zz", "azzb"}, someSegments...)
	all := slices.Clone(segments)
	for level := all; len(level) < len(segments)*len(segments)*len(segments); {
		var next []string
		for _, above := range level {
			for _, s := range segments {
				next = append(next, above+"/"+s)
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

// FuzzAuthJSON: for every repository containers/image gets from auth.json what
// the plan says, under each of Docker Hub's names, or the volume is refused
// because of an entry that no auth.json can hold.
func FuzzAuthJSON(f *testing.F) {
	isolateFuzz(f)
	addRandom(f, 300)
	f.Fuzz(func(t *testing.T, data []byte) {
		sources := (&choices{data}).sources()
		files, err := render.Render(render.Input{Configurations: []string{"containers-auth"}, Sources: sources})
		if err != nil {
			if !errors.Is(err, connector.ErrPrecondition) || !inexpressible(sources) {
				t.Errorf("refused: %v\n%s", err, story(sources))
			}
			return
		}
		if inexpressible(sources) {
			t.Errorf("not refused:\n%s", story(sources))
		}
		sys := &types.SystemContext{
			AuthFilePath: write(t, "auth.json", content(t, files, "auth.json")), SystemRegistriesConfPath: os.DevNull, SystemRegistriesConfDirPath: t.TempDir(),
		}
		// A handful for each host; over the runs, all.
		random := rand.New(rand.NewPCG(uint64(len(data)), 0))
		all := repositories()
		for _, host := range someHosts {
			for range 12 {
				checkAuth(t, sys, sources, host, all[random.IntN(len(all))])
			}
		}
	})
}

func checkAuth(t *testing.T, sys *types.SystemContext, sources []render.Source, host, repository string) {
	t.Helper()
	var want credential
	if e, ok := winner(sources, host, repository); ok {
		want = credential{User: e.Username, Password: e.Password.Reveal(), Identity: e.IdentityToken.Reveal()}
		if want.Identity != "" {
			want.User = "<token>"
		}
	}
	names := []string{host}
	if host == connector.DockerHub {
		names = hubNames
	}
	for _, name := range names {
		auth, err := imageconfig.GetCredentials(sys, name+"/"+repository)
		if err != nil {
			t.Fatal(err)
		}
		if got := (credential{User: auth.Username, Password: auth.Password, Identity: auth.IdentityToken}); got != want {
			t.Errorf("%s/%s gets %v, want %v:\n%s", name, repository, got, want, story(sources))
		}
	}
}

// inexpressible reports whether no auth.json can say what the plan says.
func inexpressible(sources []render.Source) bool {
	for _, s := range sources {
		if s.Credential == nil {
			continue
		}
		for _, e := range s.Credential.Entries {
			declared := slices.ContainsFunc(s.Registries, func(r render.Registry) bool { return e.Key.MatchesHost(r.Host) })
			if e.Key.HostGlob() && !e.Anonymous && !declared {
				return true
			}
		}
	}
	all := repositories()
	for _, host := range someHosts {
		for _, repository := range all {
			e, _ := winner(sources, host, repository)
			// Of a glob the repositories below need the same, and so do all
			// that it could stand for: nothing but a key that covers them.
			if !e.RegistryToken.IsZero() || strings.Contains(e.Key.Path, "*") && !without(sources, host, repository, e) {
				return true
			}
		}
	}
	return false
}

// without reports whether a repository gets the same when its entry is gone.
func without(sources []render.Source, host, repository string, gone connector.Entry) bool {
	s := *owner(sources, host)
	credential := *s.Credential
	credential.Entries = slices.DeleteFunc(slices.Clone(credential.Entries), func(e connector.Entry) bool {
		return strings.Contains(e.Key.Path, "*") && same(e, gone)
	})
	next, _ := best(credential.Entries, host, repository)
	return same(next, gone) || gone.Anonymous && next.Empty()
}

func same(a, b connector.Entry) bool {
	a.Key, b.Key = connector.Key{}, connector.Key{}
	return a.Equal(b)
}

// FuzzRegistriesConf: containers/image reaches each host as the connector says
// that wins it, pulls from its mirrors first, and can name every image there.
// Only of a port that no connector speaks for it thinks as of its bare name.
func FuzzRegistriesConf(f *testing.F) {
	isolateFuzz(f)
	addRandom(f, 300)
	f.Fuzz(func(t *testing.T, data []byte) {
		sources := (&choices{data}).sources()
		files, err := render.Render(render.Input{Configurations: []string{"containers-registries"}, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		text := content(t, files, "registries.conf")
		strictRegistries(t, text)
		sys := &types.SystemContext{SystemRegistriesConfPath: write(t, "registries.conf", text), SystemRegistriesConfDirPath: t.TempDir()}
		for _, host := range someHosts {
			declared := declaration(sources, host)
			r, err := sysregistriesv2.FindRegistry(sys, host+"/team/app")
			if err != nil {
				t.Fatal(err)
			}
			var got section
			if r != nil && r.Prefix == host {
				got = readSection(t, sys, host)
			} else if r != nil && owner(sources, host) != nil {
				t.Errorf("%s is taken for %s:\n%s", host, r.Prefix, text)
			}
			if want := declared.PlainHTTP || declared.InsecureSkipVerify; got.Insecure != want {
				t.Errorf("%s is insecure: %v, want %v:\n%s", host, got.Insecure, want, text)
			}
			checkMirrors(t, sources, declared, got.Mirrors)
		}
	})
}

// checkMirrors: they are some of those declared, in their order, each reached
// as its own host is.
func checkMirrors(t *testing.T, sources []render.Source, declared render.Registry, got []source) {
	t.Helper()
	left := declared.Mirrors
	for _, m := range got {
		location := strings.TrimSuffix(m.Image, "/team/app")
		at := slices.IndexFunc(left, func(url string) bool {
			_, written, _ := strings.Cut(url, "://")
			return location == strings.Trim(strings.Replace(written, "registry-1.docker.io", "docker.io", 1), "/")
		})
		if at < 0 {
			t.Fatalf("mirror %s of %s is none of %v", m.Image, declared.Host, left)
		}
		host, _, _ := strings.Cut(location, "/")
		own := declaration(sources, host)
		want := own.PlainHTTP || own.InsecureSkipVerify
		if owner(sources, host) == nil {
			want = strings.HasPrefix(left[at], "http://")
		}
		if m.Insecure != want {
			t.Errorf("mirror %s of %s is insecure: %v, want %v", left[at], declared.Host, m.Insecure, want)
		}
		left = left[at+1:]
	}
}

func addRandom(f *testing.F, rounds uint64) {
	for seed := range rounds {
		random := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 16+random.IntN(200))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
}

func isolateFuzz(f *testing.F) {
	empty := f.TempDir()
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"} {
		f.Setenv(name, empty)
	}
}

func content(t *testing.T, files render.Files, path string) []byte {
	t.Helper()
	i := slices.IndexFunc(files, func(f render.File) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("%s is not rendered; there are %v", path, files)
	}
	return files[i].Data
}
