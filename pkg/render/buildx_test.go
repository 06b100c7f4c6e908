package render_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

var (
	pull     = []connector.Action{connector.Pull}
	pullPush = []connector.Action{connector.Pull, connector.Push}
)

// asking is a source of which the pod asks only this.
func asking(s render.Source, actions []connector.Action, repositories ...string) render.Source {
	s.Asked = connector.Scope{Actions: actions, Repositories: repositories}
	return s
}

func buildxCases(all map[string]render.Input) {
	all["buildx-forms"] = input("buildx-scoped", tokens(), source("six", basic("[fd00::1]:5000", "six", "six")))
	all["buildx-globs"] = input("buildx-scoped", with(source("globs",
		basic("*.docker.io", "hubber", "hub"), basic("*.shadow.example", "wide", "wide"), anonymous("public.shadow.example")),
		hosts("docker.io", "private.shadow.example", "public.shadow.example")...))
	reader, writer := asking(source("reader", basic("reg.example", "reader", "reader"), basic("pulls.example", "reader", "pulls")), pull),
		asking(source("writer", basic("reg.example", "writer", "writer"), basic("pushes.example", "writer", "pushes")), pullPush)
	all["buildx-actions"] = input("buildx-scoped", reader, writer)
	// The first may do both, so nothing is left for the other one.
	all["buildx-actions-lost"] = input("buildx-scoped", writer, reader)
	all["buildx-actions-beside"] = render.Input{Configurations: []string{"docker-config", "buildx-scoped"}, Sources: []render.Source{reader, writer}}
	gone := emptied(reader, "expired")
	gone.Claims = []string{"reg.example", "pulls.example"}
	all["buildx-actions-emptied"] = input("buildx-scoped", gone, writer)
	// The pusher's login stands in config.json: neither the gap nor an absence
	// may lead pulls there.
	pusher := asking(source("pusher", basic("reg.example", "pusher", "reg"), basic("open.example", "pusher", "open")), []connector.Action{connector.Push})
	gone.Claims = []string{"reg.example"}
	all["buildx-gap-beside"] = render.Input{Configurations: []string{"docker-config", "buildx-scoped"}, Sources: []render.Source{
		pusher, gone, asking(source("nobody", anonymous("open.example")), pull),
		asking(source("one", basic("one.example", "one", "one")), []connector.Action{connector.Push}, "team/app"),
		func() render.Source {
			s := emptied(asking(source("ended"), pull), "expired")
			s.Claims = []string{"one.example"}
			return s
		}(),
	}}
	all["buildx-paths"] = input("buildx-scoped", source("paths",
		basic("reg.example", "rest", "rest"), basic("reg.example/team/app", "app", "app"), anonymous("reg.example/public"),
		basic("reg.example/same", "rest", "rest"), basic("docker.io/library/busybox", "hub", "hub")))
	narrow := scoped()
	narrow.Credential.Entries = append(narrow.Credential.Entries, connector.Entry{Key: key("docker.io"), RegistryToken: secret("hub")})
	all["buildx-repositories"] = input("buildx-scoped", narrow, asking(source("writer", basic("scoped.example", "writer", "writer")), pullPush))
	all["buildx-excluded"] = render.Input{Configurations: []string{"buildx-scoped"}, Sources: []render.Source{reader, writer}, Exclude: []string{"config/reg.example@pull"}}
}

func TestBuildxRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		source render.Source
		want   string
	}{
		"glob in a path": {
			source("a", basic("reg.example/team/*", "u", "p")),
			"configuration buildx-scoped: connector ci/a: registry reg.example/team/*: path team/*: a directory is for one repository, whose whole name it bears: write an entry for each repository, or name them in the volume's attribute repositories",
		},
		"absence with a glob in its path": {
			asking(source("a", anonymous("reg.example/team/*")), nil, "team/app"),
			"configuration buildx-scoped: connector ci/a: registry reg.example/team/*: path team/*: a directory is for one repository, whose whole name it bears: write an entry for each repository, or name them in the volume's attribute repositories",
		},
		"no repository": {
			source("a", basic("reg.example/..", "u", "p")),
			"configuration buildx-scoped: connector ci/a: registry reg.example/..: path .. is no repository: write lower-case segments without tag or digest",
		},
		"undeclared": {
			source("a", basic("*.example", "u", "p")),
			"configuration buildx-scoped: connector ci/a: the entry for *.example matches none of its declared hosts, and clients look up exact hosts only: list the hosts in spec.registries",
		},
		"colon": {
			source("a", basic("reg.example", "u:v", "p")),
			"configuration buildx-scoped: connector ci/a: registry reg.example: the username holds a colon, which basic authentication cannot carry (RFC 7617): use an account without one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(input("buildx-scoped", test.source))
			if files != nil || err == nil || err.Error() != test.want {
				t.Errorf("%v, error\n%v\nwant\n%s", files, err, test.want)
			}
		})
	}
}

