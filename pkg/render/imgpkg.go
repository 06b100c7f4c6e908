package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	imgpkgName    = "imgpkg-env"
	imgpkgFile    = "registry.env"
	imgpkgComment = "# Logins of this volume for imgpkg and kapp-controller, whose environment they belong in: set -a; . ./registry.env\n"
)

// imgpkgHub is the name by which imgpkg asks for images of Docker Hub.
const imgpkgHub = "index.docker.io"

// imgpkgEnv renders the variables of imgpkg, as assignments that sh, bash and
// systemd read alike. A registry without a login is its HOSTNAME alone, which
// keeps imgpkg from looking further; it has no variable for that, and one that
// it does not know makes it refuse all of them.
//
// imgpkg sorts the names itself, as text and backwards, whatever their numbers;
// the lines stand in that order, and what it would choose wrongly is written
// in another way or not at all. Globs in hosts are kept. It compares paths as
// text, and knows no globs there.
func imgpkgEnv(p *plan) (output, error) {
	patterns, err := p.imgpkgPatterns()
	if err != nil {
		return output{}, err
	}
	out := output{omitted: patterns.omitted}
	lines := slices.Clone(patterns.kept)
	for i := range p.hosts {
		exact, err := p.imgpkgHost(&p.hosts[i], patterns.kept)
		if err != nil {
			return output{}, err
		}
		lines = append(lines, exact...)
	}
	slices.SortFunc(lines, func(a, b imgpkgLine) int { return strings.Compare(b.address(), a.address()) })
	text := strings.Builder{}
	text.WriteString(imgpkgComment)
	secret := false
	for number, l := range lines {
		l.write(&text, number)
		secret = secret || !l.entry.Empty()
		at := placed{file: imgpkgFile, entry: l.address(), plan: p, host: l.host, by: l.voice}
		if !l.entry.Anonymous {
			at.key = &l.from
		}
		out.placed = append(out.placed, at)
		out.omitted = append(out.omitted, l.omissions()...)
	}
	out.files = []File{{Path: imgpkgFile, Data: []byte(text.String()), Secret: secret}}
	return out, nil
}

// imgpkgLine is one registry of the file.
type imgpkgLine struct {
	entry connector.Entry
	from  connector.Key // as the issuer gave it
	voice *voice
	host  *host // nil = a glob
}

// address is the registry as imgpkg sorts and compares it.
func (l imgpkgLine) address() string { return imgpkgAddress(l.entry.Key) }

func imgpkgAddress(k connector.Key) string {
	if k.Host == connector.DockerHub {
		k.Host = imgpkgHub
	}
	return k.String()
}

// hostname is the address as imgpkg has to be told it: of a path it cuts off
// one /v1 or /v2.
func (l imgpkgLine) hostname() string {
	for _, version := range []string{"v1/", "v2/"} {
		if strings.HasPrefix(l.entry.Key.Path, version) {
			k := l.entry.Key
			k.Path = "v2/" + k.Path
			return imgpkgAddress(k)
		}
	}
	return l.address()
}

func (l imgpkgLine) write(text *strings.Builder, number int) {
	for _, v := range []struct{ name, value string }{
		{"HOSTNAME", l.hostname()},
		{"USERNAME", l.entry.Username},
		{"PASSWORD", l.entry.Password.Reveal()},
		{"IDENTITY_TOKEN", l.entry.IdentityToken.Reveal()},
		{"REGISTRY_TOKEN", l.entry.RegistryToken.Reveal()},
	} {
		if v.value != "" {
			fmt.Fprintf(text, "IMGPKG_REGISTRY_%s_%d=%s\n", v.name, number, shellQuoted(v.value))
		}
	}
}

// shellQuoted puts a value into single quotes, and single quotes of its own
// into double ones: systemd, unlike a shell, takes \' only at the beginning of
// a value.
func shellQuoted(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'"'"'`) + "'"
}

// omissions tells that a path reaches further than it says.
func (l imgpkgLine) omissions() []Omission {
	path := l.entry.Key.Path
	if path == "" {
		return nil
	}
	why := "imgpkg compares paths as text: the credential is offered also where a name only begins like this, such as " + path + "-x"
	if l.entry.Anonymous {
		why = "imgpkg compares paths as text: also what only begins like this, such as " + path + "-x, is used without a login"
	}
	return []Omission{{
		Configuration: imgpkgName, Host: l.entry.Key.Host, Connector: l.voice.Connector, What: "path", Value: path, Why: why,
	}}
}

