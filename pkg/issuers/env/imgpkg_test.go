package env_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzRegistryEnv renders random Connectors into the variables of imgpkg. Read
// back by the rules of this issuer, and looked up as imgpkg itself does, they
// give for every image exactly the login that the precedence of Connectors and
// keys chooses.
func FuzzRegistryEnv(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, "p: '\"$(x)`\\ä")
	}
	f.Fuzz(func(t *testing.T, seed uint64, password string) { checkRegistryEnv(t, seed, password) })
}

func checkRegistryEnv(t *testing.T, seed uint64, password string) {
	random := rand.New(rand.NewPCG(seed, 1))
	sources := randomSources(random, password)
	in := render.Input{Configurations: []string{"imgpkg-env"}, Sources: sources}
	explained, err := render.Explain(in)
	if err != nil {
		if !errors.Is(err, connector.ErrPrecondition) {
			t.Error(err)
		}
		return
	}
	files, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(files, func(f render.File) bool { return f.Path == "registry.env" })
	assigned := readAssignments(t, string(files[i].Data))
	var entries []connector.Entry
	if len(assigned) > 0 {
		c, err := issue(t, secretOnly, variables(assigned...))
		if err != nil {
			t.Fatalf("%v\n%s", err, files[i].Data)
		}
		if len(c.Warnings) > 0 {
			t.Errorf("%q\n%s", c.Warnings, files[i].Data)
		}
		entries = c.Entries
	}
	for range 40 {
		host, repository := pick(random, askedHosts), pick(random, askedRepositories)
		ofHub := func(o render.Omission) bool { return o.Host == connector.DockerHub }
		want := chosenAmong(sources, slices.DeleteFunc(slices.Clone(explained.Report.Omitted), ofHub), host, repository)
		if got := readBack(entries, host, repository); got != want {
			t.Errorf("seed %d: %s/%s is served by %s, want %s\n%s", seed, host, repository, got, want, files[i].Data)
		}
		if slices.ContainsFunc(entries, func(e connector.Entry) bool { return beginsAlike(e.Key.Path, repository) }) {
			continue // regcred.json tells that paths are compared as text
		}
		if host == connector.DockerHub { // whose other names imgpkg does not know
			want = chosenAmong(sources, explained.Report.Omitted, host, repository)
		}
		if got := imgpkgChooses(t, assigned, host, repository); got != want {
			t.Errorf("seed %d: imgpkg: %s/%s is served by %s, want %s\n%s", seed, host, repository, got, want, files[i].Data)
		}
	}
}

