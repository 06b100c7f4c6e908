package distributiontoken

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

const canary = "cAnArY"

// presentable checks an error's text: one printable line of bounded length
// without the canary.
func presentable(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if len(text) > 1024 || strings.Contains(text, canary) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%d bytes that are not fit to be shown: %.300q", len(text), text)
	}
	if _, ok := errors.AsType[*issuers.Error](err); !ok {
		t.Errorf("%v is no *issuers.Error", err)
	}
}

// canned answers every request alike, without a network.
type canned struct {
	header http.Header
	body   string
}

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: c.header, Body: io.NopCloser(bytes.NewBufferString(c.body)), Request: r}, nil
}

func answerOf(t *testing.T, c canned) *issuers.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://token.example/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := issuers.Call(&http.Client{Transport: c}, req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func jwtOf(claims string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(claims)) + "." + b64([]byte("signature"))
}

// century is more than any end that is believed.
const century = 101 * 366 * 24 * time.Hour

// FuzzReadToken: whatever a token server answers, a token that is taken has
// not ended, and its times can be recorded; what is refused is not quoted.
func FuzzReadToken(f *testing.F) {
	for _, seed := range lies() {
		f.Add(seed.body, seed.date)
	}
	f.Fuzz(func(t *testing.T, body, date string) {
		answer := answerOf(t, canned{http.Header{"Content-Type": {"application/json"}, "Date": {date}}, body})
		token, err := readToken(answer, "registry.example")
		if err != nil {
			presentable(t, err)
			return
		}
		switch {
		case token.secret.IsZero():
			t.Error("there is no token in it")
		case !token.expires.After(answer.Received) || time.Until(token.expires) > century+century:
			t.Errorf("received at %s, it ends at %s", answer.Received, token.expires)
		case token.issued.After(answer.Received) || token.life < 0 && token.claims.ExpiresAt.After(token.claims.IssuedAt):
			t.Errorf("received at %s, it was issued at %s and lives %s", answer.Received, token.issued, token.life)
		}
		if _, err := json.Marshal([]time.Time{token.issued, token.expires}); err != nil {
			t.Error(err)
		}
		checkGrant(t, newWish(connector.Scope{Repositories: []string{"team/app", "team/base"}, Actions: []connector.Action{connector.Pull}}), token)
		checkGrant(t, newWish(connector.Scope{Repositories: []string{"team/app"}}), token)
	})
}

// checkGrant: what counts as granted was asked for and is in the token, and
// what is beyond the wish is never taken for a part of it.
func checkGrant(t *testing.T, w wish, token token) {
	t.Helper()
	g := w.compare(token)
	for _, r := range g.scope.Repositories {
		if !slices.Contains(w.repositories, r) {
			t.Errorf("%q was not asked for", r)
		}
	}
	for _, a := range g.scope.Actions {
		if !slices.Contains(w.asked, a) {
			t.Errorf("%q was not asked for", a)
		}
	}
	items, told := token.access()
	if told && !nothing(g.scope) {
		for _, r := range g.scope.Repositories {
			for _, a := range g.scope.Actions {
				if !grants(items, r, string(a)) {
					t.Errorf("%s on %s is in no claim", a, r)
				}
			}
		}
	}
	for _, r := range g.wider.Repositories {
		if connector.CheckRepository(r) != nil {
			t.Errorf("%q is told as a repository", r)
		}
	}
	for _, text := range append(g.beyond, g.missing...) {
		if len(text) > 300 || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q is told", text)
		}
	}
	if again := w.compare(token); !cmp.Equal(g, again, cmp.AllowUnexported(grant{})) {
		t.Error("compared again it differs")
	}
}

