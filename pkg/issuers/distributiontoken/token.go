package distributiontoken

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// errorFields are the documented error shapes: the distribution API's, OAuth2's
// (RFC 6749 §5.2) and Docker Hub's.
func errorFields() []string {
	return []string{"errors.code", "errors.message", "error", "error_description", "details", "detail"}
}

// clientOf talks to one registry's token server.
type clientOf struct {
	http   *http.Client
	id     string
	login  login
	server tokenServer
	host   string
}

// token asks for a token for the scopes; none asks whether the login is good.
// A refresh token can only be sent by POST; a password goes by GET, which
// every token server knows, and by POST where there is no GET.
func (c *clientOf) token(ctx context.Context, scopes []string, offline bool) (token, error) {
	if !c.login.refresh.IsZero() {
		t, absent, err := c.post(ctx, scopes, offline)
		if absent {
			return token{}, issuers.Terminate("RefreshNotSupported", "the token server of %s takes no refresh tokens: give %s a user name and password for it", c.host, c.login.source)
		}
		return t, err
	}
	t, absent, err := c.get(ctx, scopes, offline)
	if absent && !c.login.password.IsZero() {
		t, absent, err = c.post(ctx, scopes, offline)
	}
	if absent {
		return token{}, issuers.Terminate("TokenServerMissing", "registry %s names a token server that does not exist: check the realm in the registry's configuration", c.host)
	}
	return t, err
}

// refreshToken asks for one by GET and, where the answer has none, by POST:
// servers know either the one or the other.
func (c *clientOf) refreshToken(ctx context.Context) (connector.Secret, error) {
	t, err := c.token(ctx, nil, true)
	if err != nil {
		return connector.Secret{}, err
	}
	if t.refresh.IsZero() && !c.login.password.IsZero() {
		var absent bool
		if t, absent, err = c.post(ctx, nil, true); err != nil && !absent {
			return connector.Secret{}, err
		}
	}
	switch {
	case !t.refresh.IsZero():
		return t.refresh, nil
	case !c.login.refresh.IsZero():
		return c.login.refresh, nil // a server need not rotate it (RFC 6749 §6)
	default:
		return connector.Secret{}, issuers.Terminate("RefreshNotSupported", "the token server of %s gives no refresh tokens: use output registryToken or basic", c.host)
	}
}

// get is https://distribution.github.io/distribution/spec/auth/token/.
func (c *clientOf) get(ctx context.Context, scopes []string, offline bool) (t token, absent bool, err error) {
	u := *c.server.realm
	query := u.Query()
	if c.server.service != "" {
		query.Set("service", c.server.service)
	}
	query.Set("client_id", c.id)
	query.Del("scope")
	for _, scope := range scopes {
		query.Add("scope", scope)
	}
	if offline {
		query.Set("offline_token", "true")
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return token{}, false, issuers.Terminate("RealmInvalid", "registry %s names no valid token server", c.host)
	}
	if !c.login.password.IsZero() {
		req.SetBasicAuth(c.login.username, c.login.password.Reveal())
	}
	return c.send(req)
}

// post is https://distribution.github.io/distribution/spec/auth/oauth/.
func (c *clientOf) post(ctx context.Context, scopes []string, offline bool) (t token, absent bool, err error) {
	form := url.Values{"service": {c.server.service}, "client_id": {c.id}}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	if offline {
		form.Set("access_type", "offline")
	}
	if !c.login.refresh.IsZero() {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", c.login.refresh.Reveal())
	} else {
		form.Set("grant_type", "password")
		form.Set("username", c.login.username)
		form.Set("password", c.login.password.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.realm.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, false, issuers.Terminate("RealmInvalid", "registry %s names no valid token server", c.host)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.send(req)
}

// send reports absent when the token server has no such method.
func (c *clientOf) send(req *http.Request) (t token, absent bool, err error) {
	answer, err := issuers.Call(c.http, req, c.login.secrets()...)
	if err != nil {
		return token{}, false, err
	}
	switch answer.Status {
	case http.StatusOK:
		t, err = readToken(answer, c.host)
		return t, false, err
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return token{}, true, nil
	}
	failure := answer.Failure("getting a token for registry "+c.host+" as "+c.login.who(), errorFields()...)
	switch answer.Status {
	case http.StatusUnauthorized:
		failure.Reason = "LoginRefused"
	case http.StatusForbidden:
		failure.Class, failure.Reason = issuers.Denied, "AccessDenied"
	}
	return token{}, false, failure
}

// token is what a token server gives.
type token struct {
	secret  connector.Secret
	refresh connector.Secret
	issued  time.Time     // by our clock
	expires time.Time     // by our clock
	life    time.Duration // by the token server's clock
	skew    time.Duration
	claims  issuers.Claims
	scope   *string // of the OAuth2 answer
}

const (
	// defaultLife is the specification's, for answers without expires_in.
	defaultLife = 60 * time.Second
	// maxSkew is how far clocks may differ before somebody is told.
	maxSkew = 30 * time.Second
)

type tokenAnswer struct {
	Token        string      `json:"token"`
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	ExpiresIn    json.Number `json:"expires_in"` // also as text, as some servers write it
	IssuedAt     string      `json:"issued_at"`
	Scope        *string     `json:"scope"`
}

// stated is expires_in, or zero.
func (a tokenAnswer) stated() time.Duration {
	seconds, err := a.ExpiresIn.Float64()
	if err != nil || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, maxSeconds) * float64(time.Second))
}

// maxSeconds is longer than any token is good for, and fits a duration.
const maxSeconds = 1e9

// readToken takes the expiry from the answer or the JWT, whichever comes first,
// else from the specification.
func readToken(answer *issuers.Answer, host string) (token, error) {
	var a tokenAnswer
	if err := answer.JSON(&a); err != nil {
		return token{}, err
	}
	text := a.Token
	if text == "" {
		text = a.AccessToken
	}
	if text == "" {
		return token{}, issuers.Terminate("BadAnswer", "the token server of %s answers without a token", host)
	}
	t := token{
		secret: connector.NewSecret(text), refresh: connector.NewSecret(a.RefreshToken),
		issued: answer.Received, skew: answer.Skew(), scope: a.Scope,
	}
	t.claims, _ = issuers.ParseClaims(t.secret)
	t.schedule(a)
	if !answer.Received.Before(t.expires) {
		return token{}, issuers.Retry(0, "AlreadyExpired", "the token server of %s gives a token that ended at %s: compare its clock with this node's", host, t.expires.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// schedule sets the times of a token that was just received.
func (t *token) schedule(a tokenAnswer) {
	received := t.issued
	if at, err := time.Parse(time.RFC3339, a.IssuedAt); err == nil && at.Add(-t.skew).Before(received) {
		t.issued = issuers.Believable(at).Add(-t.skew)
	}
	exp := t.claims.ExpiresAt
	t.life = a.stated()
	if t.life == 0 && exp.IsZero() {
		t.life = defaultLife
	}
	if t.life > 0 {
		t.expires = t.issued.Add(t.life)
	}
	if exp.IsZero() {
		return
	}
	if end := exp.Add(-t.skew); t.expires.IsZero() || end.Before(t.expires) {
		t.expires = end
	}
	from := t.claims.IssuedAt
	if from.IsZero() {
		from = received.Add(t.skew)
	}
	if life := exp.Sub(from); t.life == 0 || life < t.life {
		t.life = life
	}
}

// lasting is a secret that is handed out as it is: it ends when it says so.
func lasting(secret connector.Secret) token {
	return token{issued: time.Now(), expires: issuers.TokenExpiry(secret)}
}
