package distributiontoken_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
)

const secretName = "login"

// bench is a fake with one Connector for it.
type bench struct {
	*fake
	server *issuertest.Server
	scene  *issuertest.Scene
}

func newBench(t *testing.T, config string) *bench {
	t.Helper()
	f := newFake(t)
	server := issuertest.NewServer(t, f)
	f.realm = server.URL + "/token"
	return &bench{fake: f, server: server, scene: &issuertest.Scene{
		Connector: &connector.Connector{
			Ref: connector.Ref{Namespace: "ci", Name: "harbor"}, ObjectNamespace: "ci", AllowLongLived: true,
			Registries: []connector.Registry{server.Registry()},
			Issuer:     connector.IssuerConfig{Kind: distributiontoken.Kind, Config: json.RawMessage(config)},
		},
		Scope: connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{connector.Pull, connector.Push}},
		Objects: issuertest.Objects{{
			Kind: connector.KindSecret, Namespace: "ci", Name: secretName, Type: "kubernetes.io/basic-auth",
			Data: map[string]connector.Secret{"username": connector.NewSecret(fakeUser), "password": connector.NewSecret(f.password)},
		}},
		Server:  server,
		Secrets: []string{f.password, f.refresh, base64.StdEncoding.EncodeToString([]byte(fakeUser + ":" + f.password))},
		Reduce: func() {
			f.set(func() { f.rights = map[string][]string{"team/app": {"pull", "push"}, "team/base": {"pull"}} })
		},
	}}
}

// dockerConfig replaces the login by a docker configuration.
func (b *bench) dockerConfig(entry string) {
	b.scene.Objects[0].Type = "kubernetes.io/dockerconfigjson"
	b.scene.Objects[0].Data = map[string]connector.Secret{".dockerconfigjson": connector.NewSecret(fmt.Sprintf(`{"auths":{%q:%s}}`, b.server.Host(), entry))}
}

