package render

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const configFile = "config.json"

// dockerHubKey is the one spelling under which docker, crane, skopeo, regctl,
// helm, oras, imgpkg and BuildKit all find Docker Hub.
const dockerHubKey = "https://index.docker.io/v1/"

// tokenUser stands for the user where there is only an identity token:
// containers/image reads no entry without an `auth`, and docker writes this.
const tokenUser = "<token>"

// authEntry is one entry of config.json. User and password go into `auth`
// alone: every client reads it, skopeo reads nothing else, and it wins over
// `username` and `password`, so a second copy could only disagree.
type authEntry struct {
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// dockerAuths is config.json. Without entries it is {}, which every client
// takes for anonymous access; an empty file is a hard error for skopeo.
type dockerAuths struct {
	Auths map[string]authEntry `json:"auths,omitempty"`
}

// dockerConfig renders config.json for docker, buildx, buildctl, crane,
// kaniko, helm, oras and skopeo. It has one entry per host and never a path
// key: of two path keys most clients pick one at random.
func dockerConfig(p *plan) (output, error) {
	const name = "docker-config"
	a, err := authsOf(name, configFile, p)
	if err != nil {
		return output{}, err
	}
	return output{files: []File{a.file}, omitted: a.omitted, placed: a.placed}, nil
}

// auths is one file in the format of config.json.
type auths struct {
	file    File
	omitted []Omission
	placed  []placed
}

// authsOf makes that file for the named configuration.
func authsOf(configuration, path string, p *plan) (auths, error) {
	logins, omitted, err := p.onePerHost(configuration)
	if err != nil {
		return auths{}, err
	}
	a := auths{omitted: omitted}
	var content dockerAuths
	for _, l := range logins {
		if content.Auths == nil {
			content.Auths = make(map[string]authEntry, len(logins))
		}
		key := dockerKey(l.host.name)
		content.Auths[key] = newAuthEntry(l.entry)
		a.placed = append(a.placed, placed{file: path, entry: key, plan: p, host: l.host, credential: true})
	}
	data, err := encodeJSON(content)
	a.file = File{Path: path, Data: data, Secret: len(content.Auths) > 0}
	return a, err
}

// hostLogin is the one login that a client is given for a host.
type hostLogin struct {
	host  *host
	entry connector.Entry
}

// onePerHost gives each host its login, for a configuration that knows hosts
// and no paths. What limits a login to a path is among the omitted.
func (p *plan) onePerHost(configuration string) (logins []hostLogin, omitted []Omission, err error) {
	if err := p.exactHosts(configuration); err != nil {
		return nil, nil, err
	}
	for i := range p.hosts {
		h := &p.hosts[i]
		e, limit, err := h.whole()
		if err != nil {
			return nil, nil, connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: registry %s: %w", configuration, h.owner.Connector, h.name, err)
		}
		if limit != "" {
			why := "the format has no usable path keys: the credential is offered for the whole host"
			if e.Anonymous {
				why = "the format has no usable path keys: the whole host is used without a login"
			}
			omitted = append(omitted, Omission{
				Configuration: configuration, Host: h.name, Connector: h.owner.Connector, What: "path", Value: limit, Why: why,
			})
		}
		if formOf(e) != "" && !e.Anonymous {
			logins = append(logins, hostLogin{host: h, entry: e})
		}
	}
	return logins, omitted, nil
}

func dockerKey(name string) string {
	if name == connector.DockerHub {
		return dockerHubKey
	}
	return name
}

func newAuthEntry(e connector.Entry) authEntry {
	switch formOf(e) {
	case FormIdentityToken:
		return authEntry{Auth: basicAuth(cmp.Or(e.Username, tokenUser), ""), IdentityToken: e.IdentityToken.Reveal()}
	case FormRegistryToken:
		return authEntry{RegistryToken: e.RegistryToken.Reveal()}
	default:
		return authEntry{Auth: basicAuth(e.Username, e.Password.Reveal())}
	}
}

// whole returns the one entry that can stand for the whole host, the zero
// Entry when there is none, and the paths that it was limited to. Entries
// that differ are an error.
func (h *host) whole() (e connector.Entry, path string, err error) {
	entries := h.entries
	// Anonymous access to the rest of the host is what no entry means.
	if n := len(entries); n > 0 && entries[n-1].Key.Path == "" && entries[n-1].Anonymous {
		entries = entries[:n-1]
	}
	if len(entries) == 0 {
		return connector.Entry{}, "", nil
	}
	var paths []string
	limited := true
	for _, other := range entries {
		if err := checkText(other); err != nil {
			return connector.Entry{}, "", err
		}
		path := cmp.Or(other.Key.Path, "(whole host)")
		if other.Anonymous {
			path += " (anonymous)"
		}
		paths = append(paths, path)
		limited = limited && other.Key.Path != ""
	}
	for _, other := range entries[1:] {
		if !sameSecret(entries[0], other) {
			return connector.Entry{}, "", fmt.Errorf("there are different credentials for %s, and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
				strings.Join(paths, ", "))
		}
	}
	// Without a login for a path and for the rest there is no limit.
	if limited && !(entries[0].Anonymous && len(entries) < len(h.entries)) {
		path = strings.Join(paths, ", ")
	}
	return entries[0], path, nil
}
