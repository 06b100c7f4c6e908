package distributiontoken

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// login is what one registry's token server is shown. The zero login is
// anonymous.
type login struct {
	source   string // of the login, for errors
	username string
	password connector.Secret
	refresh  connector.Secret
}

// who names the login without its secrets.
func (l login) who() string {
	if l.source == "" {
		return "an anonymous client"
	}
	return "the user of " + l.source
}

// secrets are what answers may echo, in every form in which they are sent.
func (l login) secrets() []connector.Secret {
	basic := ""
	if !l.password.IsZero() {
		basic = base64.StdEncoding.EncodeToString([]byte(l.username + ":" + l.password.Reveal()))
	}
	return []connector.Secret{l.password, l.refresh, connector.NewSecret(basic)}
}

// loginSet is the content of the Secret.
type loginSet struct {
	source  string // empty = anonymous
	entries []connector.Entry
}

func (i *issuer) logins(ctx context.Context, req issuers.Request, registries []connector.Registry) (loginSet, error) {
	if i.config.SecretRef == nil {
		return loginSet{}, nil
	}
	name := i.config.SecretRef.Name
	object, err := req.Objects.Object(ctx, connector.KindSecret, name)
	if err != nil {
		return loginSet{}, issuers.ObjectError(connector.KindSecret, name, err)
	}
	var hosts []string
	for _, r := range registries {
		hosts = append(hosts, r.Host)
	}
	read, err := pullsecret.Read(object, req.Connector.Ref.Name, hosts)
	if err != nil {
		return loginSet{}, err
	}
	return loginSet{source: fmt.Sprintf("Secret %q", name), entries: read.Entries}, nil
}

// forHost picks the login for a whole host. A login for a path is not shown to
// the host's token server, which gives tokens for all of it.
func (s loginSet) forHost(host string) (login, error) {
	if s.source == "" {
		return login{}, nil
	}
	var fitting []connector.Entry
	for _, e := range s.entries {
		if e.Key.Path == "" && e.Key.MatchesHost(host) {
			fitting = append(fitting, e)
		}
	}
	if len(fitting) == 0 {
		return login{}, skipBecause("LoginMissing", "%s holds no login for host %s", s.source, host)
	}
	slices.SortStableFunc(fitting, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	e := fitting[0]
	if !e.RegistryToken.IsZero() {
		return login{}, issuers.Terminate("LoginUnusable", "%s holds a ready-made registry token for host %s, which cannot log in: use issuer secret to hand it out", s.source, host)
	}
	return login{source: s.source, username: e.Username, password: e.Password, refresh: e.IdentityToken}, nil
}