func (b *bench) issue(t *testing.T) (*connector.Credential, error) {
	t.Helper()
	issuer, err := distributiontoken.Definition().New(b.scene.Connector.Issuer.Config)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := issuers.NewGuard(issuers.Policy{AllowLoopback: true, AllowedHosts: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := issuers.Clients{Guard: guard}.Client(t.Context(), b.scene.Connector, b.scene.Objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	return issuer.Issue(t.Context(), issuers.Request{Connector: b.scene.Connector, Scope: b.scene.Scope, Objects: b.scene.Objects, HTTP: client, Name: "n"})
}

// registry asks the registry itself with a bearer.
func (b *bench) registry(t *testing.T, method, repository, bearer string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.server.URL+"/v2/"+repository+"/manifests/latest", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := b.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

const (
	registryToken = `{"output":"registryToken","secretRef":{"name":"login"}}`
	basic         = `{"output":"basic","secretRef":{"name":"login"}}`
	identityToken = `{"output":"identityToken","secretRef":{"name":"login"}}`
)

func TestConformance(t *testing.T) {
	static := map[issuertest.Part]string{
		issuertest.WrongAudience:   "no pod token is used",
		issuertest.ExpiredIdentity: "no pod token is used",
		issuertest.RevokeTwice:     "nothing is made at the provider",
	}
	lasting := map[issuertest.Part]string{
		issuertest.Expiry:       "the provider states no end",
		issuertest.ScopeReduced: "a login is not bound to repositories",
	}
	maps.Copy(lasting, static)
	t.Run("registryToken", func(t *testing.T) {
		issuertest.Run(t, issuertest.Harness{
			Definition: distributiontoken.Definition(), NotApplicable: static,
			Setup: func(t *testing.T) *issuertest.Scene {
				b := newBench(t, registryToken)
				b.scene.Life = b.life
				b.scene.Accepts = func(t *testing.T, c *connector.Credential) {
					t.Helper()
					bearer := c.Entries[0].RegistryToken.Reveal()
					for _, repository := range b.scene.Scope.Repositories {
						for _, method := range []string{http.MethodGet, http.MethodPut} {
							if status := b.registry(t, method, repository, bearer); status != http.StatusOK {
								t.Errorf("%s %s: %d", method, repository, status)
							}
						}
					}
					if status := b.registry(t, http.MethodGet, "team/other", bearer); status != http.StatusUnauthorized {
						t.Errorf("the token opens team/other: %d", status)
					}
				}
				return b.scene
			},
		})
	})
	t.Run("basic", func(t *testing.T) {
		issuertest.Run(t, issuertest.Harness{
			Definition: distributiontoken.Definition(), NotApplicable: lasting,
			Setup: func(t *testing.T) *issuertest.Scene {
				b := newBench(t, basic)
				b.scene.Accepts = func(t *testing.T, c *connector.Credential) {
					t.Helper()
					if e := c.Entries[0]; e.Username != fakeUser || e.Password.Reveal() != b.password {
						t.Error("the login is not the Secret's")
					}
				}
				return b.scene
			},
		})
	})
	t.Run("identityToken", func(t *testing.T) {
		issuertest.Run(t, issuertest.Harness{
			Definition: distributiontoken.Definition(), NotApplicable: lasting,
			Setup: func(t *testing.T) *issuertest.Scene {
				b := newBench(t, identityToken)
				b.scene.Accepts = func(t *testing.T, c *connector.Credential) {
					t.Helper()
					resp, err := b.server.Client().PostForm(b.realm, url.Values{
						"grant_type": {"refresh_token"}, "refresh_token": {c.Entries[0].IdentityToken.Reveal()}, "service": {fakeService}, "client_id": {"test"},
					})
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("the token server answers %d to the refresh token", resp.StatusCode)
					}
				}
				return b.scene
			},
		})
	})
}

// The shapes of https://distribution.github.io/distribution/spec/auth/token/
// ("Requesting a Token") and https://distribution.github.io/distribution/spec/auth/oauth/
// ("POST /token").
func TestRequestShapes(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	login := func(b *bench) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(fakeUser+":"+b.password))
	}
	scopes := []string{"repository:team/app:pull,push", "repository:team/base:pull,push"}
	tests := map[string]struct {
		config string
		setup  func(b *bench)
		want   func(b *bench) []asked
	}{
		"GET with all scopes in one token": {registryToken, func(*bench) {}, func(b *bench) []asked {
			return []asked{{Method: http.MethodGet, Authorization: login(b), Query: url.Values{"service": {fakeService}, "client_id": {"regcred"}, "scope": scopes}, Form: url.Values{}}}
		}},
		"anonymous GET": {`{"output":"registryToken","clientID":"ci"}`, func(b *bench) { b.anonymous = b.rights }, func(*bench) []asked {
			return []asked{{Method: http.MethodGet, Query: url.Values{"service": {fakeService}, "client_id": {"ci"}, "scope": scopes}, Form: url.Values{}}}
		}},
		"the realm's own query stays": {basic, func(b *bench) { b.realm += "?tenant=a&scope=x" }, func(b *bench) []asked {
			return []asked{{Method: http.MethodGet, Authorization: login(b), Query: url.Values{"service": {fakeService}, "client_id": {"regcred"}, "tenant": {"a"}}, Form: url.Values{}}}
		}},
		"no GET, so POST with the password": {registryToken, func(b *bench) { b.noGET = true }, func(b *bench) []asked {
			return []asked{
				{Method: http.MethodGet, Authorization: login(b), Query: url.Values{"service": {fakeService}, "client_id": {"regcred"}, "scope": scopes}, Form: url.Values{}},
				{Method: http.MethodPost, ContentType: form, Query: url.Values{}, Form: url.Values{
					"grant_type": {"password"}, "service": {fakeService}, "client_id": {"regcred"}, "scope": {strings.Join(scopes, " ")},
					"username": {fakeUser}, "password": {b.password},
				}},
			}
		}},
		"refresh token by POST": {registryToken, func(b *bench) { b.dockerConfig(`{"identitytoken":"` + b.refresh + `"}`) }, func(b *bench) []asked {
			return []asked{{Method: http.MethodPost, ContentType: form, Query: url.Values{}, Form: url.Values{
				"grant_type": {"refresh_token"}, "service": {fakeService}, "client_id": {"regcred"}, "scope": {strings.Join(scopes, " ")}, "refresh_token": {b.refresh},
			}}}
		}},
		"identityToken by GET": {identityToken, func(*bench) {}, func(b *bench) []asked {
			return []asked{{Method: http.MethodGet, Authorization: login(b), Query: url.Values{"service": {fakeService}, "client_id": {"regcred"}, "offline_token": {"true"}}, Form: url.Values{}}}
		}},
		"identityToken by POST where GET gives none": {identityToken, func(b *bench) { b.noRefresh = true }, func(b *bench) []asked {
			return []asked{
				{Method: http.MethodGet, Authorization: login(b), Query: url.Values{"service": {fakeService}, "client_id": {"regcred"}, "offline_token": {"true"}}, Form: url.Values{}},
				{Method: http.MethodPost, ContentType: form, Query: url.Values{}, Form: url.Values{
					"grant_type": {"password"}, "service": {fakeService}, "client_id": {"regcred"}, "access_type": {"offline"}, "username": {fakeUser}, "password": {b.password},
				}},
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.config)
			test.setup(b)
			if _, err := b.issue(t); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want(b), b.taken()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// wider is more than the bench asks for.
var wider = []issuers.Access{
	{Type: "repository", Name: "team/app", Actions: []string{"*"}},
	{Type: "repository", Name: "team/base", Actions: []string{"pull", "push"}},
	{Type: "repository", Name: "team/other", Actions: []string{"pull"}},
	{Type: "repository", Name: "team/none"},
	{Type: "registry", Name: "catalog", Actions: []string{"*"}},
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		config string
		setup  func(b *bench)
		class  issuers.Class
		want   string // HOST stands for the registry
	}{
		"wrong password": {
			registryToken, func(b *bench) { b.password = "changed" }, issuers.Terminal,
			`getting a token for registry HOST as the user of Secret "login": host HOST answers UNAUTHORIZED: incorrect username or password (HTTP 401)`,
		},
		"wrong refresh token": {
			registryToken, func(b *bench) { b.dockerConfig(`{"identitytoken":"old"}`) }, issuers.Terminal,
			`getting a token for registry HOST as the user of Secret "login": host HOST answers invalid_grant (HTTP 400)`,
		},
		"unknown service": {
			registryToken, func(b *bench) { b.challenge = `Bearer realm="` + b.realm + `",service="other"` }, issuers.Terminal,
			`getting a token for registry HOST as the user of Secret "login": host HOST answers INVALID: unknown service (HTTP 400)`,
		},
		"refresh tokens not taken": {
			registryToken, func(b *bench) { b.noPOST = true; b.dockerConfig(`{"identitytoken":"x"}`) }, issuers.Terminal,
			`the token server of HOST takes no refresh tokens: give Secret "login" a user name and password for it`,
		},
		"refresh tokens not given": {
			identityToken, func(b *bench) { b.noPOST, b.noRefresh = true, true }, issuers.Terminal,
			`the token server of HOST gives no refresh tokens: use output registryToken or basic`,
		},
		"no token server": {
			registryToken, func(b *bench) { b.realm = b.server.URL + "/gone" }, issuers.Terminal,
			`registry HOST names a token server that does not exist: check the realm in the registry's configuration`,
		},
		"Basic challenge": {
			registryToken, func(b *bench) { b.challenge = `Basic realm="registry"` }, issuers.Terminal,
			`registry HOST asks for a user name and password, not for tokens: use issuer secret instead of distributionToken`,
		},
		"no challenge": {
			registryToken, func(b *bench) { b.v2Status = http.StatusOK }, issuers.Terminal,
			`host HOST answers /v2/ without asking for a login: pods need no credential for it`,
		},
		"no registry": {
			registryToken, func(b *bench) { b.v2Status = http.StatusNotFound }, issuers.Terminal,
			`host HOST does not know /v2/, so it is no registry: check spec.address`,
		},
		"401 without a challenge": {
			registryToken, func(b *bench) { b.challenge = "Negotiate" }, issuers.Terminal,
			`registry HOST answers 401 without a Bearer challenge: its token authentication is not set up`,
		},
		"malformed challenge": {
			registryToken, func(b *bench) { b.challenge = `Bearer realm="x` }, issuers.Terminal,
			`registry HOST: WWW-Authenticate header: a parameter has no complete value`,
		},
		"http realm of an https registry": {
			registryToken, func(b *bench) { b.realm = "http://auth.example.com/token" }, issuers.Terminal,
			`registry HOST uses https and sends logins to a token server without it (http://auth.example.com): set an https realm in the registry's configuration`,
		},
		"realm without host": {
			registryToken, func(b *bench) { b.realm = "/token" }, issuers.Terminal,
			`registry HOST names no valid token server: its Bearer challenge needs realm="https://HOST/PATH"`,
		},
		"realm at the metadata service": {
			registryToken, func(b *bench) { b.realm = "https://169.254.169.254/token" }, issuers.Terminal,
			`host 169.254.169.254 is refused: it is a link-local or metadata address`,
		},
		"short life": {
			registryToken, func(b *bench) { b.life = time.Minute }, issuers.Terminal,
			`the token server of HOST lets tokens live 1m0s, shorter than minimumLife 2m0s: raise the token's expiration in the token server's settings, or lower spec.issuer.distributionToken.minimumLife`,
		},
		"ended token": {
			registryToken, func(b *bench) { b.shape = func(a map[string]any) { a["issued_at"] = "2020-01-01T00:00:00Z" } }, issuers.Retryable,
			`the token server of HOST gives a token that ended at 2020-01-01T00:05:00Z: compare its clock with this node's`,
		},
		"no token": {
			registryToken, func(b *bench) { b.shape = func(a map[string]any) { delete(a, "token") } }, issuers.Terminal,
			`the token server of HOST answers without a token`,
		},
		"less than asked for": {
			registryToken, func(b *bench) { b.scene.Reduce() }, issuers.Denied,
			`the user of Secret "login" is granted less at HOST than asked for: no push on team/base; grant it there, ask for less (spec.scope, volume attributes repositories and actions), or set spec.scopeEnforcement: BestEffort to take what is left`,
		},
		"nothing, even with BestEffort": {
			registryToken, func(b *bench) { b.rights = nil; b.scene.Connector.ScopeEnforcement = connector.BestEffort }, issuers.Denied,
			`the user of Secret "login" is granted less at HOST than asked for: no pull on team/app, no push on team/app, no pull on team/base, no push on team/base; too little is left to use: grant it there, or ask for less (spec.scope, volume attributes repositories and actions)`,
		},
		"access of another shape": {
			registryToken, func(b *bench) { b.extra = map[string]any{"access": "repository:team/app:pull"} }, issuers.Denied,
			`the user of Secret "login" is granted less at HOST than asked for: no pull on team/app, no push on team/app, no pull on team/base, no push on team/base; grant it there, ask for less (spec.scope, volume attributes repositories and actions), or set spec.scopeEnforcement: BestEffort to take what is left`,
		},
		"more than asked for": {
			registryToken, func(b *bench) { b.extra = map[string]any{"access": wider} }, issuers.Denied,
			`the token server of HOST grants more than asked for: * on team/app, pull on team/other, rights on something else; let it grant what is asked for, or set spec.scopeEnforcement: BestEffort to hand the wider token out`,
		},
		"very much more than asked for": {
			registryToken, func(b *bench) {
				b.shape = func(a map[string]any) {
					a["token"], a["scope"] = "opaque", "repository:team/app:pull,push repository:team/base:pull,push repository:a:pull repository:b:pull repository:c:pull repository:d:pull repository:e:push"
				}
			}, issuers.Denied,
			`the token server of HOST grants more than asked for: pull on a, pull on b, pull on c and 2 more; let it grant what is asked for, or set spec.scopeEnforcement: BestEffort to hand the wider token out`,
		},
		"a second of two": {
			`{"output":"registryToken","secretRef":{"name":"login"},"minimumLife":"2s"}`, func(b *bench) { b.life = time.Second }, issuers.Terminal,
			`the token server of HOST lets tokens live 1s, shorter than minimumLife 2s: raise the token's expiration in the token server's settings, or lower spec.issuer.distributionToken.minimumLife`,
		},
		"a long expires_in around a short exp": {
			registryToken, func(b *bench) {
				b.life = time.Minute
				b.shape = func(a map[string]any) { a["expires_in"] = 86000 }
			}, issuers.Terminal,
			`the token server of HOST lets tokens live 1m0s, shorter than minimumLife 2m0s: raise the token's expiration in the token server's settings, or lower spec.issuer.distributionToken.minimumLife`,
		},
		"expires_in in words": {
			registryToken, func(b *bench) { b.shape = func(a map[string]any) { a["expires_in"] = "soon" } }, issuers.Terminal,
			`host HOST answers something other than the documented JSON: status 200, application/json, LENGTH bytes`,
		},
		"no repositories": {
			registryToken, func(b *bench) { b.scene.Scope.Repositories = nil }, issuers.Terminal,
			`output registryToken is bound to repositories: name them in spec.scope.repositories or in the volume attribute repositories`,
		},
		"pattern": {
			registryToken, func(b *bench) { b.scene.Scope.Repositories = []string{"team/**"} }, issuers.Terminal,
			`output registryToken needs plain repository names and "team/**" is a pattern: name them in spec.scope.repositories or in the volume attribute repositories`,
		},
		"injected scope": {
			registryToken, func(b *bench) { b.scene.Scope.Repositories = []string{"a:pull repository:b"} }, issuers.Terminal,
			`"a:pull repository:b" is no repository name: write, for example, team/app without host and tag`,
		},
		"no registry declared": {
			registryToken, func(b *bench) { b.scene.Connector.Registries = nil }, issuers.Terminal,
			`there is no registry to log in to: add spec.address (or spec.registries) to the Connector`,
		},
		"no Secret": {
			registryToken, func(b *bench) { b.scene.Objects = nil }, issuers.Retryable,
			`Secret "login" does not exist in the Connector's namespace`,
		},
		"no login for the host": {registryToken, func(b *bench) {
			b.dockerConfig(`{}`)
			b.scene.Objects[0].Data[".dockerconfigjson"] = connector.NewSecret(`{"auths":{"other.example.com":{"username":"u","password":"p"}}}`)
		}, issuers.Terminal, `Secret "login" holds no login for host HOST`},
		"ready-made token": {
			registryToken, func(b *bench) { b.dockerConfig(`{"registrytoken":"t"}`) }, issuers.Terminal,
			`Secret "login" holds a ready-made registry token for host HOST, which cannot log in: use issuer secret to hand it out`,
		},
		"basic without password": {
			basic, func(b *bench) { b.dockerConfig(`{"identitytoken":"` + b.refresh + `"}`) }, issuers.Terminal,
			`Secret "login" holds an identity token for host HOST and no password: use output identityToken`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.config)
			test.setup(b)
			_, err := b.issue(t)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), b.server.Host(), "HOST")
			got = regexp.MustCompile(`\d+ bytes`).ReplaceAllString(got, "LENGTH bytes")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if class := issuers.ClassOf(err); class != test.class {
				t.Errorf("class is %s, want %s", class, test.class)
			}
		})
	}
	t.Run("a missing Secret wraps ErrNotFound", func(t *testing.T) {
		b := newBench(t, registryToken)
		b.scene.Objects = nil
		if _, err := b.issue(t); !errors.Is(err, connector.ErrNotFound) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestLifeAndScope(t *testing.T) {
	opaque := func(f *fake) { f.rawToken = "an-opaque-token-that-is-no-jwt" }
	tests := map[string]struct {
		config   string
		setup    func(b *bench)
		life     time.Duration
		granted  connector.Scope
		warnings []string
	}{
		"expires_in counts": {
			registryToken, func(b *bench) { b.life = 10 * time.Minute }, 10 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"expires_in as text": {
			registryToken, func(b *bench) { b.shape = func(a map[string]any) { a["expires_in"] = "240" } }, 4 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"exp counts where it comes first": {
			registryToken, func(b *bench) {
				b.life = 130 * time.Second
				b.shape = func(a map[string]any) { a["expires_in"] = 86000 }
			}, 130 * time.Second,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"exp in milliseconds is none": {
			registryToken, func(b *bench) { b.extra = map[string]any{"exp": 1790000000000} }, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"a scope in several parts": {
			registryToken, func(b *bench) {
				b.scene.Scope.Repositories = []string{"team/app"}
				b.shape = func(a map[string]any) {
					a["token"], a["scope"] = "opaque", "repository:team/app:pull repository:team/app:push"
				}
			}, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"more than asked for, BestEffort": {
			registryToken, func(b *bench) {
				b.extra = map[string]any{"access": wider}
				b.scene.Connector.ScopeEnforcement = connector.BestEffort
			}, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base", "team/other"}, Actions: []connector.Action{"pull", "push", "*"}},
			[]string{"ScopeWider: the token server of HOST grants more than asked for: * on team/app, pull on team/other, rights on something else"},
		},
		"else exp": {
			registryToken, func(b *bench) { b.shape = func(a map[string]any) { delete(a, "expires_in") } }, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"else 60 seconds": {
			`{"output":"registryToken","secretRef":{"name":"login"},"minimumLife":"30s"}`, func(b *bench) {
				opaque(b.fake)
				b.shape = func(a map[string]any) { delete(a, "expires_in"); delete(a, "issued_at") }
			}, time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			[]string{"the token of HOST is opaque: what it grants could not be compared with the scope asked for"},
		},
		"an opaque token with the answer's scope": {registryToken, func(b *bench) {
			opaque(b.fake)
			b.noGET = true
		}, 5 * time.Minute, connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}}, nil},
		"a clock ahead": {
			registryToken, func(b *bench) { b.ahead = 10 * time.Minute }, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			[]string{"the clocks of HOST's token server and of this node differ by about 10m0s; the schedule allows for it"},
		},
		"a clock behind": {
			registryToken, func(b *bench) { b.ahead = -10 * time.Minute }, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			[]string{"the clocks of HOST's token server and of this node differ by about 10m0s; the schedule allows for it"},
		},
		"a clock behind by more than the life": {
			`{"output":"registryToken","secretRef":{"name":"login"},"minimumLife":"15s"}`, func(b *bench) { b.ahead, b.life = -20*time.Second, 15*time.Second }, 15 * time.Second,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull", "push"}},
			nil,
		},
		"no actions named: what a reader can get": {registryToken, func(b *bench) {
			b.scene.Scope = connector.Scope{Repositories: []string{"team/base"}}
			b.rights = map[string][]string{"team/base": {"pull"}}
		}, 5 * time.Minute, connector.Scope{Repositories: []string{"team/base"}, Actions: []connector.Action{"pull"}}, nil},
		"BestEffort": {
			registryToken, func(b *bench) {
				b.scene.Reduce()
				b.scene.Connector.ScopeEnforcement = connector.BestEffort
			}, 5 * time.Minute,
			connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{"pull"}},
			[]string{`ScopeReduced: the user of Secret "login" is granted less at HOST than asked for: no push on team/base`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.config)
			test.setup(b)
			c, err := b.issue(t)
			if err != nil {
				t.Fatal(err)
			}
			if off := time.Until(c.ExpiresAt) - test.life; off.Abs() > 3*time.Second {
				t.Errorf("the credential ends in %s, want %s", time.Until(c.ExpiresAt), test.life)
			}
			if diff := cmp.Diff(test.granted, c.Granted); diff != "" {
				t.Error(diff)
			}
			var warnings []string
			for _, w := range c.Warnings {
				warnings = append(warnings, strings.ReplaceAll(w, b.server.Host(), "HOST"))
			}
			if diff := cmp.Diff(test.warnings, warnings); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each registry that asks for tokens gets its own; one that does not is left
// out, and one that is declared for its mirrors is not asked at all.
func TestSeveralRegistries(t *testing.T) {
	b := newBench(t, registryToken)
	second := newFake(t)
	second.password = b.password
	secondServer := issuertest.NewServer(t, second)
	second.realm = secondServer.URL + "/token"
	open := issuertest.NewServer(t, http.NotFoundHandler())
	mirrored := issuertest.NewServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a host that is declared for its mirrors was asked")
	}))
	upstream := mirrored.Registry()
	upstream.Mirrors = []string{b.server.URL}
	b.scene.Connector.Registries = append(b.scene.Connector.Registries, secondServer.Registry(), open.Registry(), upstream)
	c, err := b.issue(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{b.server.Host(), secondServer.Host()}, c.Hosts()); diff != "" {
		t.Error(diff)
	}
	want := []string{"left out: host " + open.Host() + " does not know /v2/, so it is no registry: check spec.address"}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Error(diff)
	}
}

// Two registries that grant nothing in common have no scope to tell.
func TestNothingInCommon(t *testing.T) {
	b := newBench(t, registryToken)
	b.rights = map[string][]string{"team/app": {"pull", "push"}}
	second := newFake(t)
	second.password, second.rights = b.password, map[string][]string{"team/base": {"pull", "push"}}
	secondServer := issuertest.NewServer(t, second)
	second.realm = secondServer.URL + "/token"
	b.scene.Connector.Registries = append(b.scene.Connector.Registries, secondServer.Registry())
	b.scene.Connector.ScopeEnforcement = connector.BestEffort
	_, err := b.issue(t)
	want := "what is granted at " + secondServer.Host() + " has nothing in common with what the Connector's other registries grant, so that no one scope can be told: grant the same there, or write a Connector for each registry"
	if err == nil || err.Error() != want || issuers.ClassOf(err) != issuers.Denied {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"nothing":         {`{}`, "output: is required: write registryToken, or basic or identityToken together with spec.allowLongLived: true"},
		"unknown output":  {`{"output":"token"}`, `output: "token" is not registryToken, basic or identityToken`},
		"basic, no login": {`{"output":"basic"}`, "secretRef: is required for output basic: there is no login to hand out without it"},
		"everything": {
			`{"output":"basic","secretRef":{"name":"A"},"minimumLife":"1m","clientID":"a b"}`,
			"minimumLife: has a meaning for output registryToken only: leave it out\nsecretRef.name: \"A\" is not the name of a Secret\nclientID: write up to 128 printable ASCII characters without spaces",
		},
		"unknown field": {`{"output":"registryToken","ttl":"1m"}`, `issuer distributionToken: json: unknown field "ttl"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := distributiontoken.Definition().New(json.RawMessage(test.config))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if !errors.Is(err, connector.ErrInvalid) {
				t.Error("the error does not wrap ErrInvalid")
			}
		})
	}
}
