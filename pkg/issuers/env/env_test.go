package env_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/env"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
)

const canary = "canary-password-7f3a"

// object is a Secret that is offered to Connector corp if it is Opaque.
func object(name, kind string, data map[string]string) *connector.Object {
	o := &connector.Object{
		Kind: connector.KindSecret, Namespace: "ci", Name: name, Type: kind, Version: "1",
		Labels: map[string]string{"regcred.dev/connector": "corp"}, Data: map[string]connector.Secret{},
	}
	for key, value := range data {
		o.Data[key] = connector.NewSecret(value)
	}
	return o
}

// variables is the Secret "vars" of KEY=VALUE lines, each of which may leave
// the prefix out.
func variables(lines ...string) *connector.Object {
	data := map[string]string{}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(key, "IMGPKG_") && !strings.HasPrefix(key, "CI_") {
			key = "IMGPKG_REGISTRY_" + key
		}
		data[key] = value
	}
	return object("vars", "Opaque", data)
}

const secretOnly = `{"secretRef":{"name":"vars"}}`

func conn(config string, hosts ...string) *connector.Connector {
	c := &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "corp"}, ObjectNamespace: "ci",
		Issuer: connector.IssuerConfig{Kind: env.Kind, Config: json.RawMessage(config)},
	}
	for _, host := range hosts {
		c.Registries = append(c.Registries, connector.Registry{Host: host})
	}
	return c
}

