package issuers_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// answerOf lets a real server give the answer.
func answerOf(t *testing.T, handler http.HandlerFunc, secrets ...connector.Secret) (*issuers.Answer, string) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{trusted(server, nil)}})
	answer, err := call(t.Context(), t, c, server.URL, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return answer, server.Listener.Addr().String()
}

func TestDocumented(t *testing.T) {
	const json = "application/json; charset=utf-8"
	tests := map[string]struct{ kind, body, want string }{
		"the fields":                   {json, `{"errors":[{"code":"DENIED","message":"no access","detail":"inner"}],"other":"hidden"}`, "DENIED: no access"},
		"another shape":                {json, `{"details":"incorrect username or password"}`, "incorrect username or password"},
		"problem+json":                 {"application/problem+json", `{"details":"x"}`, "x"},
		"no such field":                {json, `{"data":"inner page"}`, "status 418, application/json, 21 bytes"},
		"a number, a list":             {json, `{"details":5,"errors":[]}`, "status 418, application/json, 25 bytes"},
		"no JSON":                      {"text/html", `<html>inner page</html>`, "status 418, text/html, 23 bytes"},
		"JSON as text":                 {"text/plain", `{"details":"inner page"}`, "status 418, text/plain, 24 bytes"},
		"broken JSON":                  {json, `{"details":"x"`, "status 418, application/json, 14 bytes"},
		"no type":                      {"", `x`, "status 418, no content type, 1 bytes"},
		"one line":                     {json, "{\"details\":\"a\\n\\tb\\u0000\\u001b[31m c\\u202e\"}", "a b[31m c"},
		"long":                         {json, `{"details":"` + strings.Repeat("ab ", 200) + `"}`, strings.Repeat("ab ", 66) + "a…"},
		"the secret sent":              {json, `{"details":"wrong password hunter2 for x"}`, "wrong password [masked] for x"},
		"the secret sent in a form":    {json, `{"details":"grant_type=password&password=pa%26ss%3Dwo%25rd+%2B1&x=y"}`, "grant_type=password&password=[masked]&x=y"},
		"in lower-case form":           {json, `{"details":"password=pa%26ss%3dwo%25rd%20%2b1"}`, "password=[masked]"},
		"a secret that begins another": {json, `{"details":"hunter2-and-more"}`, "[masked]"},
		"what looks secret":            {json, `{"details":"token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl is old"}`, "token [masked] is old"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, _ := answerOf(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{test.kind}
				w.WriteHeader(http.StatusTeapot)
				_, _ = w.Write([]byte(test.body)) // a lost answer fails the test
			}, connector.NewSecret("hunter2"), connector.NewSecret("hunter2-and-more"), connector.NewSecret("pa&ss=wo%rd +1"))
			if diff := cmp.Diff(test.want, answer.Documented("errors.code", "errors.message", "details")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	const none = time.Duration(0)
	tests := map[string]struct {
		status     int
		retryAfter string
		until      time.Duration // instead, as a date; by a clock that is
		ahead      time.Duration // of ours
		class      issuers.Class
		reason     string
		after      time.Duration
	}{
		"400":                      {400, "", none, none, issuers.Terminal, "Refused", 0},
		"401":                      {401, "", none, none, issuers.Terminal, "Refused", 0},
		"403":                      {403, "", none, none, issuers.Terminal, "Refused", 0},
		"404":                      {404, "", none, none, issuers.Terminal, "Refused", 0},
		"409":                      {409, "", none, none, issuers.Terminal, "Refused", 0},
		"422":                      {422, "", none, none, issuers.Terminal, "Refused", 0},
		"408":                      {408, "", none, none, issuers.Retryable, "ProviderFails", 0},
		"425":                      {425, "", none, none, issuers.Retryable, "ProviderFails", 0},
		"429 with seconds":         {429, "30", none, none, issuers.Retryable, "RateLimited", 30 * time.Second},
		"429 for too long":         {429, "86400", none, none, issuers.Retryable, "RateLimited", time.Hour},
		"429 with nonsense":        {429, "-5", none, none, issuers.Retryable, "RateLimited", 0},
		"503 with a date":          {503, "", time.Minute, none, issuers.Retryable, "ProviderFails", time.Minute},
		"503 by a clock far ahead": {503, "", time.Minute, time.Hour, issuers.Retryable, "ProviderFails", time.Minute},
		"503 with a date gone by":  {503, "", -time.Minute, none, issuers.Retryable, "ProviderFails", 0},
		"500":                      {500, "", none, none, issuers.Retryable, "ProviderFails", 0},
		"501":                      {501, "", none, none, issuers.Terminal, "Refused", 0},
		"502":                      {502, "", none, none, issuers.Retryable, "ProviderFails", 0},
		"504":                      {504, "", none, none, issuers.Retryable, "ProviderFails", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, host := answerOf(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Retry-After", test.retryAfter)
				now := time.Now().Add(test.ahead).UTC()
				if test.until != 0 {
					w.Header().Set("Retry-After", now.Add(test.until).Format(http.TimeFormat))
				}
				if test.ahead != 0 {
					w.Header().Set("Date", now.Format(http.TimeFormat))
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(`{"error":"why"}`)) // a lost answer fails the test
			})
			e := answer.Failure("asking", "error")
			if e.Class != test.class || e.Reason != test.reason || (e.After-test.after).Abs() > 30*time.Second {
				t.Errorf("got %s %s after %s, want %s %s after %s", e.Class, e.Reason, e.After, test.class, test.reason, test.after)
			}
			want := "asking: host " + host + " answers why (HTTP " + name[:3] + ")"
			if e.After > 0 {
				want = "asking: host " + host + " answers why; asked to wait " + e.After.Round(time.Second).String() + " (HTTP " + name[:3] + ")"
			}
			if e.Error() != want {
				t.Errorf("got %q, want %q", e, want)
			}
		})
	}
}