// imgpkgHost writes what the plan has for one host: nothing where the globs say
// it, else entries with its name, and where no login may serve the rest of the
// host, that.
func (p *plan) imgpkgHost(h *host, patterns []imgpkgLine) ([]imgpkgLine, error) {
	v := p.voice(h.owner)
	matching, _ := choose(v.matching(h.name))
	var wanted, literal []imgpkgLine
	for _, e := range reachable(matching) {
		if err := checkImgpkg(v, e); err != nil {
			return nil, err
		}
		l := imgpkgLine{entry: e, from: e.Key, voice: v, host: h}
		l.entry.Key.Host = h.name
		wanted = append(wanted, l)
		if !e.Key.HostGlob() {
			literal = append(literal, l)
		}
	}
	served, enough := false, true
	for _, asked := range imgpkgAsked(h.name) {
		enough = enough && imgpkgAnswers(asked, wanted, nil).equal(imgpkgAnswers(asked, literal, patterns))
		served = served || len(imgpkgAnswers(asked, nil, patterns)) > 0
	}
	if enough {
		return literal, nil
	}
	whole := slices.ContainsFunc(wanted, func(l imgpkgLine) bool { return l.entry.Key.Path == "" })
	if served && !whole {
		wanted = append(wanted, imgpkgLine{entry: connector.Entry{Key: connector.Key{Host: h.name}, Anonymous: true}, voice: v, host: h})
	}
	return wanted, nil
}

// answers are what a client gets by the path that decides it.
type answers map[string]connector.Entry

func (a answers) equal(b answers) bool {
	if len(a) != len(b) {
		return false
	}
	for path, e := range a {
		if other, ok := b[path]; !ok || !sameSecret(e, other) {
			return false
		}
	}
	return true
}

// imgpkgAsked are the names by which programs ask for a host. Those that keep
// imgpkg's rules and take Docker Hub's names for one find it by any of them.
func imgpkgAsked(host string) []string {
	if host == connector.DockerHub {
		return []string{imgpkgHub, connector.DockerHub}
	}
	return []string{host}
}

// imgpkgAnswers is what these lines give for a host: exact ones of its own, and
// patterns.
func imgpkgAnswers(asked string, exact, patterns []imgpkgLine) answers {
	lines := slices.Clone(exact)
	for _, l := range patterns {
		if l.entry.Key.MatchesHost(asked) {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b imgpkgLine) int { return strings.Compare(b.address(), a.address()) })
	var entries []connector.Entry
	for _, l := range lines {
		entries = append(entries, l.entry)
	}
	found := answers{}
	for _, e := range reachable(entries) {
		found[e.Key.Path] = e
	}
	return found
}

// reachable drops entries of one host, given by precedence, that others before
// them cover: whole paths, by segments.
func reachable(entries []connector.Entry) []connector.Entry {
	var kept []connector.Entry
	for _, e := range entries {
		if !slices.ContainsFunc(kept, func(first connector.Entry) bool { return within(first.Key.Path, e.Key.Path) }) {
			kept = append(kept, e)
		}
	}
	return kept
}

// within reports whether a path is that of an entry or lies below it.
func within(entry, path string) bool {
	return entry == "" || entry == path || strings.HasPrefix(path, entry+"/")
}

// checkImgpkg refuses what imgpkg would not look up.
func checkImgpkg(v *voice, e connector.Entry) error {
	why := ""
	switch err := checkText(e); {
	case err != nil:
		why = err.Error()
	case strings.Contains(e.Key.Path, "*"):
		why = "IMGPKG_REGISTRY_HOSTNAME cannot hold a glob in a path: leave the path's end out, which serves everything below it, or write an entry for each repository"
	case e.Key.Path != "" && connector.CheckRepository(e.Key.Path) != nil:
		why = "IMGPKG_REGISTRY_HOSTNAME: the path is no repository: write lower-case segments without tag or digest"
	case strings.HasSuffix(e.Key.Host, "]"):
		why = "IMGPKG_REGISTRY_HOSTNAME: imgpkg takes the brackets of an IPv6 address without a port for a pattern: add the port"
	default:
		return nil
	}
	return connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: registry %s: %s", imgpkgName, v.Connector, e.Key, why)
}
