package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	buildxName = "buildx-scoped"
	buildxRoot = "config/"
	// buildxHub is the host that BuildKit names when it asks for Docker Hub.
	buildxHub = "registry-1.docker.io"
)

// What buildx takes for a directory's actions: all that stand behind the @ must
// be among those that BuildKit asks for, which are pull, or pull and push. Of
// several that fit, those of the repository come first, then those with more
// actions; @push beside @pull would leave it to chance.
const (
	toPull = "@pull"
	toPush = "@pull,push"
)

// buildxScoped renders one config.json per registry, repository and actions,
// which buildx (from 0.31) looks up below $BUILDX_CONFIG/config when BuildKit
// asks for a token. A repository is met by its whole name, never by what lies
// above it; where no directory fits, $DOCKER_CONFIG/config.json counts, as it
// does for registries with basic authentication and for tokens of several
// repositories at once.
//
// Connectors share a host by action: the first that may pull serves pulls, the
// first that may push serves pushes.
func buildxScoped(p *plan) (output, error) {
	if err := p.exactHosts(buildxName); err != nil {
		return output{}, err
	}
	var out output
	for i := range p.hosts {
		if err := p.buildxHost(&p.hosts[i], &out); err != nil {
			return output{}, err
		}
	}
	return out, nil
}

func (p *plan) buildxHost(h *host, out *output) error {
	pull, err := p.newBuildxSide(h, connector.Pull)
	if err != nil {
		return err
	}
	push, err := p.newBuildxSide(h, connector.Push)
	if err != nil {
		return err
	}
	out.omitted = append(out.omitted, pull.omissions(h)...)
	if push.voice != pull.voice {
		out.omitted = append(out.omitted, push.omissions(h)...)
	}
	root := buildxPair{pull.find(""), push.find("")}
	logs := pull.logs() || push.logs()
	names := slices.Concat(pull.named, push.named)
	slices.Sort(names)
	for _, repository := range append([]string{""}, slices.Compact(names)...) {
		pair := buildxPair{pull.find(repository), push.find(repository)}
		for _, d := range pair.directories(root, repository == "", logs) {
			file, err := d.file(h, repository)
			if err != nil {
				return err
			}
			out.files = append(out.files, file)
			out.placed = append(out.placed, placed{
				file: file.Path, entry: dockerKey(h.name), plan: p, host: h, by: cmp.Or(d.answer.voice, pair.pull.voice), key: d.answer.login(),
			})
		}
	}
	return nil
}

// buildxSide is who serves one action of a host, and with what.
type buildxSide struct {
	voice   *voice // nil = nobody
	entries []connector.Entry
	only    []string // the repositories that the login is for; nil = all
	named   []string // the repositories of which there is a word
}

func (p *plan) newBuildxSide(h *host, action connector.Action) (buildxSide, error) {
	v := p.serves(h, action)
	if v == nil {
		return buildxSide{}, nil
	}
	matching := v.matching(h.name)
	if v.Credential == nil { // a gap, which no login may fill
		matching = []connector.Entry{{Key: connector.Key{Host: h.name}, Anonymous: true}}
	}
	side := buildxSide{voice: v, entries: reachable(matching), only: v.repositories(), named: slices.Clone(v.repositories())}
	for _, e := range matching {
		if e.Key.Path != "" && !pathGlob(e.Key.Path) {
			side.named = append(side.named, e.Key.Path)
		}
	}
	for _, e := range side.entries {
		if err := side.check(e); err != nil {
			return buildxSide{}, connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: registry %s: %w", buildxName, v.Connector, e.Key, err)
		}
	}
	return side, nil
}

func (s buildxSide) check(e connector.Entry) error {
	switch {
	case pathGlob(e.Key.Path) && (s.only == nil || e.Anonymous):
		return fmt.Errorf("path %s: a directory is for one repository, whose whole name it bears: write an entry for each repository, or name them in the volume's attribute repositories", e.Key.Path)
	case e.Key.Path != "" && connector.CheckRepository(e.Key.Path) != nil:
		return fmt.Errorf("path %s is no repository: write lower-case segments without tag or digest", e.Key.Path)
	}
	return checkText(e)
}

