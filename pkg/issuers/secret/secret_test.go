package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

const canary = "canary-password-7f3a"

func object(name, kind string, data map[string]string) *connector.Object {
	o := &connector.Object{
		Kind: connector.KindSecret, Namespace: "ci", Name: name, Type: kind, Version: "1",
		Labels: map[string]string{"pull": "yes"}, Annotations: map[string]string{}, Data: map[string]connector.Secret{},
	}
	for key, value := range data {
		o.Data[key] = connector.NewSecret(value)
	}
	return o
}

func dockerConfig(name, auths string) *connector.Object {
	return object(name, "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{"auths":` + auths + `}`})
}

func login(host, password string) string {
	return fmt.Sprintf(`{%q:{"auth":%q}}`, host, base64.StdEncoding.EncodeToString([]byte("robot:"+password)))
}

func conn(config string, hosts ...string) *connector.Connector {
	c := &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "harbor"}, ObjectNamespace: "ci",
		Issuer: connector.IssuerConfig{Kind: secret.Kind, Config: json.RawMessage(config)},
	}
	for _, host := range hosts {
		c.Registries = append(c.Registries, connector.Registry{Host: host})
	}
	return c
}

func issue(t *testing.T, c *connector.Connector, objects ...*connector.Object) (*connector.Credential, error) {
	t.Helper()
	issuer, err := secret.Definition().New(c.Issuer.Config)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Issue(t.Context(), issuers.Request{Connector: c, Objects: issuertest.Objects(objects)})
}

func TestConformance(t *testing.T) {
	notApplicable := map[issuertest.Part]string{
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
	}
	issuertest.Run(t, issuertest.Harness{
		Definition: secret.Definition(), NotApplicable: notApplicable,
		Setup: func(*testing.T) *issuertest.Scene {
			o := dockerConfig("login", login("harbor.example.com", canary))
			o.Annotations["example.dev/expires-at"] = time.Now().Add(time.Hour).Format(time.RFC3339)
			return &issuertest.Scene{
				Connector: conn(`{"name":"login","expiresAnnotation":"example.dev/expires-at"}`),
				Objects:   issuertest.Objects{o},
				Secrets:   []string{canary, base64.StdEncoding.EncodeToString([]byte("robot:" + canary))},
				Life:      time.Hour,
				Accepts: func(t *testing.T, c *connector.Credential) {
					t.Helper()
					if e := c.Entries[0]; e.Key.Host != "harbor.example.com" || e.Username != "robot" || e.Password.Reveal() != canary || !c.Static {
						t.Errorf("the credential is not the Secret's login: %s, static %v", e.Key, c.Static)
					}
				},
			}
		},
	})
}

// want is an entry with its secrets shown, for comparison in tests only.
type want struct{ Key, Username, Password, IdentityToken, RegistryToken string }

func shown(c *connector.Credential) []want {
	var all []want
	for _, e := range c.Entries {
		all = append(all, want{e.Key.String(), e.Username, e.Password.Reveal(), e.IdentityToken.Reveal(), e.RegistryToken.Reveal()})
	}
	return all
}

