package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const authFile = "auth.json"

// containersAuth renders auth.json for podman, buildah and skopeo. Their
// library containers/image looks a repository up under its whole name, then
// under each of its parents up to the host, and stops at the first key that is
// there, also when nothing stands in it: {} is how a path is left without a
// login below a wider one.
func containersAuth(p *plan) (output, error) {
	const name = "containers-auth"
	if err := p.exactHosts(name); err != nil {
		return output{}, err
	}
	var out output
	content := dockerAuths{Auths: map[string]authEntry{}}
	for i := range p.hosts {
		h := &p.hosts[i]
		entries, err := p.byPath(h)
		if err != nil {
			return output{}, connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: registry %s: %w", name, h.owner.Connector, h.name, err)
		}
		for _, e := range entries {
			var value authEntry
			if !e.Anonymous {
				value = newAuthEntry(e)
			}
			for _, key := range authKeys(h.name, e.Key.Path) {
				content.Auths[key] = value
				out.placed = append(out.placed, placed{file: authFile, entry: key, plan: p, host: h, credential: true, key: &e.Key})
			}
		}
	}
	slices.SortFunc(out.placed, func(a, b placed) int { return cmp.Compare(a.entry, b.entry) })
	data, err := encodeJSON(content)
	out.files = []File{{Path: authFile, Data: data, Secret: len(content.Auths) > 0}}
	return out, err
}

// authKeys are the keys under which containers/image finds a path of a host.
// It takes Docker Hub's names for one only where a whole host is asked for:
// a path that is written under one of them is passed by under another.
func authKeys(host, path string) []string {
	switch {
	case path == "":
		return []string{host}
	case host != connector.DockerHub:
		return []string{host + "/" + path}
	}
	return []string{host + "/" + path, "index.docker.io/" + path, "registry-1.docker.io/" + path}
}

// byPath lists the entries of a host, with the keys that the issuer gave them,
// of which the one with the longest path is the right one for a repository.
// Among those without a glob in the path that follows from precedence: one
// that stands before another never covers it, so it is the longer.
func (p *plan) byPath(h *host) ([]connector.Entry, error) {
	kept, _ := choose(p.voice(h.owner).matching(h.name))
	var entries []connector.Entry              // the last by precedence first
	logins := make(map[string]bool, len(kept)) // by path, whether there is one
	for _, e := range slices.Backward(kept) {
		if err := authCarries(e, entries); err != nil {
			return nil, err
		}
		if !pathGlob(e.Key.Path) {
			entries = append(entries, e)
			logins[e.Key.Path] = !e.Anonymous
		}
	}
	return slices.DeleteFunc(entries, func(e connector.Entry) bool {
		return e.Anonymous && !inherited(logins, e.Key.Path)
	}), nil
}

// inherited reports whether the nearest entry above a path has a login.
func inherited(logins map[string]bool, path string) bool {
	for above := range parents(path) {
		if login, ok := logins[above]; ok {
			return login
		}
	}
	return false
}

// authCarries says why auth.json cannot hold an entry. Behind are those that
// come after it, the last first, none with a glob in the path.
func authCarries(e connector.Entry, behind []connector.Entry) error {
	switch {
	case formOf(e) == FormRegistryToken:
		return errors.New("registrytoken: podman, buildah and skopeo read none from auth.json: let the issuer give a password or an identity token, or use docker-config with a client that reads it")
	case pathGlob(e.Key.Path) && !idle(e, behind):
		return fmt.Errorf("path %s: auth.json has no globs in paths, and without the glob the entry would serve others too: write each path out in the Connector", e.Key.Path)
	}
	return checkText(e)
}

// idle reports whether all that an entry serves gets the same without it.
func idle(e connector.Entry, behind []connector.Entry) bool {
	for _, next := range slices.Backward(behind) {
		switch {
		case !touches(e.Key.Path, next.Key.Path):
		case !sameSecret(e, next):
			return false
		case covers(next.Key.Path, e.Key.Path):
			return true
		}
	}
	return e.Anonymous // as all that nothing serves
}

func pathGlob(path string) bool { return strings.Contains(path, "*") }