// logs reports whether there is a login.
func (s buildxSide) logs() bool {
	return slices.ContainsFunc(s.entries, func(e connector.Entry) bool { return !e.Anonymous })
}

// find chooses the entry for a repository, or for all others of the host.
func (s buildxSide) find(repository string) buildxAnswer {
	for i, e := range s.entries {
		switch {
		case e.Key.Path != "" && (repository == "" || !connector.Key{Path: e.Key.Path}.Matches("", repository)):
		case s.only != nil && !e.Anonymous && !slices.Contains(s.only, repository):
		default:
			return buildxAnswer{voice: s.voice, entry: &s.entries[i]}
		}
	}
	return buildxAnswer{}
}

// omissions tells that a path reaches less far than it says.
func (s buildxSide) omissions(h *host) []Omission {
	var all []Omission
	for _, e := range s.entries {
		if e.Key.Path == "" || s.only != nil {
			continue
		}
		all = append(all, Omission{
			Configuration: buildxName, Host: h.name, Connector: s.voice.Connector, What: "path", Value: e.Key.Path,
			Why: "buildx looks up whole repository names: this counts for the repository " + e.Key.Path + " alone, and not for those below it",
		})
	}
	return all
}

// buildxAnswer is what one action gets; without an entry nobody says anything.
type buildxAnswer struct {
	voice *voice
	entry *connector.Entry
}

// login is the key of the entry, nil when there is no login.
func (a buildxAnswer) login() *connector.Key {
	if a.entry == nil || a.entry.Anonymous {
		return nil
	}
	return &a.entry.Key
}

func (a buildxAnswer) absence() bool { return a.entry != nil && a.entry.Anonymous }

func (a buildxAnswer) same(b buildxAnswer) bool {
	return a.entry == nil && b.entry == nil || a.entry != nil && b.entry != nil && sameSecret(*a.entry, *b.entry)
}

// buildxPair is what pulls and pushes of one repository get.
type buildxPair struct{ pull, push buildxAnswer }

type buildxDirectory struct {
	actions string
	answer  buildxAnswer
}

// directories are those in which buildx finds the pair, and neither another
// answer of the repository, nor one of the whole host: root, nor what
// $DOCKER_CONFIG/config.json has for a host with logins. An absence is {}, where
// a login would be found without it.
func (p buildxPair) directories(root buildxPair, isRoot, logs bool) []buildxDirectory {
	pulls, pushes := p.pull.login() != nil, p.push.login() != nil
	switch {
	case !isRoot && p.pull.same(root.pull) && p.push.same(root.push):
		return nil
	case pulls && p.pull.same(p.push):
		return []buildxDirectory{{"", p.pull}}
	case pulls, // without the second, pushes would find the first
		pushes && p.pull.absence():
		return []buildxDirectory{{toPull, p.pull}, {toPush, p.push}}
	case pushes:
		return []buildxDirectory{{toPush, p.push}}
	case logs && p.pull.absence():
		return []buildxDirectory{{"", p.pull}}
	case logs && p.push.absence():
		return []buildxDirectory{{toPush, p.push}}
	}
	return nil
}

func (d buildxDirectory) file(h *host, repository string) (File, error) {
	directory := h.name
	if h.name == connector.DockerHub {
		directory = buildxHub
	}
	directory = strings.TrimSuffix(directory+"/"+repository, "/") + d.actions
	var content dockerAuths
	if d.answer.login() != nil {
		content.Auths = map[string]authEntry{dockerKey(h.name): newAuthEntry(*d.answer.entry)}
	}
	data, err := encodeJSON(content)
	return File{Path: buildxRoot + directory + "/" + configFile, Data: data, Secret: d.answer.login() != nil}, err
}
