package render_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// A credential that auth.json cannot carry fails the publish, and so does an
// absence of one that it cannot carry below a login.
func TestContainersAuthRefuses(t *testing.T) {
	const (
		prefix = "configuration containers-auth: connector ci/harbor: "
		glob   = ": auth.json has no globs in paths, and without the glob the entry would serve others too: write each path out in the Connector"
	)
	// By the rules of precedence only a glob in the host stands behind one in
	// the path.
	wide := func(entries ...connector.Entry) render.Source {
		return with(source("harbor", entries...), hosts("reg.example")...)
	}
	for name, test := range map[string]struct {
		source render.Source
		want   string
	}{
		"registry token": {
			source("harbor", basic("reg.example", "a", "a"), connector.Entry{Key: key("reg.example/team"), RegistryToken: secret("bearer")}),
			prefix + "registry reg.example: registrytoken: podman, buildah and skopeo read none from auth.json: let the issuer give a password or an identity token, or use docker-config with a client that reads it",
		},
		"login under a glob":              {source("harbor", basic("reg.example/team-*", "a", "a")), prefix + "registry reg.example: path team-*" + glob},
		"login under a glob below others": {wide(basic("reg.example/*/app", "a", "a"), basic("*.example", "b", "b")), prefix + "registry reg.example: path */app" + glob},
		"anonymous glob below a login":    {wide(anonymous("reg.example/pub-*"), basic("*.example", "a", "a")), prefix + "registry reg.example: path pub-*" + glob},
		"login between two of its like": {
			wide(basic("reg.example/*/app", "a", "a"), basic("*.example/team", "b", "b"), basic("*.example", "a", "a")),
			prefix + "registry reg.example: path */app" + glob,
		},
		"colon in user": {
			source("harbor", basic("reg.example/a", "a", "a"), basic("reg.example/b", "b:c", "b")),
			prefix + "registry reg.example: the username holds a colon, which basic authentication cannot carry (RFC 7617): use an account without one",
		},
		"glob without host": {
			with(source("harbor", basic("*.example.com/team", "a", "a")), hosts("example.org")...),
			prefix + "the entry for *.example.com/team matches none of its declared hosts, and clients look up exact hosts only: list the hosts in spec.registries",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(input("containers-auth", test.source))
			if files != nil || !errors.Is(err, connector.ErrPrecondition) || err.Error() != test.want {
				t.Errorf("files %v, error\n%v\nwant\n%s", files, err, test.want)
			}
		})
	}
}

// Each key says from which entry it comes, and before which others.
func TestExplainContainersAuth(t *testing.T) {
	s := with(source("a",
		basic("docker.io", "u", "p"), anonymous("docker.io/library"), basic("*.example", "w", "w"),
		basic("reg.example/team", "t", "t"), basic("*.example/team/app", "never", "never")), hosts("reg.example", "docker.io")...)
	got, err := render.Explain(input("containers-auth", s))
	if err != nil {
		t.Fatal(err)
	}
	at := func(entry, from string, rules ...connector.Rule) render.Placement {
		return render.Placement{File: "auth.json", Entry: entry, Connector: s.Connector, From: []connector.Key{key(from)}, Rules: rules}
	}
	if diff := cmp.Diff([]render.Placement{
		at("docker.io", "docker.io"),
		at("docker.io/library", "docker.io/library"),
		at("index.docker.io/library", "docker.io/library"),
		at("reg.example", "*.example"),
		at("reg.example/team", "reg.example/team", connector.LiteralHost),
		at("registry-1.docker.io/library", "docker.io/library"),
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

// The TLS of a mirror and the word on a host come from the connector that wins
// the mirror's host, and that host.
func TestExplainContainersRegistries(t *testing.T) {
	first := with(source("first", basic("reg.example", "a", "a")), render.Registry{Host: "reg.example", Mirrors: []string{"https://lab.example/x"}})
	second := with(source("second", basic("lab.example", "b", "b")),
		render.Registry{Host: "lab.example", InsecureSkipVerify: true}, render.Registry{Host: "reg.example", InsecureSkipVerify: true})
	in := input("containers-registries", first, second)
	got, err := render.Explain(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]render.Placement{
		{File: "registries.conf", Entry: "lab.example", Connector: second.Connector},
		{File: "registries.conf", Entry: "reg.example", Connector: first.Connector},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
	files, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Registries of this volume, for podman, buildah and skopeo.
[[registry]]
prefix = 'lab.example'
location = 'lab.example'
insecure = true

[[registry]]
prefix = 'reg.example'
location = 'reg.example'

[[registry.mirror]]
location = 'lab.example/x'
insecure = true
`
	if diff := cmp.Diff(want, string(data(t, files, "registries.conf"))); diff != "" {
		t.Error(diff)
	}
}

// What is said of a host without a port counts for its other ports, and the
// volume says so; not of Docker Hub, whose images have no port.
func TestPortsOfABareHostAreTold(t *testing.T) {
	s := with(source("lab", basic("lab.example", "lab", "lab")),
		render.Registry{Host: "lab.example", InsecureSkipVerify: true},
		render.Registry{Host: "mirrored.example", Mirrors: []string{"https://lab.example"}},
		render.Registry{Host: "docker.io", Mirrors: []string{"https://lab.example"}},
		render.Registry{Host: "port.example:5000", PlainHTTP: true},
		render.Registry{Host: "plain.example"})
	got, err := render.Explain(input("containers-registries", s))
	if err != nil {
		t.Fatal(err)
	}
	told := func(host string) render.Omission {
		return render.Omission{
			Configuration: "containers-registries", Host: host, Connector: s.Connector, What: "ports",
			Why: "a section without a port also counts for those ports of the host that no connector declares: what it says of TLS and mirrors holds there, too",
		}
	}
	if diff := cmp.Diff([]render.Omission{told("lab.example"), told("mirrored.example")}, got.Report.Omitted); diff != "" {
		t.Error(diff)
	}
}
