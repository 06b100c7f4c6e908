package registry

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/crypto/bcrypt"
)

// The registry's files, in the folder where it runs.
const (
	configFile     = "config.yml"
	tlsCertificate = "tls.crt"
	tlsKey         = "tls.key"
	jwksFile       = "jwks.json"
	htpasswdFile   = "htpasswd"
)

// configure adds config.yml and the files that it names.
func (c Config) configure(files map[string][]byte) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, `version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {inmemory: {}}
http:
  addr: %q
  secret: not-shared-with-another-registry
  tls: {certificate: %q, key: %q}
`, c.Host, tlsCertificate, tlsKey)
	if c.Tokens != nil {
		tokens := c.Tokens.Config()
		files[jwksFile] = c.Tokens.JWKS()
		fmt.Fprintf(&text, "auth:\n  token: {realm: %q, service: %q, issuer: %q, jwks: %q, signingalgorithms: [RS256]}\n",
			c.Realm, tokens.Service, tokens.Issuer, jwksFile)
	}
	if c.Users != nil {
		users, err := htpasswd(c.Users)
		if err != nil {
			return err
		}
		files[htpasswdFile] = users
		fmt.Fprintf(&text, "auth:\n  htpasswd: {realm: registry, path: %q}\n", htpasswdFile)
	}
	if u := c.Upstream; u != nil {
		fmt.Fprintf(&text, "proxy: {remoteurl: %q, username: %q, password: %q}\n", u.URL, u.User, u.Password)
	}
	files[configFile] = text.Bytes()
	return nil
}

// htpasswd is Apache's file of users with the one hash that distribution
// knows, at the cost that takes least time.
func htpasswd(users map[string]string) ([]byte, error) {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(users)) {
		hash, err := bcrypt.GenerateFromPassword([]byte(users[name]), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s:%s\n", name, hash)
	}
	return out.Bytes(), nil
}