// FuzzRealm: a registry cannot send a login anywhere without TLS that is not
// without it itself, nor to what is no plain host, nor make an error of it
// that is a page long.
func FuzzRealm(f *testing.F) {
	for _, realm := range []string{
		"https://auth.example.com/token", "http://auth.example.com/token", "HTTPS://AUTH.example.com:443/token?a=b", "https://u:" + canary + "@auth.example.com/", "/token", "https:auth.example.com",
		"https://[::1]/", "https://[fe80::1%25eth0]/", "https://auth.example.com/#x", "ftp://auth.example.com/", "https://\u202eabc/", "https://" + strings.Repeat("a", 60_000) + "/", strings.Repeat("a", 60_000) + "://h/",
		"https://*.example.com/", "https://%E2%80%AE/", "https://аuth.example.com/", "https://２.example/", "https://a\nb/", "//h", "https://h:99999/", "https://h:/", "https://127.1/", "javascript:alert(1)", "https://h\\@x/",
	} {
		f.Add(`Bearer realm="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)+`",service="`+canary+`"`, true)
		f.Add(`Bearer realm="`+realm+`"`, false)
	}
	f.Add(`Basic realm="`+canary+`"`, true)
	f.Add(`Bearer realm="`+canary, false)
	f.Add(`Negotiate `+canary, false)
	f.Fuzz(func(t *testing.T, challenge string, plain bool) {
		registry := connector.Registry{Host: "registry.example", PlainHTTP: plain}
		server, err := readChallenge(http.Header{"Www-Authenticate": {challenge}}, registry)
		if err != nil {
			if strings.Count(challenge, "://"+canary) == 0 { // a host may be told
				presentable(t, err)
			}
			return
		}
		u := server.realm
		if u.Scheme != "https" && !(plain && u.Scheme == "http") || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			t.Errorf("%q is taken as %s", challenge, u)
		}
		if len(u.Host) > 260 || strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '@' }) {
			t.Errorf("%q leads to host %.100q", challenge, u.Host)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Zone() != "" {
			t.Errorf("%q leads to %s", challenge, addr)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host {
			t.Errorf("%s is read as %v, %v", u, again, err)
		}
	})
}