func TestIssue(t *testing.T) {
	const byLabel = `{"selector":{"matchLabels":{"pull":"yes"}}}`
	labelled := func(o *connector.Object) *connector.Object {
		o.Labels["regcred.dev/connector"] = "harbor"
		return o
	}
	userAndPassword := map[string]string{"username": "u", "password": "p"}
	tests := map[string]struct {
		connector *connector.Connector
		objects   []*connector.Object
		want      []want
		warnings  []string
	}{
		"docker config": {
			conn(`{"name":"a"}`),
			[]*connector.Object{dockerConfig("a", `{"https://index.docker.io/v1/":{"username":"u","password":"p"},"r.io/team":{"identitytoken":"i"},"z.io":{"registrytoken":"t"}}`)},
			[]want{{"docker.io", "u", "p", "", ""}, {"r.io/team", "", "", "i", ""}, {"z.io", "", "", "", "t"}},
			nil,
		},
		"what docker login writes for Docker Hub": {
			conn(`{"name":"a"}`),
			[]*connector.Object{dockerConfig("a", `{"https://index.docker.io/v1/":{"username":"u","password":"p"},"https://index.docker.io/v1/access-token":{"username":"u","password":"x"},"https://index.docker.io/v1/refresh-token":{"username":"u","password":"y"}}`)},
			[]want{{"docker.io", "u", "p", "", ""}},
			[]string{
				`Secret "a": "https://index.docker.io/v1/access-token" is left out: docker login keeps it for itself, no registry takes it`,
				`Secret "a": "https://index.docker.io/v1/refresh-token" is left out: docker login keeps it for itself, no registry takes it`,
			},
		},
		"the API's root is no repository": {
			conn(`{"name":"a"}`),
			[]*connector.Object{dockerConfig("a", `{"https://a.io/v1/users/":{"username":"u","password":"1"},"http://b.io/v2/x":{"username":"u","password":"2"},"https://c.io/v2":{"username":"u","password":"3"},"d.io/v2/x":{"username":"u","password":"4"},"https://e.io/team/v2":{"username":"u","password":"5"}}`)},
			[]want{{"d.io/v2/x", "u", "4", "", ""}, {"b.io", "u", "2", "", ""}, {"a.io", "u", "1", "", ""}, {"c.io", "u", "3", "", ""}, {"e.io/team/v2", "u", "5", "", ""}},
			nil,
		},
		"its hosts stay, whatever the Connector declares": {
			conn(`{"name":"a"}`, "other.io"),
			[]*connector.Object{dockerConfig("a", login("r.io", "p"))},
			[]want{{"r.io", "robot", "p", "", ""}},
			nil,
		},
		"dockercfg": {
			conn(`{"name":"a"}`),
			[]*connector.Object{object("a", "kubernetes.io/dockercfg", map[string]string{".dockercfg": login("r.io", "p")})},
			[]want{{"r.io", "robot", "p", "", ""}},
			nil,
		},
		"basic-auth for every declared host": {
			conn(`{"name":"a"}`, "a.io", "b.io:5000"),
			[]*connector.Object{object("a", "kubernetes.io/basic-auth", userAndPassword)},
			[]want{{"a.io", "u", "p", "", ""}, {"b.io:5000", "u", "p", "", ""}},
			nil,
		},
		"distribution-registry-token": {
			conn(`{"name":"a"}`, "a.io"),
			[]*connector.Object{object("a", "cpaas.io/distribution-registry-token", userAndPassword)},
			[]want{{"a.io", "u", "p", "", ""}},
			nil,
		},
		"labelled Opaque": {
			conn(`{"name":"a"}`, "a.io"),
			[]*connector.Object{labelled(object("a", "Opaque", userAndPassword))},
			[]want{{"a.io", "u", "p", "", ""}},
			nil,
		},
		"labelled Opaque with a docker config": {
			conn(`{"name":"a"}`),
			[]*connector.Object{labelled(object("a", "Opaque", map[string]string{".dockerconfigjson": `{"auths":` + login("r.io", "p") + `}`}))},
			[]want{{"r.io", "robot", "p", "", ""}},
			nil,
		},
		"merged, the first name wins": {
			conn(byLabel),
			[]*connector.Object{dockerConfig("b", login("r.io", "second")), dockerConfig("a", login("r.io", "first")), dockerConfig("c", login("s.io", "third"))},
			[]want{{"r.io", "robot", "first", "", ""}, {"s.io", "robot", "third", "", ""}},
			[]string{`Ambiguous: Secret "a" and Secret "b" hold different logins for r.io; the first is used`},
		},
		"one of several that is not offered": {
			conn(byLabel),
			[]*connector.Object{object("a", "Opaque", map[string]string{"username": "u", "password": canary}), dockerConfig("b", login("r.io", "p"))},
			[]want{{"r.io", "robot", "p", "", ""}},
			[]string{`left out: Secret "a" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: harbor`},
		},
		"equal logins are no conflict": {
			conn(byLabel),
			[]*connector.Object{dockerConfig("a", login("r.io", "p")), dockerConfig("b", login("r.io", "p"))},
			[]want{{"r.io", "robot", "p", "", ""}},
			nil,
		},
		"helpers and headers are dropped": {conn(`{"name":"a"}`), []*connector.Object{object("a", "kubernetes.io/dockerconfigjson", map[string]string{
			".dockerconfigjson": `{"auths":{"r.io":{"username":"u","password":"p"},"e.io":{}},"credsStore":"osxkeychain","credHelpers":{"x":"y"},"HttpHeaders":{"A":"b"}}`,
		})}, []want{{"r.io", "u", "p", "", ""}}, []string{
			`Secret "a": HttpHeaders is left out: a pod has neither the helper nor a use for it`,
			`Secret "a": credHelpers is left out: a pod has neither the helper nor a use for it`,
			`Secret "a": credsStore is left out: a pod has neither the helper nor a use for it`,
			`Secret "a": host "e.io" has an empty login and is left out`,
		}},
		"two spellings of one host": {
			conn(`{"name":"a"}`),
			[]*connector.Object{dockerConfig("a", `{"docker.io":{"username":"u","password":"1"},"index.docker.io":{"username":"u","password":"2"}}`)},
			[]want{{"docker.io", "u", "1", "", ""}},
			[]string{`Secret "a": Ambiguous: "docker.io" and "index.docker.io" mean the same host with different logins; the first is used`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := issue(t, test.connector, test.objects...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, shown(c)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.warnings, c.Warnings); diff != "" {
				t.Error(diff)
			}
			if !c.Static || !c.LongLived || !c.ExpiresAt.IsZero() {
				t.Errorf("static %v, longLived %v, expires %s; want a static login without an end", c.Static, c.LongLived, c.ExpiresAt)
			}
		})
	}
}