func issue(t *testing.T, config string, objects ...*connector.Object) (*connector.Credential, error) {
	t.Helper()
	issuer, err := env.Definition().New(json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Issue(t.Context(), issuers.Request{Connector: conn(config), Objects: issuertest.Objects(objects)})
}

// shown writes an entry with its secrets, for comparison in tests only.
func shown(e connector.Entry) string {
	switch {
	case e.Anonymous:
		return e.Key.String() + " anonymous"
	case !e.RegistryToken.IsZero():
		return e.Key.String() + " registry token " + e.RegistryToken.Reveal()
	case !e.IdentityToken.IsZero():
		return fmt.Sprintf("%s identity token %s:%s", e.Key, e.Username, e.IdentityToken.Reveal())
	default:
		return fmt.Sprintf("%s %s:%s", e.Key, e.Username, e.Password.Reveal())
	}
}

func shownAll(c *connector.Credential) []string {
	var all []string
	for _, e := range c.Entries {
		all = append(all, shown(e))
	}
	return all
}

func TestConformance(t *testing.T) {
	token := jsonWebToken(t, time.Now().Add(time.Hour))
	issuertest.Run(t, issuertest.Harness{
		Definition: env.Definition(),
		NotApplicable: map[issuertest.Part]string{
			issuertest.WrongAudience:   "no pod token is used",
			issuertest.ExpiredIdentity: "no pod token is used",
			issuertest.RateLimited:     "nobody is called",
			issuertest.ServerError:     "nobody is called",
			issuertest.LongBody:        "nobody is called",
			issuertest.SlowBody:        "nobody is called",
			issuertest.Redirect:        "nobody is called",
			issuertest.Echo:            "nobody is called",
			issuertest.ScopeReduced:    "a static login is not bound to repositories",
			issuertest.RevokeTwice:     "nothing is made at a provider",
		},
		Setup: func(*testing.T) *issuertest.Scene {
			return &issuertest.Scene{
				Connector: conn(`{"entries":[{"match":"a.io","registryTokenRef":{"name":"token"}}],"secretRef":{"name":"vars"}}`),
				Objects: issuertest.Objects{
					object("token", "Opaque", map[string]string{"token": token}),
					variables("HOSTNAME=b.io", "USERNAME=u", "PASSWORD="+token, "HOSTNAME_1=c.io"),
				},
				Secrets: []string{token},
				Life:    time.Hour,
				Accepts: func(t *testing.T, c *connector.Credential) {
					t.Helper()
					want := []string{"a.io registry token " + token, "b.io u:" + token, "c.io anonymous"}
					if diff := cmp.Diff(want, shownAll(c)); diff != "" || !c.Static {
						t.Errorf("static %v, entries %s", c.Static, diff)
					}
				},
			}
		},
	})
}

func jsonWebToken(t *testing.T, ends time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("0123456789abcdef0123456789abcdef")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Expiry: jwt.NewNumericDate(ends)}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestIssue(t *testing.T) {
	basic := object("basic", "kubernetes.io/basic-auth", map[string]string{"username": "u", "password": "p", "other": "o"})
	opaque := object("opaque", "Opaque", map[string]string{"token": "t", "name": "n", "refresh": "r"})
	tests := map[string]struct {
		config         string
		objects        []*connector.Object
		want, warnings []string
	}{
		"entries": {
			`{"entries":[
				{"match":"https://A.io:5000/v2/team/","usernameRef":{"name":"basic"},"passwordRef":{"name":"basic"}},
				{"match":"*.b.io/*/app","usernameRef":{"name":"opaque","key":"name"},"passwordRef":{"name":"basic","key":"other"}},
				{"match":"c.io","identityTokenRef":{"name":"opaque","key":"refresh"}},
				{"match":"d.io","identityTokenRef":{"name":"opaque"},"usernameRef":{"name":"opaque","key":"name"}},
				{"match":"index.docker.io","registryTokenRef":{"name":"opaque"}},
				{"match":"[fd00::1]:5000","anonymous":true}]}`,
			[]*connector.Object{basic, opaque},
			[]string{
				"a.io:5000/team u:p", "*.b.io/*/app n:o", "c.io identity token :r", "d.io identity token n:t",
				"docker.io registry token t", "[fd00::1]:5000 anonymous",
			},
			nil,
		},
		"variables, without suffix first, then by number, then by name": {
			secretOnly,
			[]*connector.Object{variables(
				"HOSTNAME_b=b.io", "HOSTNAME_10=10.io", "HOSTNAME_9=9.io", "HOSTNAME=first.io", "HOSTNAME_a_1=a.io", "HOSTNAME_09=09.io", "HOSTNAME_0=0.io", "HOSTNAME_00=00.io",
			)},
			[]string{"first.io anonymous", "0.io anonymous", "00.io anonymous", "09.io anonymous", "9.io anonymous", "10.io anonymous", "a.io anonymous", "b.io anonymous"},
			nil,
		},
		"variables of all forms": {
			secretOnly,
			[]*connector.Object{variables(
				"HOSTNAME_1=http://a.io/v1/", "USERNAME_1=u", "PASSWORD_1=p: w",
				"HOSTNAME_2=b.io/v2/team", "IDENTITY_TOKEN_2=i",
				"HOSTNAME_3=c.io/v2", "IDENTITY_TOKEN_3=i", "USERNAME_3=u",
				"HOSTNAME_4=https://index.docker.io/v1/", "REGISTRY_TOKEN_4=t",
			)},
			[]string{"a.io u:p: w", "b.io/team identity token :i", "c.io identity token u:i", "docker.io registry token t"},
			nil,
		},
		"what is left out is told": {
			secretOnly,
			[]*connector.Object{variables(
				"HOSTNAME=a.io", "USERNAME=u", "PASSWORD=", "IDENTITY_TOKEN=i", "REGISTRY_TOKEN=t",
				"HOSTNAME_1=b.io", "USERNAME_1=u", "PASSWORD_1=p", "IDENTITY_TOKEN_1=i",
				"HOSTNAME_2=c.io", "USERNAME_2=", "PASSWORD_2=",
				"HOSTNAME_3=", "PASSWORD_3=",
				"AZURE_CR_CONFIG=/etc/azure.json", "CI_JOB=1", "IMGPKG_ANON=true",
			)},
			[]string{"a.io registry token t", "b.io identity token u:i", "c.io anonymous"},
			[]string{
				`Secret "vars": "CI_JOB", "IMGPKG_ANON", "IMGPKG_REGISTRY_AZURE_CR_CONFIG" left out: they say nothing here`,
				`Secret "vars": "IMGPKG_REGISTRY_IDENTITY_TOKEN", "IMGPKG_REGISTRY_USERNAME" left out: clients prefer "IMGPKG_REGISTRY_REGISTRY_TOKEN"`,
				`Secret "vars": "IMGPKG_REGISTRY_PASSWORD_1" left out: clients prefer "IMGPKG_REGISTRY_IDENTITY_TOKEN_1"`,
				`Secret "vars": "IMGPKG_REGISTRY_USERNAME_2", "IMGPKG_REGISTRY_PASSWORD_2": nothing is in it: c.io is used without a login`,
				`Secret "vars": "IMGPKG_REGISTRY_HOSTNAME_3", "IMGPKG_REGISTRY_PASSWORD_3" left out: nothing is in it`,
			},
		},
		"another prefix": {
			`{"secretRef":{"name":"vars"},"prefix":"CI_REG_"}`,
			[]*connector.Object{variables("CI_REG_HOSTNAME=a.io", "IMGPKG_REGISTRY_FOO=1")},
			[]string{"a.io anonymous"},
			[]string{`Secret "vars": "IMGPKG_REGISTRY_FOO" left out: they say nothing here`},
		},
		"entries come before variables": {
			`{"entries":[{"match":"a.io","usernameRef":{"name":"basic"},"passwordRef":{"name":"basic"}}],"secretRef":{"name":"vars"}}`,
			[]*connector.Object{basic, variables("HOSTNAME_7=https://a.io", "HOSTNAME_8=b.io")},
			[]string{"a.io u:p", "b.io anonymous"},
			[]string{`Ambiguous: entries[0] and Secret "vars" key "IMGPKG_REGISTRY_HOSTNAME_7" hold different logins for a.io; the first is used`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := issue(t, test.config, test.objects...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, shownAll(c)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.warnings, c.Warnings); diff != "" {
				t.Error(diff)
			}
			if !c.Static || !c.ExpiresAt.IsZero() || !c.RefreshAt.IsZero() || c.Grain != connector.GrainIdentity {
				t.Errorf("static %v, expires %s, refresh %s, grain %s", c.Static, c.ExpiresAt, c.RefreshAt, c.Grain)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	entry := func(ref string) string { return `{"entries":[{"match":"a.io",` + ref + `}]}` }
	unlabelled := func(o *connector.Object) *connector.Object {
		o.Labels = nil
		return o
	}
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf("HOSTNAME_%d=a%d.io", i, i))
	}
	tests := map[string]struct {
		config string
		object *connector.Object
		class  issuers.Class
		reason string
		want   string
	}{
		"no such Secret":               {secretOnly, object("x", "Opaque", nil), issuers.Retryable, "SecretNotFound", `Secret "vars" does not exist in the Connector's namespace`},
		"no such Secret of a token":    {entry(`"registryTokenRef":{"name":"t"}`), variables(), issuers.Retryable, "SecretNotFound", `Secret "t" does not exist in the Connector's namespace`},
		"variables without a label":    {secretOnly, unlabelled(variables("HOSTNAME=a.io")), issuers.Terminal, "SecretNotLabelled", `Secret "vars" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: corp`},
		"a token without a label":      {entry(`"registryTokenRef":{"name":"t"}`), unlabelled(object("t", "Opaque", map[string]string{"token": canary})), issuers.Terminal, "SecretNotLabelled", `Secret "t" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: corp`},
		"variables of a TLS Secret":    {secretOnly, object("vars", "kubernetes.io/tls", nil), issuers.Terminal, "SecretTypeUnsupported", `Secret "vars" is of type "kubernetes.io/tls": use a labelled Opaque one`},
		"a token of a service account": {entry(`"registryTokenRef":{"name":"t"}`), object("t", "kubernetes.io/service-account-token", map[string]string{"token": canary}), issuers.Terminal, "SecretTypeUnsupported", `Secret "t" is of type "kubernetes.io/service-account-token": use kubernetes.io/basic-auth, cpaas.io/distribution-registry-token or a labelled Opaque one`},
		"no such key":                  {entry(`"registryTokenRef":{"name":"t"}`), object("t", "Opaque", map[string]string{"x": canary}), issuers.Terminal, "SecretInvalid", `Secret "t" has no key "token"`},
		"an empty key":                 {entry(`"registryTokenRef":{"name":"t"}`), object("t", "Opaque", map[string]string{"token": ""}), issuers.Terminal, "SecretInvalid", `Secret "t": key "token" is empty: store the login, or write anonymous: true`},
		"a token with a newline":       {entry(`"registryTokenRef":{"name":"t"}`), object("t", "Opaque", map[string]string{"token": canary + "\n"}), issuers.Terminal, "SecretInvalid", `Secret "t": key "token" ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`},
		"a token with a space":         {entry(`"registryTokenRef":{"name":"t"}`), object("t", "Opaque", map[string]string{"token": canary + " x"}), issuers.Terminal, "SecretInvalid", `Secret "t": key "token" holds a space, which no bearer token can have`},
		"a variable with a space":      {secretOnly, variables("HOSTNAME=a.io", "REGISTRY_TOKEN="+canary+" x"), issuers.Terminal, "SecretInvalid", `Secret "vars": key "IMGPKG_REGISTRY_REGISTRY_TOKEN" holds a space, which no bearer token can have`},
		"all that is wrong": {
			`{"entries":[{"match":"a.io","usernameRef":{"name":"t"},"passwordRef":{"name":"t"}},{"match":"b.io","usernameRef":{"name":"u"},"passwordRef":{"name":"u"}},{"match":"c.io","registryTokenRef":{"name":"v"}}],"secretRef":{"name":"w"}}`,
			object("t", "Opaque", map[string]string{"username": "a:" + canary, "password": canary + "\n"}), issuers.Terminal, "SecretInvalid",
			`Secret "t": key "username" holds a colon, which no registry login can carry; Secret "t": key "password" ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not); Secret "u" does not exist in the Connector's namespace; Secret "v" does not exist in the Connector's namespace; Secret "w" does not exist in the Connector's namespace`,
		},
		"a login taken back counts first": {
			`{"entries":[{"match":"a.io","registryTokenRef":{"name":"u"}},{"match":"b.io","registryTokenRef":{"name":"t"}}]}`,
			unlabelled(object("t", "Opaque", map[string]string{"token": canary})), issuers.Terminal, "SecretNotLabelled",
			`Secret "u" does not exist in the Connector's namespace; Secret "t" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: corp`,
		},
		"all variables that are wrong": {
			secretOnly, variables("HOSTNAME_1=a b", "HOSTNAME_2=u:"+canary+"@a.io", "PASSWORD_2=x\t", "HOSTNAME_3=a.io", "USERNAME_3=u", "USERNAME_4=u", "HOSTNAME_5=?", "HOSTNAME_6=?", "HOSTNAME_7=?"), issuers.Terminal, "SecretInvalid",
			`Secret "vars": key "IMGPKG_REGISTRY_HOSTNAME_1" is no registry: write host, host:port or host/path; Secret "vars": key "IMGPKG_REGISTRY_HOSTNAME_2" must not hold a user or password: write host, host:port or host/path; Secret "vars": key "IMGPKG_REGISTRY_PASSWORD_2" holds a control character or is not UTF-8, which no registry login can carry; Secret "vars" needs both keys "IMGPKG_REGISTRY_USERNAME_3" and "IMGPKG_REGISTRY_PASSWORD_3"; Secret "vars" has "IMGPKG_REGISTRY_USERNAME_4" and lacks key "IMGPKG_REGISTRY_HOSTNAME_4", which says for which registry; and 3 more`,
		},
		"a user with a colon": {entry(`"usernameRef":{"name":"t"},"passwordRef":{"name":"t"}`), object("t", "Opaque", map[string]string{"username": "a:" + canary, "password": canary}), issuers.Terminal, "SecretInvalid", `Secret "t": key "username" holds a colon, which no registry login can carry`},

		"no variable":              {secretOnly, variables("CI_A=" + canary), issuers.Terminal, "SecretInvalid", `Secret "vars" holds no key that begins with IMGPKG_REGISTRY_`},
		"unknown variables":        {secretOnly, variables("HOSTNAME=a.io", "FOO=1", "PASSWORD2="+canary, "HOSTNAME_=b.io", "=1", "hostname=1", "X=1", "Y=1"), issuers.Terminal, "SecretInvalid", `Secret "vars" holds keys that are no variable: "IMGPKG_REGISTRY_", "IMGPKG_REGISTRY_FOO", "IMGPKG_REGISTRY_HOSTNAME_", "IMGPKG_REGISTRY_PASSWORD2", "IMGPKG_REGISTRY_X" and 2 more; after IMGPKG_REGISTRY_ come HOSTNAME, USERNAME, PASSWORD, IDENTITY_TOKEN, REGISTRY_TOKEN, and for each further registry _ and a suffix`},
		"variables that are empty": {secretOnly, variables("HOSTNAME=", "USERNAME="), issuers.Terminal, "SecretInvalid", `Secret "vars" holds variables that are all empty: write the registry and its login`},
		"a login for nobody":       {secretOnly, variables("USERNAME_1=u", "PASSWORD_1="+canary, "HOSTNAME=a.io"), issuers.Terminal, "SecretInvalid", `Secret "vars" has "IMGPKG_REGISTRY_USERNAME_1", "IMGPKG_REGISTRY_PASSWORD_1" and lacks key "IMGPKG_REGISTRY_HOSTNAME_1", which says for which registry`},
		"a user alone":             {secretOnly, variables("HOSTNAME=a.io", "USERNAME=u", "PASSWORD="), issuers.Terminal, "SecretInvalid", `Secret "vars" needs both keys "IMGPKG_REGISTRY_USERNAME" and "IMGPKG_REGISTRY_PASSWORD"`},
		"a password alone":         {secretOnly, variables("HOSTNAME=a.io", "PASSWORD="+canary), issuers.Terminal, "SecretInvalid", `Secret "vars" needs both keys "IMGPKG_REGISTRY_USERNAME" and "IMGPKG_REGISTRY_PASSWORD"`},
		"a host with a newline":    {secretOnly, variables("HOSTNAME=a.io\n"), issuers.Terminal, "SecretInvalid", `Secret "vars": key "IMGPKG_REGISTRY_HOSTNAME" ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`},
		"a host with a password":   {secretOnly, variables("HOSTNAME=u:" + canary + "@a.io"), issuers.Terminal, "SecretInvalid", `Secret "vars": key "IMGPKG_REGISTRY_HOSTNAME" must not hold a user or password: write host, host:port or host/path`},
		"a password with a tab":    {secretOnly, variables("HOSTNAME=a.io", "USERNAME=u", "PASSWORD="+canary+"\t."), issuers.Terminal, "SecretInvalid", `Secret "vars": key "IMGPKG_REGISTRY_PASSWORD" holds a control character or is not UTF-8, which no registry login can carry`},
		"too many":                 {secretOnly, variables(many...), issuers.Terminal, "SecretInvalid", `Secret "vars" holds 1001 registries, and at most 1000 are read: split it`},
		"a login that has ended":   {secretOnly, variables("HOSTNAME=a.io", "USERNAME=u", "PASSWORD="+jsonWebToken(t, time.Unix(1_600_000_000, 0))), issuers.Terminal, "SecretExpired", `all logins of issuer env have ended (the last one at 2020-09-13T12:26:40Z); renew them`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := issue(t, test.config, test.object)
			var e *issuers.Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			got := []string{string(e.Class), e.Reason, err.Error()}
			if diff := cmp.Diff([]string{string(test.class), test.reason, test.want}, got); diff != "" {
				t.Error(diff)
			}
			if got, want := errors.Is(err, connector.ErrDenied), test.reason == "SecretNotLabelled" || test.reason == "SecretExpired"; got != want {
				t.Errorf("the error tells that the owner took the login back: %v, want %v", got, want)
			}
			if got, want := errors.Is(err, connector.ErrNotFound), strings.Contains(test.want, "does not exist"); got != want {
				t.Errorf("the error tells that the source is gone: %v, want %v", got, want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, e), canary) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second).UTC(), time.Now().Add(2*time.Hour).Truncate(time.Second).UTC()
	token := func(at time.Time) string { return jsonWebToken(t, at) }
	ended, none := token(time.Unix(1_600_000_000, 0)), time.Time{}
	tests := map[string]struct {
		lines            []string
		expires, refresh time.Time
		want             []string // keys
		warnings         []string
		longLived        bool
	}{
		"each form of a JWT": {
			[]string{"HOSTNAME_1=a.io", "USERNAME_1=u", "PASSWORD_1=" + token(later), "HOSTNAME_2=b.io", "IDENTITY_TOKEN_2=" + token(soon), "HOSTNAME_3=c.io", "REGISTRY_TOKEN_3=" + token(later)},
			later, soon,
			[]string{"a.io", "b.io", "c.io"},
			nil, false,
		},
		"one without an end": {
			[]string{"HOSTNAME_1=a.io", "USERNAME_1=u", "PASSWORD_1=p", "HOSTNAME_2=b.io", "IDENTITY_TOKEN_2=" + token(soon)},
			none, soon,
			[]string{"a.io", "b.io"},
			nil, true,
		},
		"none that could end": {[]string{"HOSTNAME=a.io"}, none, none, []string{"a.io anonymous"}, nil, false},
		"what is anonymous does not outlive": {
			[]string{"HOSTNAME_1=a.io", "HOSTNAME_2=b.io", "IDENTITY_TOKEN_2=" + token(soon)},
			soon, soon,
			[]string{"a.io anonymous", "b.io"},
			nil, false,
		},
		"one that has ended leaves a gap": {
			[]string{"HOSTNAME_1=*.a.io", "USERNAME_1=u", "PASSWORD_1=p", "HOSTNAME_2=b.a.io", "REGISTRY_TOKEN_2=" + ended},
			none, none,
			[]string{"*.a.io", "b.a.io anonymous"},
			[]string{`Secret "vars" key "IMGPKG_REGISTRY_HOSTNAME_2": the login for b.a.io ended at 2020-09-13T12:26:40Z and is left out`},
			true,
		},
		"the anonymous part stays when the rest has ended": {
			[]string{"HOSTNAME_1=a.io", "HOSTNAME_2=b.io", "REGISTRY_TOKEN_2=" + ended},
			none, none,
			[]string{"a.io anonymous", "b.io anonymous"},
			[]string{`Secret "vars" key "IMGPKG_REGISTRY_HOSTNAME_2": the login for b.io ended at 2020-09-13T12:26:40Z and is left out`},
			false,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := issue(t, secretOnly, variables(test.lines...))
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, e := range c.Entries {
				if e.Anonymous {
					keys = append(keys, shown(e))
					continue
				}
				keys = append(keys, e.Key.String())
			}
			if diff := cmp.Diff(test.want, keys); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]time.Time{test.expires, test.refresh}, []time.Time{c.ExpiresAt, c.RefreshAt}); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.warnings, c.Warnings); diff != "" {
				t.Error(diff)
			}
			if c.LongLived != test.longLived {
				t.Errorf("longLived %v", c.LongLived)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"nothing":      {`{}`, "entries: write entries or secretRef, or both"},
		"no entries":   {`{"entries":[],"secretRef":{"name":"x"}}`, "entries: an empty list says nothing: leave it out"},
		"prefix alone": {`{"entries":[{"match":"a","anonymous":true}],"prefix":"A_"}`, "prefix: is that of the keys in secretRef: write secretRef, or leave it out"},
		"everything": {
			`{"entries":[
				{"match":"reg[0-9].io"},
				{"match":"reg?.io","anonymous":true,"registryTokenRef":{"name":"A"}},
				{"match":"u:p@a.io","passwordRef":{"name":"x","key":"a/b"}},
				{"match":"a.io/**","anonymous":true},
				{"match":"a.io/B","anonymous":true},
				{"match":"a b","usernameRef":{"name":"x"},"registryTokenRef":{"name":"x"}},
				{"match":"oci://a","anonymous":true},
				{"match":"","anonymous":true},
				{"match":"*.*.*.*.*.*.*.*.*","anonymous":true},
				{"match":"docker.io","anonymous":true},
				{"match":"https://index.docker.io/v1/","anonymous":true}
			],"secretRef":{"name":"A"},"prefix":"1_"}`,
			`entries[0].match: "reg[0-9].io" holds a pattern that is not known: * stands for characters within a label or segment, and nothing else does
entries[0]: write exactly one of passwordRef, identityTokenRef, registryTokenRef and anonymous: true
entries[1].match: "reg?.io" holds a pattern that is not known: * stands for characters within a label or segment, and nothing else does
entries[1]: write exactly one of passwordRef, identityTokenRef, registryTokenRef and anonymous: true
entries[1].registryTokenRef.name: "A" is not the name of a Secret
entries[2].match: must not hold a user or password: write host, host:port or host/path
entries[2].usernameRef: is missing beside passwordRef
entries[2].passwordRef.key: "a/b" is no key of a Secret: use letters, digits, dashes, underscores and dots, at most 253
entries[3].match: "a.io/**" holds **: write *, or leave the end of a path out, which serves everything below
entries[4].match: "a.io/B" has a path that is no repository: write lower-case segments without tag or digest, such as registry.example.com/team/app
entries[5].match: "a b" is no registry: write host, host:port or host/path
entries[5].usernameRef: stands beside passwordRef or identityTokenRef only
entries[6].match: "oci://a" has a scheme that no registry has: write https:// or none
entries[7].match: is empty: write a registry, such as registry.example.com
entries[8].match: "*.*.*.*.*.*.*.*.*" has more than 8 asterisks: write several entries
entries[10].match: means the same as that of entries[9]: keep one
secretRef.name: "A" is not the name of a Secret
prefix: "1_" begins no variable: write letters, digits and underscores with an underscore at the end, such as IMGPKG_REGISTRY_, at most 64`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := env.Definition().New(json.RawMessage(test.config))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			for _, mistake := range connector.FieldErrors("", err) {
				if mistake.Path == "" {
					t.Errorf("%q names no field", mistake)
				}
			}
		})
	}
}