// FuzzConfig: a configuration is refused with its field, or means the same
// when it is written down and read again.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{"output":"registryToken"}`, `{"output":"basic","secretRef":{"name":"a"}}`, `{"output":"registryToken","minimumLife":"1h","clientID":"x"}`, `{"output":"registryToken"} {}`,
		`{"output":"registryToken","output":"basic"}`, `{"OUTPUT":"registryToken"}`, `null`, `[]`, `{"output":"` + strings.Repeat("x", 5000) + `"}`, `{"secretRef":{"name":"../x"},"output":"basic"}`, `{"minimumLife":"-1s","output":"registryToken"}`, `{"clientID":"a\nb","output":"registryToken"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		made, err := Definition().New(raw)
		if err != nil {
			if !errors.Is(err, connector.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			for _, field := range connector.FieldErrors("spec.issuer.distributionToken", err) {
				if text := field.Error(); len(text) > 2048 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%.300q", text)
				}
			}
			return
		}
		config := made.(*issuer).config
		written, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Definition().New(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if diff := cmp.Diff(config, again.(*issuer).config); diff != "" {
			t.Error(diff)
		}
	})
}

// lie is an answer of a token server that is not what it should be.
type lie struct {
	body, date string
	// expected of it: how long it is good for, or the reason of the refusal
	life   time.Duration
	reason string
}

// lies are also the table of TestLies.
func lies() map[string]lie {
	const token = `"token":"` + canary + `"`
	now := time.Now()
	stamp := func(in time.Duration) string { return now.Add(in).UTC().Format(time.RFC3339) }
	date := func(in time.Duration) string { return now.Add(in).UTC().Format(http.TimeFormat) }
	exp := func(in time.Duration) string {
		text, _ := json.Marshal(map[string]int64{"exp": now.Add(in).Unix(), "iat": now.Unix()}) // numbers always encode
		return `"token":"` + jwtOf(string(text)) + `"`
	}
	const year = 365 * 24 * time.Hour
	return map[string]lie{
		"fine":                          {body: `{` + token + `,"expires_in":300}`, life: 5 * time.Minute},
		"access_token":                  {body: `{"access_token":"x","expires_in":300}`, life: 5 * time.Minute},
		"a number as text":              {body: `{` + token + `,"expires_in":"300"}`, life: 5 * time.Minute},
		"no end":                        {body: `{` + token + `}`, life: time.Minute},
		"null":                          {body: `{` + token + `,"expires_in":null,"issued_at":null}`, life: time.Minute},
		"zero":                          {body: `{` + token + `,"expires_in":0}`, life: time.Minute},
		"negative":                      {body: `{` + token + `,"expires_in":-300}`, life: time.Minute},
		"1e18":                          {body: `{` + token + `,"expires_in":1e18}`, life: 1e9 * time.Second},
		"1e400":                         {body: `{` + token + `,"expires_in":1e400}`, life: time.Minute},
		"less than a second":            {body: `{` + token + `,"expires_in":1e-300}`, life: time.Minute},
		"NaN":                           {body: `{` + token + `,"expires_in":NaN}`, reason: "BadAnswer"},
		"NaN as text":                   {body: `{` + token + `,"expires_in":"NaN"}`, reason: "BadAnswer"},
		"words":                         {body: `{` + token + `,"expires_in":"` + canary + `"}`, reason: "BadAnswer"},
		"a list":                        {body: `{` + token + `,"expires_in":[300]}`, reason: "BadAnswer"},
		"given twice":                   {body: `{` + token + `,"expires_in":86400,"expires_in":300}`, life: 5 * time.Minute},
		"issued in an hour":             {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(time.Hour) + `"}`, life: 5 * time.Minute},
		"issued in a thousand years":    {body: `{` + token + `,"expires_in":300,"issued_at":"3025-01-01T00:00:00Z"}`, life: 5 * time.Minute},
		"issued an hour ago":            {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(-time.Hour) + `"}`, reason: "AlreadyExpired"},
		"issued in the year 1":          {body: `{` + token + `,"expires_in":300,"issued_at":"0001-01-01T00:00:00Z"}`, reason: "AlreadyExpired"},
		"issued at no time":             {body: `{` + token + `,"expires_in":300,"issued_at":"` + canary + `"}`, life: 5 * time.Minute},
		"exp before expires_in":         {body: `{` + exp(time.Minute) + `,"expires_in":86400}`, life: time.Minute},
		"expires_in before exp":         {body: `{` + exp(time.Hour) + `,"expires_in":60}`, life: time.Minute},
		"exp gone by":                   {body: `{` + exp(-time.Minute) + `,"expires_in":300}`, reason: "AlreadyExpired"},
		"exp in 150 years":              {body: `{` + exp(150*year) + `}`, life: time.Minute},
		"exp in a year":                 {body: `{` + exp(year) + `}`, life: year},
		"a clock an hour ahead":         {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(time.Hour) + `"}`, date: date(time.Hour), life: 5 * time.Minute},
		"a clock an hour behind":        {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(-time.Hour) + `"}`, date: date(-time.Hour), life: 5 * time.Minute},
		"a clock that lies, and no exp": {body: `{` + token + `,"expires_in":300}`, date: date(-year), life: 5 * time.Minute},
		"a Date in the year 1":          {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(0) + `"}`, date: "Mon, 01 Jan 0001 00:00:00 GMT", life: 5 * time.Minute},
		"a Date in the year 9999":       {body: `{` + token + `,"expires_in":300,"issued_at":"` + stamp(0) + `"}`, date: "Fri, 31 Dec 9999 23:59:59 GMT", life: 5 * time.Minute},
		"no token":                      {body: `{"expires_in":300}`, reason: "BadAnswer"},
		"a token that is a number":      {body: `{"token":5}`, reason: "BadAnswer"},
		"cut off":                       {body: `{` + token + `,"expires`, reason: "BadAnswer"},
		"HTML":                          {body: `<html>` + canary, reason: "BadAnswer"},
		"nothing":                       {body: ``, reason: "BadAnswer"},
		"deep":                          {body: strings.Repeat(`{"token":`, 100_000), reason: "BadAnswer"},
		"a scope that is a list":        {body: `{` + token + `,"scope":["a"]}`, reason: "BadAnswer"},
		"two values":                    {body: `{` + token + `}{` + token + `}`, reason: "BadAnswer"},
	}
}

// TestLies: an expiry is what the earliest word says, never more; what cannot
// be meant is not guessed at.
func TestLies(t *testing.T) {
	for name, test := range lies() {
		t.Run(name, func(t *testing.T) {
			answer := answerOf(t, canned{http.Header{"Content-Type": {"application/json"}, "Date": {test.date}}, test.body})
			token, err := readToken(answer, "registry.example")
			if test.reason != "" {
				if failure, ok := errors.AsType[*issuers.Error](err); !ok || failure.Reason != test.reason {
					t.Fatalf("token that ends at %s, error %v; want %s", token.expires, err, test.reason)
				}
				presentable(t, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Times are told in whole seconds, and the test may be slow.
			if off := token.expires.Sub(answer.Received) - test.life; off > 2*time.Second || off < -time.Minute/2 {
				t.Errorf("it is good for %s, want %s", token.expires.Sub(answer.Received), test.life)
			}
		})
	}
}