func manyLogins(n int) string {
	logins := map[string]map[string]string{}
	for i := range n {
		logins[fmt.Sprintf("h%d.io", i)] = map[string]string{"username": "u", "password": "p"}
	}
	text, _ := json.Marshal(logins) // strings always encode
	return string(text)
}

func TestRefusals(t *testing.T) {
	one := func(o *connector.Object) []*connector.Object { return []*connector.Object{o} }
	userAndPassword := map[string]string{"username": "u", "password": canary}
	tests := map[string]struct {
		connector *connector.Connector
		objects   []*connector.Object
		class     issuers.Class
		reason    string
		want      string
	}{
		"no such Secret": {
			conn(`{"name":"a"}`), nil, issuers.Retryable, "SecretNotFound",
			`Secret "a" does not exist in the Connector's namespace`,
		},
		"nothing selected": {
			conn(`{"selector":{"matchLabels":{"x":"y"}}}`), nil, issuers.Retryable, "SecretNotFound",
			`no Secret in the Connector's namespace matches selector`,
		},
		"other type": {
			conn(`{"name":"a"}`), one(object("a", "kubernetes.io/tls", nil)), issuers.Terminal, "SecretTypeUnsupported",
			`Secret "a" is of type "kubernetes.io/tls": use kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg, kubernetes.io/basic-auth, cpaas.io/distribution-registry-token or a labelled Opaque one`,
		},
		"Opaque without label": {
			conn(`{"name":"a"}`, "r.io"), one(object("a", "Opaque", userAndPassword)), issuers.Terminal, "SecretNotLabelled",
			`Secret "a" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: harbor`,
		},
		"several Opaque without label": {
			conn(`{"selector":{"matchLabels":{"pull":"yes"}}}`, "r.io"),
			[]*connector.Object{object("a", "Opaque", userAndPassword), object("b", "Opaque", userAndPassword)},
			issuers.Terminal, "SecretNotLabelled",
			`Secret "a" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: harbor`,
		},
		"no host": {
			conn(`{"name":"a"}`), one(object("a", "kubernetes.io/basic-auth", userAndPassword)), issuers.Terminal, "RegistryMissing",
			`Secret "a" holds a user name and password without a host: add spec.address (or spec.registries) to the Connector`,
		},
		"no password": {
			conn(`{"name":"a"}`, "r.io"), one(object("a", "kubernetes.io/basic-auth", map[string]string{"username": "u"})), issuers.Terminal, "SecretInvalid",
			`Secret "a" needs both keys "username" and "password"`,
		},
		"no JSON": {
			conn(`{"name":"a"}`), one(dockerConfig("a", canary)), issuers.Terminal, "SecretInvalid",
			`Secret "a" does not hold a docker configuration in JSON`,
		},
		"no auths": {
			conn(`{"name":"a"}`), one(object("a", "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{}`})), issuers.Terminal, "SecretInvalid",
			`Secret "a" has no "auths"`,
		},
		"helpers only": {
			conn(`{"name":"a"}`), one(object("a", "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{"auths":{},"credsStore":"x"}`})), issuers.Terminal, "SecretInvalid",
			`Secret "a" holds no login: credsStore is left out: a pod has neither the helper nor a use for it`,
		},
		"unpadded auth": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"r.io":{"auth":"cm9ib3Q6cA"},"s.io":{"username":"u","password":"p"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": "auth" is not base64 with padding`,
		},
		"auth with a line break": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"r.io":{"auth":"cm9ib3Q6cA==\n"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": "auth" holds a space or line break`,
		},
		"auth without colon": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"r.io":{"auth":"`+base64.StdEncoding.EncodeToString([]byte(canary))+`"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": "auth" is not the base64 form of user:password`,
		},
		"half a login": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"r.io":{"password":"`+canary+`"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": a user name needs a password and the other way round`,
		},
		"no registry host": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"ftp://r.io":{"username":"u","password":"p"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a login under a name that is no registry: number 1 of "auths", counted in alphabetical order; write host, host:port or https://host`,
		},
		"a password in the host's place": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"a.io":{"username":"u","password":"p"},"u:`+canary+`@r.io":{"username":"u","password":"p"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a login under a name that is no registry: number 2 of "auths", counted in alphabetical order; write host, host:port or https://host`,
		},
		"a password with a final newline": {
			conn(`{"name":"a"}`, "r.io"), one(object("a", "kubernetes.io/basic-auth", map[string]string{"username": "u", "password": canary + "\n"})), issuers.Terminal, "SecretInvalid",
			`Secret "a": key "password" ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`,
		},
		"a user with a final newline": {
			conn(`{"name":"a"}`, "r.io"), one(object("a", "kubernetes.io/basic-auth", map[string]string{"username": "u\n", "password": canary})), issuers.Terminal, "SecretInvalid",
			`Secret "a": key "username" ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`,
		},
		"a password with a control character": {
			conn(`{"name":"a"}`, "r.io"), one(object("a", "kubernetes.io/basic-auth", map[string]string{"username": "u", "password": canary + "\t" + canary})), issuers.Terminal, "SecretInvalid",
			`Secret "a": key "password" holds a control character or is not UTF-8, which no registry login can carry`,
		},
		"auth whose password ends with a newline": {
			conn(`{"name":"a"}`), one(dockerConfig("a", login("r.io", canary+"\n"))), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": the password ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`,
		},
		"a token with a newline": {
			conn(`{"name":"a"}`), one(dockerConfig("a", `{"r.io":{"registrytoken":"`+canary+`\n"}}`)), issuers.Terminal, "SecretInvalid",
			`Secret "a" has a malformed login for host "r.io": the registrytoken ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)`,
		},
		"too many logins": {
			conn(`{"name":"a"}`), one(dockerConfig("a", manyLogins(1001))), issuers.Terminal, "SecretInvalid",
			`Secret "a" has 1001 logins, and at most 1000 are read: split it`,
		},
		"two logins where one is required": {
			conn(`{"name":"a","requireSingleEntry":true}`), one(dockerConfig("a", `{"r.io":{"username":"u","password":"p"},"s.io":{"username":"u","password":"p"}}`)), issuers.Terminal, "NotSingleEntry",
			`there are 2 logins (Secrets found: 1), and requireSingleEntry allows one`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := issue(t, test.connector, test.objects...)
			var e *issuers.Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			if diff := cmp.Diff([]string{string(test.class), test.reason, test.want}, []string{string(e.Class), e.Reason, err.Error()}); diff != "" {
				t.Error(diff)
			}
			if test.reason == "SecretNotFound" && !errors.Is(err, connector.ErrNotFound) {
				t.Error("the error does not wrap ErrNotFound")
			}
			if got, want := errors.Is(err, connector.ErrDenied), test.reason == "SecretNotLabelled"; got != want {
				t.Errorf("the error tells that the owner took the login back: %v, want %v", got, want)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	const config = `{"selector":{"matchLabels":{"pull":"yes"}},"expiresAnnotation":"example.dev/expires-at"}`
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second).UTC(), time.Now().Add(2*time.Hour).Truncate(time.Second).UTC()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("0123456789abcdef0123456789abcdef")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Expiry: jwt.NewNumericDate(soon)}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	annotated := func(o *connector.Object, at string) *connector.Object {
		o.Annotations["example.dev/expires-at"] = at
		return o
	}
	milliseconds, err := jwt.Signed(signer).Claims(map[string]any{"exp": 1790000000000}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	none := time.Time{}
	tests := map[string]struct {
		objects          []*connector.Object
		expires, refresh time.Time // when all of it has ended, when the first part has
		entries          int
		warnings         int
		gap              connector.Key
	}{
		"exp of a password that is a JWT": {[]*connector.Object{dockerConfig("a", login("r.io", token))}, soon, soon, 1, 0, connector.Key{}},
		"the annotation wins":             {[]*connector.Object{annotated(dockerConfig("a", login("r.io", token)), later.Format(time.RFC3339))}, later, later, 1, 0, connector.Key{}},
		"one ends before the other":       {[]*connector.Object{annotated(dockerConfig("a", login("r.io", "p")), later.Format(time.RFC3339)), dockerConfig("b", login("s.io", token))}, later, soon, 2, 0, connector.Key{}},
		"one ends and one does not":       {[]*connector.Object{dockerConfig("a", login("r.io", "p")), dockerConfig("b", login("s.io", token))}, none, soon, 2, 0, connector.Key{}},
		"an ended one leaves a gap":       {[]*connector.Object{annotated(dockerConfig("a", login("r.io", "p")), "2020-01-01T00:00:00Z"), dockerConfig("b", login("s.io", token))}, soon, soon, 2, 1, connector.Key{Host: "r.io"}},
		"which its successor fills":       {[]*connector.Object{annotated(dockerConfig("a", login("r.io", "p")), "2020-01-01T00:00:00Z"), dockerConfig("b", login("r.io", token))}, soon, soon, 1, 1, connector.Key{}},
		"exp in milliseconds is no end":   {[]*connector.Object{dockerConfig("a", login("r.io", milliseconds))}, none, none, 1, 0, connector.Key{}},
		"nor is an end nobody sees":       {[]*connector.Object{annotated(dockerConfig("a", login("r.io", "p")), "9999-12-31T23:59:59-12:00")}, none, none, 1, 0, connector.Key{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := issue(t, conn(config), test.objects...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]time.Time{test.expires, test.refresh}, []time.Time{c.ExpiresAt, c.RefreshAt}); diff != "" {
				t.Error(diff)
			}
			for _, e := range c.Entries {
				if e.Anonymous != (e.Key == test.gap) {
					t.Errorf("the entry for %s is anonymous: %v", e.Key, e.Anonymous)
				}
			}
			if len(c.Entries) != test.entries || len(c.Warnings) != test.warnings || c.LongLived != test.expires.IsZero() {
				t.Errorf("%d entries, warnings %q, longLived %v", len(c.Entries), c.Warnings, c.LongLived)
			}
		})
	}
	for text, test := range map[string]struct {
		want   string
		denied bool
	}{
		"2020-01-01T00:00:00Z": {`Secret "a": its login has ended (2020-01-01T00:00:00Z); renew the Secret`, true},
		"0001-01-01T00:00:00Z": {`Secret "a": its login has ended (1970-01-01T00:00:00Z); renew the Secret`, true},
		"tomorrow":             {`Secret "a": annotation example.dev/expires-at is not a time such as 2026-12-31T23:00:00Z`, false},
	} {
		t.Run(text, func(t *testing.T) {
			_, err := issue(t, conn(config), annotated(dockerConfig("a", login("r.io", "p")), text))
			if err == nil || err.Error() != test.want || issuers.ClassOf(err) != issuers.Terminal || errors.Is(err, connector.ErrDenied) != test.denied {
				t.Errorf("error is %v, want %s; denied %v", err, test.want, test.denied)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"nothing":        {`{}`, "name: set exactly one of name and selector"},
		"both":           {`{"name":"a","selector":{"matchLabels":{"a":"b"}}}`, "selector: cannot stand beside name: set exactly one of them"},
		"empty selector": {`{"selector":{}}`, "selector: an empty selector chooses everything: write matchLabels or matchExpressions"},
		"everything": {
			`{"name":"A","selector":{"matchLabels":{"bad key!":"x"},"matchExpressions":[{"key":"a","operator":"Like"},{"key":"","operator":"Exists"},{"key":"a","operator":"In"}]},"expiresAnnotation":"a b"}`,
			"selector: cannot stand beside name: set exactly one of them\n" +
				"name: \"A\" is not the name of a Secret\n" +
				"selector.matchLabels[bad key!]: \"bad key!\" is no label: write, for example, tier or example.com/tier\n" +
				"selector.matchExpressions[0].operator: \"Like\" is unknown: write In, NotIn, Exists or DoesNotExist\n" +
				"selector.matchExpressions[1].key: \"\" is no label: write, for example, tier or example.com/tier\n" +
				"selector.matchExpressions[2].values: In needs values\n" +
				"expiresAnnotation: \"a b\" is not the name of an annotation",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := secret.Definition().New(json.RawMessage(test.config))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
