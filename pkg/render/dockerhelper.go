package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// helperName is what clients put behind "docker-credential-" to find the
// program in their PATH.
const helperName = "regcred"

const (
	helperProgram = "bin/docker-credential-" + helperName
	// answersDir begins with a dot because it is the program's, not the
	// client's; no folder of a connector is called so.
	answersDir  = ".answers/"
	answersURLs = answersDir + ".urls"
)

// dockerHelpers is config.json. It has no auths: an entry beside a helper
// would be a second answer, and one that is not fresh.
type dockerHelpers struct {
	CredHelpers map[string]string `json:"credHelpers,omitempty"`
}

// dockerHelper renders config.json with a credential helper for each host, the
// helper and what it answers. Clients that read config.json once, such as
// buildctl, run the helper again when they need a login; so a host whose login
// is emptied keeps its helper, which then has none.
func dockerHelper(p *plan) (output, error) {
	const name = "docker-helper"
	logins, omitted, err := p.onePerHost(name)
	if err != nil {
		return output{}, err
	}
	out := output{omitted: omitted}
	helpers := make(map[string]string)
	var urls strings.Builder
	for i := range p.hosts {
		h := &p.hosts[i]
		j := slices.IndexFunc(logins, func(l hostLogin) bool { return l.host == h })
		if j < 0 && !p.emptiedAt(h) {
			continue
		}
		key := dockerKey(h.name)
		helpers[key] = helperName
		urls.WriteString(key + "\n")
		out.placed = append(out.placed, placed{file: configFile, entry: key, plan: p, host: h, credential: true})
		if j < 0 {
			continue
		}
		answer, err := newAnswer(logins[j].entry)
		if err != nil {
			return output{}, connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: registry %s: %w", name, h.owner.Connector, h.name, err)
		}
		file := File{Path: answersDir + h.name, Data: []byte(answer), Secret: true}
		out.files = append(out.files, file)
		out.placed = append(out.placed, placed{file: file.Path, plan: p, host: h, credential: true})
	}
	config, err := encodeJSON(dockerHelpers{CredHelpers: helpers})
	out.files = append(out.files,
		File{Path: configFile, Data: config},
		File{Path: helperProgram, Program: true},
		File{Path: answersURLs, Data: []byte(cmp.Or(urls.String(), "\n"))})
	return out, err
}

// emptiedAt reports whether the owner of a host had a login for it.
func (p *plan) emptiedAt(h *host) bool {
	return h.owner.Credential == nil && p.voice(h.owner).claims[h.name]
}

// newAnswer is the file that the helper answers from: user and secret, one a
// line, which checkText has kept free of line ends.
func newAnswer(e connector.Entry) (string, error) {
	switch form := formOf(e); {
	case form == FormIdentityToken: // this user tells what the secret is
		return tokenUser + "\n" + e.IdentityToken.Reveal() + "\n", nil
	case e.Username == tokenUser:
		return "", fmt.Errorf("the username %s makes clients take the password that a credential helper gives for an identity token: store it as an identity token if it is one, else use another user or the configuration docker-config", tokenUser)
	case form == FormRegistryToken:
		return "", errors.New("a credential helper cannot give a registrytoken: use the configuration docker-config, or a Connector that gives a password or an identity token")
	default:
		return e.Username + "\n" + e.Password.Reveal() + "\n", nil
	}
}
