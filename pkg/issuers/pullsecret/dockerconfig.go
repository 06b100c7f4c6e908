package pullsecret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// configFile is docker's config.json as far as it matters here.
type configFile struct {
	Auths             json.RawMessage   `json:"auths"`
	CredentialsStore  string            `json:"credsStore"`
	CredentialHelpers map[string]string `json:"credHelpers"`
	HTTPHeaders       json.RawMessage   `json:"HttpHeaders"`
}

// auth is one item of auths.
type auth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// maxEntries is more than any client's configuration holds.
const maxEntries = 1000

var errNotJSON = errors.New("does not hold a docker configuration in JSON")

// parseConfig reads a config.json. The decoder's own errors are not passed on:
// they quote the text.
func parseConfig(data []byte) (Login, error) {
	var file configFile
	twice, err := decode(data, &file)
	if err != nil {
		return Login{}, err
	}
	unusable := file.unusable()
	if slices.Contains(twice, "auths") {
		unusable = append(unusable, `"auths" stands there twice: the last one counts`)
	}
	if len(file.Auths) == 0 {
		return Login{}, fmt.Errorf(`has no "auths"%s`, because(unusable))
	}
	login, err := parseAuths(file.Auths)
	if err != nil {
		return Login{}, err
	}
	login.Warnings = slices.Sorted(slices.Values(append(login.Warnings, unusable...)))
	return login, nil
}

// unusable tells what is in the file that serves no pod.
func (f configFile) unusable() []string {
	var all []string
	for member, present := range map[string]bool{
		"credsStore":  f.CredentialsStore != "",
		"credHelpers": len(f.CredentialHelpers) > 0,
		"HttpHeaders": len(f.HTTPHeaders) > 0 && string(f.HTTPHeaders) != "null",
	} {
		if present {
			all = append(all, member+" is left out: a pod has neither the helper nor a use for it")
		}
	}
	slices.Sort(all)
	return all
}

// parseAuths reads the map from host to login, which is the whole of the
// older .dockercfg.
func parseAuths(data []byte) (Login, error) {
	var auths map[string]auth
	twice, err := decode(data, &auths)
	if err != nil {
		return Login{}, err
	}
	if len(auths) > maxEntries {
		return Login{}, fmt.Errorf("has %d logins, and at most %d are read: split it", len(auths), maxEntries)
	}
	var login Login
	spelling := map[connector.Key]string{}
	for i, host := range slices.Sorted(maps.Keys(auths)) {
		if isHubSession(host) {
			login.Warnings = append(login.Warnings, fmt.Sprintf("%q is left out: docker login keeps it for itself, no registry takes it", host))
			continue
		}
		key, err := parseKey(host)
		if err != nil {
			// It is not quoted: u:password@host is a way to write it.
			return Login{}, fmt.Errorf(`has a login under a name that is no registry: number %d of "auths", counted in alphabetical order; write host, host:port or https://host`, i+1)
		}
		if slices.Contains(twice, host) {
			login.Warnings = append(login.Warnings, fmt.Sprintf("host %q stands there twice: the last one counts", host))
		}
		entry, err := auths[host].entry(key)
		switch {
		case err != nil:
			return Login{}, fmt.Errorf("has a malformed login for host %q: %w", host, err)
		case entry.Empty():
			login.Warnings = append(login.Warnings, fmt.Sprintf("host %q has an empty login and is left out", host))
			continue
		}
		if first, twice := spelling[key]; twice {
			i := slices.IndexFunc(login.Entries, func(e connector.Entry) bool { return e.Key == key })
			if !login.Entries[i].Equal(entry) {
				login.Warnings = append(login.Warnings, fmt.Sprintf("Ambiguous: %q and %q mean the same host with different logins; the first is used", first, host))
			}
			continue
		}
		spelling[key] = host
		login.Entries = append(login.Entries, entry)
	}
	return login, nil
}

// entry picks the form that clients would: a registry token before an identity
// token before a password, and auth before username and password.
func (a auth) entry(key connector.Key) (connector.Entry, error) {
	entry := connector.Entry{Key: key}
	username, password, err := a.login()
	switch {
	case err != nil:
		return entry, err
	case a.RegistryToken != "":
		entry.RegistryToken, err = connector.NewSecret(a.RegistryToken), named("registrytoken", CheckToken(a.RegistryToken))
	case a.IdentityToken != "":
		entry.Username, entry.IdentityToken, err = username, connector.NewSecret(a.IdentityToken), named("identitytoken", CheckText(a.IdentityToken))
	case (username == "") != (password == ""):
		return entry, errors.New("a user name needs a password and the other way round")
	default:
		entry.Username, entry.Password, err = username, connector.NewSecret(password), named("password", CheckText(password))
	}
	return entry, err
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the %s %w", what, err)
}

func (a auth) login() (username, password string, err error) {
	username, password = a.Username, a.Password
	if a.Auth != "" {
		if username, password, err = decodeAuth(a.Auth); err != nil {
			return "", "", err
		}
	}
	return username, password, named("user name", CheckUser(username))
}

// decodeAuth is as strict as docker, which ignores a whole file because of one
// bad auth; Go's decoder alone would skip line breaks.
func decodeAuth(text string) (username, password string, err error) {
	if strings.ContainsAny(text, " \t\r\n") {
		return "", "", errors.New(`"auth" holds a space or line break`)
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", "", errors.New(`"auth" is not base64 with padding`)
	}
	username, password, ok := strings.Cut(string(plain), ":")
	if !ok {
		return "", "", errors.New(`"auth" is not the base64 form of user:password`)
	}
	return username, strings.TrimRight(password, "\x00"), nil
}
