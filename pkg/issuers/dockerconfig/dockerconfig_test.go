package dockerconfig_test

import (
	"encoding/base64"
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
	"github.com/regcred/csi-driver-regcred/pkg/issuers/dockerconfig"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

const canary = "canary-password-7f3a"

// object is offered to Connector builds if it is an Opaque Secret.
func object(kind connector.ObjectKind, kindOfSecret string, data map[string]string) *connector.Object {
	o := &connector.Object{
		Kind: kind, Namespace: "ci", Name: "x", Type: kindOfSecret, Version: "1",
		Labels: map[string]string{"regcred.dev/connector": "builds"}, Data: map[string]connector.Secret{},
	}
	for key, value := range data {
		o.Data[key] = connector.NewSecret(value)
	}
	return o
}

func opaque(config string) *connector.Object {
	return object(connector.KindSecret, "Opaque", map[string]string{"config.json": config})
}

func auths(content string) *connector.Object { return opaque(`{"auths":{` + content + `}}`) }

func login(user, password string) string {
	return fmt.Sprintf(`{"auth":%q}`, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

func issue(t *testing.T, config string, objects ...*connector.Object) (*connector.Credential, error) {
	t.Helper()
	issuer, err := dockerconfig.Definition().New(json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Issue(t.Context(), issuers.Request{Connector: conn(config), Objects: issuertest.Objects(objects)})
}

func conn(config string) *connector.Connector {
	return &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "builds"}, ObjectNamespace: "ci",
		Issuer: connector.IssuerConfig{Kind: dockerconfig.Kind, Config: json.RawMessage(config)},
	}
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

const fromSecret = `{"secretRef":{"name":"x"}}`

func TestConformance(t *testing.T) {
	token := jsonWebToken(t, time.Now().Add(time.Hour))
	issuertest.Run(t, issuertest.Harness{
		Definition: dockerconfig.Definition(),
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
				Connector: conn(fromSecret),
				Objects:   issuertest.Objects{auths(`"harbor.example.com":` + login("robot", token))},
				Secrets:   []string{token, base64.StdEncoding.EncodeToString([]byte("robot:" + token))},
				Life:      time.Hour,
				Accepts: func(t *testing.T, c *connector.Credential) {
					t.Helper()
					if e := c.Entries[0]; e.Key.Host != "harbor.example.com" || e.Username != "robot" || e.Password.Reveal() != token || !c.Static {
						t.Errorf("the credential is not the login: %s, static %v", e.Key, c.Static)
					}
				},
			}
		},
	})
}

// shown writes entries with their secrets, for comparison in tests only.
func shown(c *connector.Credential) []string {
	var all []string
	for _, e := range c.Entries {
		all = append(all, fmt.Sprintf("%s %s:%s %s%s%v", e.Key, e.Username, e.Password.Reveal(), e.IdentityToken.Reveal(), e.RegistryToken.Reveal(), e.Anonymous))
	}
	return all
}

func TestIssue(t *testing.T) {
	many := `"https://index.docker.io/v1/":` + login("h", "p") + `,"r.io/team":{"identitytoken":"i"},"r.io:5000":{"registrytoken":"t"},"*.corp.io":{"username":"c","password":"p"}`
	everything := []string{"*.corp.io c:p false", "docker.io h:p false", "r.io/team : ifalse", "r.io:5000 : tfalse"}
	config := `{"auths":{` + many + `},"unknown":{"x":1},"currentContext":"y"}`
	tests := map[string]struct {
		config         string
		object         *connector.Object
		want, warnings []string
	}{
		"a labelled Opaque Secret": {fromSecret, opaque(config), everything, nil},
		"another key":              {`{"secretRef":{"name":"x","key":"my.json"}}`, object(connector.KindSecret, "Opaque", map[string]string{"my.json": config}), everything, nil},
		"a pull secret":            {fromSecret, object(connector.KindSecret, "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": config}), everything, nil},
		"another key of a pull secret": {
			`{"secretRef":{"name":"x","key":"more"}}`,
			object(connector.KindSecret, "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": "{}", "more": config}), everything, nil,
		},
		"a ConfigMap": {
			`{"configMapRef":{"name":"x"}}`, object(connector.KindConfigMap, "", map[string]string{"config.json": config}), everything,
			[]string{`ConfigMap "x": whoever may read ConfigMaps can read these logins: move them to a Secret`},
		},
		"chosen hosts": {
			`{"secretRef":{"name":"x"},"hosts":["Registry-1.docker.io","r.io"]}`, opaque(config),
			[]string{"docker.io h:p false", "r.io/team : ifalse"},
			nil,
		},
		"chosen by a pattern": {
			`{"secretRef":{"name":"x"},"hosts":["*.io:5000","*.corp.io","*.docker.io"]}`, opaque(config),
			[]string{"*.corp.io c:p false", "docker.io h:p false", "r.io:5000 : tfalse"},
			nil,
		},
		"a host that a pattern serves": {
			`{"secretRef":{"name":"x"},"hosts":["b.corp.io","Harbor.corp.io"]}`,
			auths(`"*.corp.io":` + login("wide", "p") + `,"*.corp.io/team":` + login("team", "p") + `,"b.corp.io":` + login("b", "p") + `,"*.other.io":` + login("o", "p")),
			[]string{"b.corp.io b:p false", "harbor.corp.io/team team:p false", "harbor.corp.io wide:p false"},
			nil,
		},
		"a path of its own beside a pattern": {
			`{"secretRef":{"name":"x"},"hosts":["b.corp.io"]}`,
			auths(`"*.corp.io":` + login("wide", "p") + `,"*.corp.io/team/app":` + login("app", "p") + `,"b.corp.io/team":` + login("b", "p")),
			[]string{"b.corp.io/team b:p false", "b.corp.io wide:p false"},
			nil,
		},
		"the same name twice": {
			fromSecret,
			opaque(`{"auths":{"s.io":` + login("u", "p") + `},"auths":{"r.io":` + login("first", "p") + `,"r.io":` + login("last", "p") + `}}`),
			[]string{"r.io last:p false"},
			[]string{`Secret "x": "auths" stands there twice: the last one counts`, `Secret "x": host "r.io" stands there twice: the last one counts`},
		},
		"a byte order mark": {fromSecret, opaque("\xef\xbb\xbf" + config), everything, nil},
		"programs and headers": {
			fromSecret,
			opaque(`{"auths":{"r.io":` + login("u", "p") + `,"e.io":{}},"credsStore":"osxkeychain","credHelpers":{"x":"y"},"HttpHeaders":{"A":"b"}}`),
			[]string{"r.io u:p false"},
			[]string{
				`Secret "x": HttpHeaders is left out: a pod has neither the helper nor a use for it`,
				`Secret "x": credHelpers is left out: a pod has neither the helper nor a use for it`,
				`Secret "x": credsStore is left out: a pod has neither the helper nor a use for it`,
				`Secret "x": host "e.io" has an empty login and is left out`,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := issue(t, test.config, test.object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, shown(c)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.warnings, c.Warnings); diff != "" {
				t.Error(diff)
			}
			if !c.Static || !c.LongLived || !c.ExpiresAt.IsZero() || c.Grain != connector.GrainIdentity {
				t.Errorf("static %v, longLived %v, expires %s, grain %s", c.Static, c.LongLived, c.ExpiresAt, c.Grain)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	unlabelled := opaque(`{"auths":{"r.io":` + login("u", canary) + `}}`)
	unlabelled.Labels = nil
	tests := map[string]struct {
		config string
		object *connector.Object
		class  issuers.Class
		reason string
		want   string
	}{
		"no such Secret":    {`{"secretRef":{"name":"y"}}`, opaque(""), issuers.Retryable, "SecretNotFound", `Secret "y" does not exist in the Connector's namespace`},
		"no such ConfigMap": {`{"configMapRef":{"name":"x"}}`, opaque(""), issuers.Retryable, "ConfigMapNotFound", `ConfigMap "x" does not exist in the Connector's namespace`},
		"no label":          {fromSecret, unlabelled, issuers.Terminal, "SecretNotLabelled", `Secret "x" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: builds`},
		"another type":      {fromSecret, object(connector.KindSecret, "kubernetes.io/basic-auth", nil), issuers.Terminal, "SecretTypeUnsupported", `Secret "x" is of type "kubernetes.io/basic-auth": use kubernetes.io/dockerconfigjson or a labelled Opaque one`},
		"no key":            {fromSecret, object(connector.KindSecret, "Opaque", map[string]string{".dockerconfigjson": "{}"}), issuers.Terminal, "SecretInvalid", `Secret "x" has no key "config.json"`},
		"no key, ConfigMap": {`{"configMapRef":{"name":"x","key":"k"}}`, object(connector.KindConfigMap, "", nil), issuers.Terminal, "ConfigMapInvalid", `ConfigMap "x" has no key "k"`},
		"no JSON":           {fromSecret, opaque(canary), issuers.Terminal, "SecretInvalid", `Secret "x": key "config.json" does not hold a docker configuration in JSON`},
		"an empty file":     {fromSecret, opaque("{}"), issuers.Terminal, "SecretInvalid", `Secret "x": key "config.json" has no "auths"`},
		"programs alone":    {fromSecret, opaque(`{"credsStore":"pass"}`), issuers.Terminal, "SecretInvalid", `Secret "x": key "config.json" has no "auths": credsStore is left out: a pod has neither the helper nor a use for it`},
		"empty logins":      {fromSecret, opaque(`{"auths":{"r.io":{}},"credHelpers":{"r.io":"y"}}`), issuers.Terminal, "SecretInvalid", `Secret "x": key "config.json" holds no login: credHelpers is left out: a pod has neither the helper nor a use for it; host "r.io" has an empty login and is left out`},
		"a malformed login": {fromSecret, auths(`"r.io":` + login("u", canary) + `,"s.io":{"password":"` + canary + `"}`), issuers.Terminal, "SecretInvalid", `Secret "x": key "config.json" has a malformed login for host "s.io": a user name needs a password and the other way round`},
		"a registry token with a space": {
			fromSecret, auths(`"r.io":{"registrytoken":"` + canary + ` x"}`), issuers.Terminal, "SecretInvalid",
			`Secret "x": key "config.json" has a malformed login for host "r.io": the registrytoken holds a space, which no bearer token can have`,
		},
		"a password in the host's place": {
			fromSecret, auths(`"u:` + canary + `@r.io":{}`), issuers.Terminal, "SecretInvalid",
			`Secret "x": key "config.json" has a login under a name that is no registry: number 1 of "auths", counted in alphabetical order; write host, host:port or https://host`,
		},
		"no login for chosen hosts": {
			`{"secretRef":{"name":"x"},"hosts":["r.io","R.io:5000","*.io"]}`, auths(`"s.io":` + login("u", canary)), issuers.Terminal, "LoginMissing",
			`Secret "x" holds no login for r.io, R.io:5000: correct hosts, or add the login`,
		},
		"all have ended": {fromSecret, auths(`"r.io":` + login("u", jsonWebToken(t, time.Unix(1_600_000_000, 0)))), issuers.Terminal, "SecretExpired", `Secret "x": its logins have ended (the last one at 2020-09-13T12:26:40Z); renew them`},
		"the last end of two": {
			fromSecret,
			auths(`"a.io":` + login("u", jsonWebToken(t, time.Unix(1_600_000_000, 0))) + `,"b.io":` + login("u", jsonWebToken(t, time.Unix(1_500_000_000, 0)))),
			issuers.Terminal, "SecretExpired", `Secret "x": its logins have ended (the last one at 2020-09-13T12:26:40Z); renew them`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := issue(t, test.config, test.object)
			var e *issuers.Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			if diff := cmp.Diff([]string{string(test.class), test.reason, test.want}, []string{string(e.Class), e.Reason, err.Error()}); diff != "" {
				t.Error(diff)
			}
			if got, want := errors.Is(err, connector.ErrDenied), test.reason == "SecretNotLabelled" || test.reason == "SecretExpired"; got != want {
				t.Errorf("the error tells that the owner took the login back: %v, want %v", got, want)
			}
			if strings.Contains(fmt.Sprintf("%v %#v", err, e), canary) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// Of two logins the one that ends is left out then, and leaves a gap.
func TestExpiry(t *testing.T) {
	soon := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	c, err := issue(t, fromSecret, auths(`"r.io":`+login("u", "p")+`,"s.io":{"identitytoken":"`+jsonWebToken(t, soon)+`"},"t.io":{"registrytoken":"`+jsonWebToken(t, time.Unix(1_600_000_000, 0))+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if !c.ExpiresAt.IsZero() || !c.RefreshAt.Equal(soon) || !c.LongLived {
		t.Errorf("expires %s, refresh %s, longLived %v", c.ExpiresAt, c.RefreshAt, c.LongLived)
	}
	if diff := cmp.Diff([]string{`Secret "x": the login for t.io ended at 2020-09-13T12:26:40Z and is left out`}, c.Warnings); diff != "" {
		t.Error(diff)
	}
	if end := c.Entries[1].ExpiresAt; !end.Equal(soon) || !c.Entries[0].ExpiresAt.IsZero() {
		t.Errorf("the JWT ends %s, the password %s", end, c.Entries[0].ExpiresAt)
	}
	if gap := c.Entries[2]; len(c.Entries) != 3 || gap.Key.Host != "t.io" || !gap.Anonymous {
		t.Errorf("entries %s", shown(c))
	}
}

func TestRendered(t *testing.T) {
	c, err := issue(t, fromSecret, auths(`"https://index.docker.io/v1/":`+login("u", "p")+`,"r.io/team":{"registrytoken":"t"},"*.corp.io":{"identitytoken":"i"}`))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render.Render(render.Input{Configurations: []string{"docker-config"}, Sources: []render.Source{{
		Connector: connector.Ref{Namespace: "ci", Name: "builds"}, Issuer: dockerconfig.Kind, Credential: c,
		Registries: []render.Registry{{Host: "a.corp.io"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "auths": {
    "a.corp.io": {
      "auth": "PHRva2VuPjo=",
      "identitytoken": "i"
    },
    "https://index.docker.io/v1/": {
      "auth": "dTpw"
    },
    "r.io": {
      "registrytoken": "t"
    }
  }
}
`
	if diff := cmp.Diff(want, string(files[0].Data)); diff != "" || files[0].Path != "config.json" {
		t.Error(files[0].Path, diff)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"nothing": {`{}`, "secretRef: set exactly one of secretRef and configMapRef"},
		"everything": {
			`{"secretRef":{"name":"A","key":"a/b"},"configMapRef":{"name":""},"hosts":["u:p@a.io","a/b","docker.io","index.docker.io","https://a"]}`,
			`configMapRef: cannot stand beside secretRef: set exactly one of them
secretRef.name: "A" is not the name of a Secret
secretRef.key: "a/b" is no key of a Secret: use letters, digits, dashes, underscores and dots, at most 253
configMapRef.name: "" is not the name of a ConfigMap
hosts[0]: must not hold a user or password: write host or host:port
hosts[1]: registry host "a/b": write host or host:port, without scheme, path or user
hosts[3]: "index.docker.io" is there already: keep one
hosts[4]: registry host "https://a": write host or host:port, without scheme, path or user`,
		},
		"no hosts": {`{"secretRef":{"name":"x"},"hosts":[]}`, "hosts: an empty list chooses nothing: leave it out for all hosts"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dockerconfig.Definition().New(json.RawMessage(test.config))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