// A glob in a path is carried where the pod names the repositories.
func TestBuildxGlobOfNamedRepositories(t *testing.T) {
	files, err := render.Render(input("buildx-scoped", asking(source("a", basic("reg.example/team/*", "u", "p")), nil, "team/app", "other")))
	if err != nil || len(files) != 2 || files[0].Path != "config/reg.example/team/app/config.json" {
		t.Errorf("%v, %v", files, err)
	}
}

// A pod that asks only for pulls gets them, whatever more was granted, and
// leaves pushes to the next connector; what was granted instead of it counts.
func TestBuildxActionsGranted(t *testing.T) {
	push := []connector.Action{connector.Push}
	for name, test := range map[string]struct {
		asked, granted []connector.Action
		want           [2]string // pulls, pushes
	}{
		"more than asked":    {pull, pullPush, [2]string{"first", "second"}},
		"less than asked":    {pullPush, pull, [2]string{"first", "second"}},
		"instead of asked":   {push, pull, [2]string{"first", "second"}},
		"nothing asked":      {nil, push, [2]string{"second", "first"}},
		"as asked":           {pullPush, pullPush, [2]string{"first", "first"}},
		"granted not stated": {push, nil, [2]string{"second", "first"}},
	} {
		t.Run(name, func(t *testing.T) {
			first := asking(source("first", basic("reg.example", "first", "x")), test.asked)
			first.Credential.Granted.Actions = test.granted
			files, err := render.Render(input("buildx-scoped", first, source("second", basic("reg.example", "second", "x"))))
			if err != nil {
				t.Fatal(err)
			}
			var got [2]string
			for i, action := range pullPush {
				got[i], _, _ = strings.Cut(buildxFinds(t, files, "reg.example", "team/app", action), ":")
			}
			if got != test.want {
				t.Errorf("pulls and pushes by %v, want %v", got, test.want)
			}
		})
	}
}

func TestExplainBuildx(t *testing.T) {
	in := cases()["buildx-actions"]
	got, err := render.Explain(in)
	if err != nil {
		t.Fatal(err)
	}
	at := func(file string, s render.Source, from string) render.Placement {
		return render.Placement{File: file, Entry: from, Connector: s.Connector, From: []connector.Key{key(from)}}
	}
	reader, writer := in.Sources[0], in.Sources[1]
	if diff := cmp.Diff([]render.Placement{
		{File: "config/pulls.example@pull,push/config.json", Entry: "pulls.example", Connector: reader.Connector},
		at("config/pulls.example@pull/config.json", reader, "pulls.example"),
		at("config/pushes.example/config.json", writer, "pushes.example"),
		at("config/reg.example@pull,push/config.json", writer, "reg.example"),
		at("config/reg.example@pull/config.json", reader, "reg.example"),
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
	if got.Shadowed != nil || got.Report.Lost != nil || len(got.Report.Entries) != 4 {
		t.Errorf("%+v", got)
	}
}

// FuzzBuildx renders random Connectors and looks repositories up by the rules
// of buildx: pulls and pushes get exactly the login of the first connector that
// claims the host and may do it.
func FuzzBuildx(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 2))
		sources := randomSources(random)
		files, err := render.Render(input("buildx-scoped", sources...))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"reg.example", "docker.io"} {
			for _, repository := range randomRepositories {
				for _, action := range pullPush {
					want := wantedLogin(sources, host, repository, action)
					if got := buildxFinds(t, files, host, repository, action); got != want {
						t.Errorf("seed %d: %s of %s/%s gets %q, want %q of %v\n%v", seed, action, host, repository, got, want, sources, files)
					}
				}
			}
		}
	})
}

var randomRepositories = []string{"team", "team/app", "team/app/x", "other"}