var (
	askedHosts        = []string{"reg.io", "a.reg.io", "b.reg.io", "reg.io:5000", "docker.io", "[::1]:5000", "ab.reg.io", "reg.iox"}
	askedRepositories = []string{"team", "team/app", "team/app/x", "team-evil", "v2/x", "other", "library/busybox"}
	writtenHosts      = append([]string{
		"*.io", "*.reg.io", "a*.reg.io", "a.*.io", "*b.reg.io", "reg.*", "reg.io*", "r*g.io", "*.io:5000", "*.docker.io", "docker.*", "index.*.io", "*.*.io",
	}, askedHosts...)
	writtenPaths = []string{"", "", "", "team", "team/app", "team-evil", "v2/x"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func randomSources(r *rand.Rand, password string) []render.Source {
	var sources []render.Source
	for n := range 1 + r.IntN(3) {
		name := fmt.Sprintf("c%d", n)
		s := render.Source{Connector: connector.Ref{Namespace: "ci", Name: name}, Issuer: "secret", Credential: &connector.Credential{}}
		for _, host := range askedHosts {
			if r.IntN(4) == 0 {
				s.Registries = append(s.Registries, render.Registry{Host: host})
			}
		}
		for i := range 1 + r.IntN(4) {
			s.Credential.Entries = append(s.Credential.Entries, randomEntry(r, fmt.Sprintf("%s-%d", name, i), password))
		}
		if r.IntN(8) == 0 {
			s.Claims = claimed(s)
			s.Credential, s.Emptied = nil, "expired"
		}
		sources = append(sources, s)
	}
	return sources
}

// claimed is what the core says that an emptied source keeps.
func claimed(s render.Source) []string {
	hosts := s.Credential.Hosts()
	for _, host := range hosts {
		for _, r := range s.Registries {
			if (connector.Key{Host: host}).MatchesHost(r.Host) {
				hosts = append(hosts, r.Host)
			}
		}
	}
	return hosts
}

func randomEntry(r *rand.Rand, name, password string) connector.Entry {
	e := connector.Entry{Key: connector.Key{Host: pick(r, writtenHosts), Path: pick(r, writtenPaths)}}
	switch r.IntN(6) {
	case 0:
		e.Anonymous = true
	case 1:
		e.RegistryToken = connector.NewSecret("bearer-" + name)
	case 2:
		e.IdentityToken = connector.NewSecret("refresh-" + name)
	case 3:
		e.Username, e.IdentityToken = name, connector.NewSecret("refresh-"+name)
	default:
		e.Username, e.Password = name, connector.NewSecret(password+name)
	}
	return e
}

// chosenAmong is precedence in other words than the renderer's: the first
// Connector that claims a host serves it alone; where nobody does, the first
// one whose glob matches, unless the report says that the glob is left out.
func chosenAmong(sources []render.Source, omitted []render.Omission, host, repository string) string {
	for i, s := range sources {
		if claims(sources, i, host) {
			return best(s, host, repository)
		}
	}
	for _, s := range sources {
		if slices.ContainsFunc(s.Registries, func(r render.Registry) bool { return r.Host == host }) {
			return "none" // declared, and without a login
		}
	}
	for _, s := range sources {
		if s.Credential == nil {
			if slices.ContainsFunc(s.Claims, func(name string) bool { return (connector.Key{Host: name}).MatchesHost(host) }) {
				return "none"
			}
			continue
		}
		matching := matchingOf(s, host, repository)
		if len(matching) == 0 {
			continue
		}
		if slices.ContainsFunc(omitted, func(o render.Omission) bool {
			return o.What == "hosts" && o.Value == matching[0].Key.String() && o.Connector == s.Connector
		}) {
			return "none"
		}
		return login(matching[0])
	}
	return "none"
}

func claims(sources []render.Source, i int, host string) bool {
	s := sources[i]
	declares := func(name string) bool {
		return slices.ContainsFunc(s.Registries, func(r render.Registry) bool { return (connector.Key{Host: name}).MatchesHost(r.Host) })
	}
	// A gap or an absence that serves no declared host serves those of later
	// ones.
	idle := func(k connector.Key) bool {
		if !k.HostGlob() || !k.MatchesHost(host) || declares(k.Host) {
			return false
		}
		for later := i + 1; later < len(sources); later++ {
			if claims(sources, later, host) {
				return true
			}
		}
		return false
	}
	if s.Credential == nil {
		return slices.ContainsFunc(s.Claims, func(name string) bool { return name == host || idle(connector.Key{Host: name}) })
	}
	return slices.ContainsFunc(s.Credential.Entries, func(e connector.Entry) bool {
		return e.Key.Host == host || e.Key.HostGlob() && e.Key.MatchesHost(host) && declares(host) || e.Anonymous && idle(e.Key)
	})
}

func matchingOf(s render.Source, host, repository string) []connector.Entry {
	matching := slices.DeleteFunc(slices.Clone(s.Credential.Entries), func(e connector.Entry) bool { return !e.Key.Matches(host, repository) })
	slices.SortStableFunc(matching, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	return matching
}

func best(s render.Source, host, repository string) string {
	if s.Credential == nil {
		return "none"
	}
	if matching := matchingOf(s, host, repository); len(matching) > 0 {
		return login(matching[0])
	}
	return "none"
}

// login is an entry without its key; none for anonymous access.
func login(e connector.Entry) string {
	if e.Anonymous {
		return "none"
	}
	_, text, _ := strings.Cut(shown(e), " ")
	return text
}

// readAssignments takes a file apart as a shell does: single quotes, and single
// quotes within double ones.
func readAssignments(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, quoted, _ := strings.Cut(line, "=")
		value := ""
		for quoted != "" {
			quote := quoted[:1]
			inside, rest, closed := strings.Cut(quoted[1:], quote)
			if !closed || quote != "'" && (quote != "\"" || inside != "'") {
				t.Fatalf("%q is not quoted as it should be", line)
			}
			value, quoted = value+inside, rest
		}
		all = append(all, name+"="+value)
	}
	return all
}

func readBack(entries []connector.Entry, host, repository string) string {
	return best(render.Source{Credential: &connector.Credential{Entries: entries}}, host, repository)
}

func beginsAlike(entry, repository string) bool {
	return strings.HasPrefix(repository, entry) && entry != "" && entry != repository && !strings.HasPrefix(repository, entry+"/")
}

// imgpkgChooses looks an image up in variables by the rules of imgpkg's source:
// names in reverse order as text; labels by path.Match, as many on both sides;
// equal ports; the path a prefix of the text. Docker Hub is index.docker.io.
func imgpkgChooses(t *testing.T, assigned []string, host, repository string) string {
	t.Helper()
	if host == connector.DockerHub {
		host = "index.docker.io"
	}
	type info struct{ address, form, user, secret string }
	bySuffix := map[string]*info{}
	for _, line := range assigned {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "IMGPKG_REGISTRY_"), "=")
		i := strings.LastIndexByte(name, '_')
		variable, suffix := name[:i], name[i+1:]
		if bySuffix[suffix] == nil {
			bySuffix[suffix] = &info{}
		}
		switch in := bySuffix[suffix]; variable {
		case "HOSTNAME":
			u, err := url.Parse("https://" + value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(u.Path, "/v1/") || strings.HasPrefix(u.Path, "/v2/") {
				u.Path = u.Path[3:]
			}
			in.address = u.Host + strings.TrimSuffix(u.Path, "/")
		case "USERNAME":
			in.user = value
		case "PASSWORD":
			in.secret = value
		case "IDENTITY_TOKEN":
			in.form, in.secret = "identity token ", value
		case "REGISTRY_TOKEN":
			in.form, in.secret = "registry token ", value
		default:
			t.Fatalf("imgpkg refuses %s", name)
		}
	}
	var infos []*info
	for _, in := range bySuffix {
		infos = append(infos, in)
	}
	slices.SortFunc(infos, func(a, b *info) int { return strings.Compare(b.address, a.address) })
	for i, in := range infos {
		if i > 0 && infos[i-1].address == in.address {
			t.Errorf("imgpkg takes one of two %s at random", in.address)
		}
	}
	for _, in := range infos {
		if !imgpkgMatches(t, in.address, host+"/"+repository) {
			continue
		}
		switch {
		case in.secret == "":
			return "none"
		case strings.HasPrefix(in.form, "registry"):
			return in.form + in.secret
		}
		return in.form + in.user + ":" + in.secret
	}
	return "none"
}

func imgpkgMatches(t *testing.T, pattern, image string) bool {
	t.Helper()
	p, errP := url.Parse("https://" + pattern)
	i, errI := url.Parse("https://" + image)
	if err := errors.Join(errP, errI); err != nil {
		t.Fatal(err)
	}
	labels, asked := strings.Split(p.Hostname(), "."), strings.Split(i.Hostname(), ".")
	if p.Port() != i.Port() || len(labels) != len(asked) || !strings.HasPrefix(i.Path, p.Path) {
		return false
	}
	for n := range labels {
		ok, err := path.Match(labels[n], asked[n])
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return false
		}
	}
	return true
}
