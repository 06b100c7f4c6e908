package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// fieldPaths are the files that the core itself makes, or the folders.
func fieldPaths(p *plan) []string {
	if len(p.Sources) == 1 {
		return []string{".dockerconfigjson", "auth", "expiry", "password", "registry", "token", "username"}
	}
	folders := make([]string, len(p.Sources))
	for i, s := range p.Sources {
		folders[i] = folderName(s) + "/"
	}
	return folders
}

// fields renders one file per value, without a final newline, for programs
// that read no registry configuration:
//
//	auth               base64 of username:password
//	username, password
//	token              identity or registry token
//	registry           the hosts, one a line
//	expiry             RFC 3339, UTC; absent when nothing tells the end
//	.dockerconfigjson  config.json of this connector alone; {} when emptied
//
// and what the issuer adds; nothing but .dockerconfigjson where no host may use
// a login, because anonymous entries stand before them all. A connector speaks for itself here: who wins a
// host plays no part, and with several connectors each has its own folder.
// Entries of one credential may differ in host only: one file holds one
// password.
func fields(p *plan) (output, error) {
	var out output
	for i := range p.Sources {
		s := p.Sources[i]
		folder := ""
		if len(p.Sources) > 1 {
			folder = folderName(s) + "/"
		}
		one, err := fieldsOf(s, folder)
		if err != nil {
			return output{}, err
		}
		out.files = append(out.files, one.files...)
		out.omitted = append(out.omitted, one.omitted...)
		out.placed = append(out.placed, one.placed...)
	}
	return out, nil
}

// folderName makes the connector, as the pod wrote it, a file name. Object
// names hold no underscore, so different connectors stay different.
func folderName(s Source) string {
	return strings.NewReplacer("/", "_", ":", "__").Replace(cmp.Or(s.Written, s.Connector.String()))
}

func fieldsOf(s Source, folder string) (output, error) {
	const name = "fields"
	refuse := func(format string, args ...any) error {
		return connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: %s", name, s.Connector, fmt.Sprintf(format, args...))
	}
	alone, err := newPlan(Input{Sources: []Source{s}})
	if err != nil {
		return output{}, err
	}
	var entries []connector.Entry
	for i := range alone.hosts {
		entries = append(entries, alone.logins(&alone.hosts[i])...)
	}
	for _, e := range entries {
		if err := checkText(e); err != nil {
			return output{}, refuse("registry %s: %s", e.Key.Host, err)
		}
		if !sameSecret(entries[0], e) {
			return output{}, refuse("password: there are different credentials for %s and %s, and one file holds one: leave one of them in the Connector, or use docker-config",
				entries[0].Key, e.Key)
		}
	}
	config, err := authsOf(name, folder+".dockerconfigjson", alone)
	if err != nil {
		return output{}, err
	}
	out := output{files: []File{config.file}, omitted: config.omitted, placed: config.placed}
	if len(entries) == 0 { // emptied, or no host may use what there is
		return out, nil
	}
	add := func(f File) {
		f.Path = folder + f.Path
		out.files = append(out.files, f)
		out.placed = append(out.placed, placed{file: f.Path, plan: alone, credential: true})
	}
	for _, f := range entryFields(entries[0]) {
		add(f)
	}
	add(File{Path: "registry", Data: []byte(strings.Join(served(alone), "\n"))})
	if at := seconds(firstEnd(s.Credential, entries)); !at.IsZero() {
		add(File{Path: "expiry", Data: []byte(at.Format(time.RFC3339))})
	}
	for _, field := range slices.Sorted(maps.Keys(s.Credential.Fields)) {
		if strings.Contains(field, "/") || checkPath(field) != nil {
			return output{}, refuse("issuer %s adds the field %q, which is not a file name: report it as a bug of the issuer", s.Issuer, field)
		}
		add(File{Path: field, Data: []byte(s.Credential.Fields[field].Reveal()), Secret: true})
	}
	return out, nil
}

// firstEnd is when the first of the entries ends that tell it.
func firstEnd(c *connector.Credential, entries []connector.Entry) time.Time {
	var first time.Time
	for _, e := range entries {
		if end := c.EndOf(e); first.IsZero() || !end.IsZero() && end.Before(first) {
			first = end
		}
	}
	return first
}

// served lists the hosts for which a connector has a credential, sorted.
func served(p *plan) []string {
	var names []string
	for i := range p.hosts {
		if len(p.logins(&p.hosts[i])) > 0 {
			names = append(names, p.hosts[i].name)
		}
	}
	return names
}

func entryFields(e connector.Entry) []File {
	values := map[string]string{
		"username": e.Username,
		"password": e.Password.Reveal(),
		"token":    e.IdentityToken.Reveal() + e.RegistryToken.Reveal(), // one of them is empty
	}
	if formOf(e) == FormBasic {
		values["auth"] = basicAuth(e.Username, e.Password.Reveal())
	}
	var files []File
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != "" {
			files = append(files, File{Path: name, Data: []byte(values[name]), Secret: true})
		}
	}
	return files
}