func randomSources(r *rand.Rand) []render.Source {
	var sources []render.Source
	for n := range 1 + r.IntN(3) {
		name := fmt.Sprintf("c%d", n)
		var entries []connector.Entry
		for _, host := range []string{"reg.example", "docker.io", "*.example"} {
			for _, path := range []string{"", "/team", "/team/app", "/other"} {
				switch r.IntN(8) {
				case 0:
					entries = append(entries, anonymous(host+path))
				case 1, 2:
					entries = append(entries, basic(host+path, name, host+path))
				}
			}
		}
		s := with(source(name, entries...), hosts("reg.example")...)
		s.Asked.Actions = [][]connector.Action{nil, pull, pullPush, {connector.Push}}[r.IntN(4)]
		if r.IntN(3) == 0 {
			s.Asked.Repositories = []string{randomRepositories[r.IntN(4)], "team/app"}
		}
		if r.IntN(4) == 0 {
			s.Credential.Granted = connector.Scope{Actions: pull, Repositories: []string{"team/**"}}
		}
		if r.IntN(8) == 0 {
			s = emptied(s, "expired")
			s.Claims = []string{"reg.example"}
		}
		sources = append(sources, s)
	}
	return sources
}

// wantedLogin is the rule in other words than the renderer's. A repository that
// none of the serving connectors names gets what the whole host gets, also below
// a path, which regcred.json tells.
func wantedLogin(sources []render.Source, host, repository string, action connector.Action) string {
	named := false
	for _, a := range pullPush {
		if s := serving(sources, host, a); s != nil && s.Credential != nil {
			named = named || slices.Contains(s.Asked.Repositories, repository) ||
				slices.ContainsFunc(s.Credential.Entries, func(e connector.Entry) bool { return e.Key.MatchesHost(host) && e.Key.Path == repository })
		}
	}
	s := serving(sources, host, action)
	if s == nil || s.Credential == nil {
		return ""
	}
	matching := slices.DeleteFunc(slices.Clone(s.Credential.Entries), func(e connector.Entry) bool {
		return !e.Key.Matches(host, repository) || !named && e.Key.Path != ""
	})
	slices.SortStableFunc(matching, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	for _, e := range matching {
		switch {
		case e.Anonymous:
			return ""
		case len(s.Asked.Repositories) == 0 || slices.Contains(s.Asked.Repositories, repository):
			return e.Username + ":" + e.Password.Reveal()
		}
	}
	return ""
}

// serving is the first source that claims the host and may do this.
func serving(sources []render.Source, host string, action connector.Action) *render.Source {
	for i, s := range sources {
		actions := s.Asked.Actions
		if s.Credential != nil && s.Credential.Granted.Actions != nil {
			actions = pull // what was granted of it, or instead of it
		}
		claims := slices.Contains(s.Claims, host)
		if s.Credential != nil {
			claims = slices.ContainsFunc(s.Credential.Entries, func(e connector.Entry) bool {
				return e.Key.MatchesHost(host) && (!e.Key.HostGlob() || host == "reg.example")
			})
		}
		if claims && (actions == nil || slices.Contains(actions, action)) {
			return &sources[i]
		}
	}
	return nil
}

// buildxFinds looks a repository up as util/dockerutil/dockerconfig of buildx
// does: the directory's actions are all asked for, its repository is this one
// or none; repositories come first, then the larger number of actions.
func buildxFinds(t *testing.T, files render.Files, host, repository string, action connector.Action) string {
	t.Helper()
	asked := pull
	if action == connector.Push {
		asked = pullPush
	}
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	best, rank := render.File{}, -1
	for _, f := range files {
		directory, ours := strings.CutPrefix(f.Path, "config/")
		if !ours {
			continue
		}
		directory = strings.TrimSuffix(directory, "/config.json")
		name, list, limited := strings.Cut(directory, "@")
		actions := strings.Split(list, ",")
		if !limited {
			actions = nil
		}
		if slices.ContainsFunc(actions, func(a string) bool { return !slices.Contains(asked, connector.Action(a)) }) {
			continue
		}
		own, path, _ := strings.Cut(name, "/")
		if own != host || path != "" && path != repository {
			continue
		}
		this := len(actions)
		if path != "" {
			this += 10
		}
		if this == rank {
			t.Errorf("%s and %s are equals", best.Path, f.Path)
		}
		if this > rank {
			best, rank = f, this
		}
	}
	if rank < 0 {
		return ""
	}
	config := configfile.New("config.json")
	if err := config.LoadFromReader(strings.NewReader(string(best.Data))); err != nil {
		t.Fatal(err)
	}
	if host == "registry-1.docker.io" {
		host = "https://index.docker.io/v1/"
	}
	auth, err := config.GetAuthConfig(host)
	if err != nil {
		t.Fatal(err)
	}
	if auth.Username == "" {
		return ""
	}
	return auth.Username + ":" + auth.Password
}
