package distributiontoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

const (
	fakeService = "registry.example.com"
	fakeUser    = "ci-robot"
	fakeIssuer  = "token.example.com"
)

// fake is a registry with its token server. It refuses what the real ones
// refuse: a wrong password, service, grant or refresh token, and at the
// registry a token that does not verify or does not cover the repository.
type fake struct {
	t        *testing.T
	key      *ecdsa.PrivateKey
	password string
	refresh  string
	realm    string // of the challenge; set once the Server listens

	mu sync.Mutex
	// what the tests turn
	rights    map[string][]string // repository → actions of the user
	anonymous map[string][]string
	life      time.Duration
	noGET     bool
	noPOST    bool
	noRefresh bool // GET ignores offline_token
	challenge string
	v2Status  int
	shape     func(answer map[string]any)
	rawToken  string         // instead of a signed one
	extra     map[string]any // claims that are added or replaced
	omitScope bool
	ahead     time.Duration // of the token server's clock
	// what was asked
	requests []asked
}

// asked is a request to the token server as it came.
type asked struct {
	Method        string
	ContentType   string
	Authorization string
	Query, Form   url.Values
}

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &fake{
		t: t, key: key, password: "pa&ss=wo%rd +" + rand.Text()[:8], refresh: "re&fresh=% +" + rand.Text()[:8], life: 5 * time.Minute,
		rights: map[string][]string{"team/app": {"pull", "push"}, "team/base": {"pull", "push"}},
	}
}

// set changes the fake between requests.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// taken returns the token server's requests so far.
func (f *fake) taken() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead != 0 {
		w.Header().Set("Date", time.Now().Add(f.ahead).UTC().Format(http.TimeFormat))
	}
	switch {
	case r.URL.Path == "/v2/":
		f.base(w, r)
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		f.manifest(w, r)
	case r.URL.Path == "/token":
		f.tokenServer(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) base(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.v2Status != 0:
		w.WriteHeader(f.v2Status)
	case f.challenge != "":
		w.Header().Set("WWW-Authenticate", f.challenge)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case f.claims(r) == nil:
		f.askForToken(w, "")
	}
}

func (f *fake) askForToken(w http.ResponseWriter, more string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="%s"%s`, f.realm, fakeService, more))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// manifest serves /v2/<name>/manifests/<reference>.
func (f *fake) manifest(w http.ResponseWriter, r *http.Request) {
	name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	action := map[string]string{http.MethodGet: "pull", http.MethodPut: "push"}[r.Method]
	claims := f.claims(r)
	if claims == nil || !slices.ContainsFunc(claims.Access, func(a issuers.Access) bool {
		return a.Type == "repository" && a.Name == name && slices.Contains(a.Actions, action)
	}) {
		f.askForToken(w, `,error="insufficient_scope"`)
	}
}

type tokenClaims struct {
	jwt.Claims
	Access []issuers.Access `json:"access"`
}

// claims verifies a bearer with another library than the product reads it with.
func (f *fake) claims(r *http.Request) *tokenClaims {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil
	}
	token, err := jwt.ParseSigned(bearer, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil
	}
	var claims tokenClaims
	if err := token.Claims(f.key.Public(), &claims); err != nil {
		return nil
	}
	if claims.ValidateWithLeeway(jwt.Expected{Issuer: fakeIssuer, AnyAudience: jwt.Audience{fakeService}, Time: time.Now()}, 0) != nil {
		return nil
	}
	return &claims
}

func (f *fake) tokenServer(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "INVALID", "form")
		return
	}
	f.requests = append(f.requests, asked{
		Method: r.Method, ContentType: r.Header.Get("Content-Type"), Authorization: r.Header.Get("Authorization"),
		Query: r.URL.Query(), Form: r.PostForm,
	})
	switch {
	case r.Method == http.MethodGet && !f.noGET:
		f.get(w, r)
	case r.Method == http.MethodPost && !f.noPOST:
		f.post(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *fake) get(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	user, password, login := r.BasicAuth()
	switch {
	case q.Get("service") != fakeService:
		refuse(w, http.StatusBadRequest, "INVALID", "unknown service")
	case login && (user != fakeUser || password != f.password):
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
	default:
		offline := q.Get("offline_token") == "true" && login && !f.noRefresh
		f.answer(w, login, q["scope"], offline, "token")
	}
}

func (f *fake) post(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	good := false
	switch form.Get("grant_type") {
	case "password":
		good = form.Get("username") == fakeUser && form.Get("password") == f.password
	case "refresh_token":
		good = form.Get("refresh_token") == f.refresh
	default:
		oauthError(w, "unsupported_grant_type")
		return
	}
	switch {
	case form.Get("service") != fakeService || form.Get("client_id") == "":
		oauthError(w, "invalid_request")
	case !good:
		oauthError(w, "invalid_grant")
	default:
		f.answer(w, true, strings.Fields(form.Get("scope")), form.Get("access_type") == "offline", "access_token")
	}
}

// answer grants the intersection, without a word, as token servers do.
func (f *fake) answer(w http.ResponseWriter, login bool, scopes []string, offline bool, member string) {
	rights := f.anonymous
	if login {
		rights = f.rights
	}
	access := []issuers.Access{}
	var granted []string
	for _, scope := range scopes {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 || parts[0] != "repository" {
			refuse(w, http.StatusBadRequest, "INVALID", "scope")
			return
		}
		actions := slices.DeleteFunc(strings.Split(parts[2], ","), func(a string) bool { return !slices.Contains(rights[parts[1]], a) })
		if len(actions) > 0 {
			access = append(access, issuers.Access{Type: "repository", Name: parts[1], Actions: actions})
			granted = append(granted, "repository:"+parts[1]+":"+strings.Join(actions, ","))
		}
	}
	now := time.Now().Add(f.ahead)
	text := f.rawToken
	if text == "" {
		text = f.sign(tokenClaims{Claims: jwt.Claims{
			Issuer: fakeIssuer, Subject: fakeUser, Audience: jwt.Audience{fakeService},
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Second)), Expiry: jwt.NewNumericDate(now.Add(f.life)),
		}, Access: access}, f.extra)
	}
	answer := map[string]any{member: text, "expires_in": int(f.life.Seconds()), "issued_at": now.UTC().Format(time.RFC3339)}
	if member == "access_token" && !f.omitScope {
		answer["scope"] = strings.Join(granted, " ")
	}
	if offline {
		answer["refresh_token"] = f.refresh
	}
	if f.shape != nil {
		f.shape(answer)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		f.t.Error(err)
	}
}

func (f *fake) sign(claims tokenClaims, extra map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: f.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		f.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Claims(extra).Serialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// refuse is the error shape of the distribution specification
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes).
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q,"detail":null}]}`, code, message)
}

// oauthError is RFC 6749 §5.2.
func oauthError(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":%q}`, code)
}