func TestParseClaims(t *testing.T) {
	at := time.Unix(1800000000, 0)
	tests := map[string]struct {
		token  string
		ok     bool
		exp    time.Time
		access *[]issuers.Access
	}{
		"opaque":                       {"abc.def.ghi", false, time.Time{}, nil},
		"empty":                        {"", false, time.Time{}, nil},
		"with access":                  {encode(`{"alg":"ES256"}`, `{"exp":1800000000,"access":[{"type":"repository","name":"a","actions":["pull"]}]}`), true, at, &[]issuers.Access{{Type: "repository", Name: "a", Actions: []string{"pull"}}}},
		"access null grants nothing":   {encode(`{"alg":"ES256"}`, `{"exp":1800000000,"access":null}`), true, at, &[]issuers.Access{}},
		"without access, nobody knows": {encode(`{"alg":"ES256"}`, `{"exp":1800000000}`), true, at, nil},
		"an algorithm nobody knows":    {encode(`{"alg":"XY1"}`, `{"exp":1800000000}`), true, at, nil},
		"access of another shape":      {encode(`{"alg":"ES256"}`, `{"exp":1800000000,"access":"all"}`), true, at, &[]issuers.Access{}},
		"another claim of that kind":   {encode(`{"alg":"ES256"}`, `{"exp":1800000000,"aud":5,"iss":{},"access":[]}`), true, at, &[]issuers.Access{}},
		"exp of another shape":         {encode(`{"alg":"ES256"}`, `{"exp":"soon","access":[]}`), true, time.Time{}, &[]issuers.Access{}},
		"exp as text":                  {encode(`{"alg":"ES256"}`, `{"exp":"1800000000"}`), true, at, nil},
		"exp in milliseconds":          {encode(`{"alg":"ES256"}`, `{"exp":1790000000000}`), true, time.Time{}, nil},
		"exp beyond all years":         {encode(`{"alg":"ES256"}`, `{"exp":1e300}`), true, time.Time{}, nil},
		"without end":                  {encode(`{"alg":"ES256"}`, `{}`), true, time.Time{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			claims, ok := issuers.ParseClaims(connector.NewSecret(test.token))
			if ok != test.ok || !claims.ExpiresAt.Equal(test.exp) {
				t.Errorf("got %v, exp %s; want %v, %s", ok, claims.ExpiresAt, test.ok, test.exp)
			}
			if diff := cmp.Diff(test.access, claims.Access); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A record of a credential is JSON, in which years have four digits.
func FuzzTokenExpiry(f *testing.F) {
	for _, payload := range []string{`{"exp":1790000000000}`, `{"exp":1e300}`, `{"exp":-1e300}`, `{"exp":253402300800}`, `{"exp":-99999999999}`, `{"exp":"NaN"}`, `{"exp":1800000000}`, `{}`} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		end := issuers.TokenExpiry(connector.NewSecret(encode(`{"alg":"ES256"}`, payload)))
		if _, err := end.MarshalJSON(); err != nil {
			t.Error(err)
		}
		if time.Until(end) > 101*366*24*time.Hour {
			t.Errorf("the end is %s", end)
		}
	})
}

func encode(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64([]byte("signature"))
}
