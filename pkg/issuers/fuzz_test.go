package issuers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// canned answers every request alike, without a network.
type canned struct {
	status int
	header http.Header
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: c.header, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}, nil
}

func cannedAnswer(t testing.TB, c canned, secrets ...connector.Secret) *issuers.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://token.example/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := issuers.Call(&http.Client{Transport: c}, req, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// presentable checks that an error's text can be shown to anybody: one
// printable line of bounded length.
func presentable(t *testing.T, text string) {
	t.Helper()
	if len(text) > 2048 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%d bytes that are not fit to be shown: %.300q", len(text), text)
	}
}

// FuzzDocumented: of an answer nothing is told but its documented fields, in
// one line, without the request's secret.
func FuzzDocumented(f *testing.F) {
	const sent = "hunter2&x y"
	for _, seed := range []string{
		`{"errors":[{"code":"DENIED","message":"hunter2&x y hunter2%26x+y","detail":"INNERPAGE"}]}`,
		`{"error":"a\nb\u202e\u0000","other":"INNERPAGE"}`, `{"error":"hunter2&\u200bx y"}`, `{"error":"hunter2&x  y"}`, `{"error":"hunter2%26x%20y"}`,
		`{"error":{"error":"INNERPAGE"},"errors":[[["INNERPAGE"]]]}`, `{"ERROR":"INNERPAGE"}`, `[`, `{"error":` + strings.Repeat("[", 5000), `{"error":"` + strings.Repeat("long ", 100) + `"}`,
		`{"error":"` + strings.Repeat("eyJ", 20) + `"}`, "{\"error\":\"\xff\"}", `{"errors":[{"code":"a"},{"code":"INNERPAGE"}]}`, "<html>INNERPAGE</html>",
	} {
		f.Add("application/json", seed, 400)
		f.Add("text/html", seed, 502)
	}
	f.Add("application/x+json; charset=\"\r\n INNERPAGE\"", `{"error":"x"}`, 429)
	f.Fuzz(func(t *testing.T, kind, body string, status int) {
		answer := cannedAnswer(t, canned{status, http.Header{"Content-Type": {kind}}, []byte(body)}, connector.NewSecret(sent))
		text := answer.Documented("errors.code", "error")
		presentable(t, text)
		if n := utf8.RuneCountInString(text); n > 200 {
			t.Errorf("%d characters", n)
		}
		if strings.Contains(text, sent) {
			t.Errorf("the secret is told: %q", text)
		}
		// Without its documented fields, nothing of the body is told.
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(body), &members) == nil {
			delete(members, "error")
			delete(members, "errors")
			rest, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			answer := cannedAnswer(t, canned{status, http.Header{"Content-Type": {kind}}, rest})
			text = answer.Documented("errors.code", "error")
		}
		if told := strings.HasPrefix(text, "status "+strconv.Itoa(status)+", "); !told && (members != nil || !json.Valid([]byte(body))) {
			t.Errorf("%q with content type %q tells %q", body, kind, text)
		}
		failure := answer.Failure("asking", "errors.code", "error")
		presentable(t, failure.Error())
		if failure.After < 0 || failure.After > time.Hour {
			t.Errorf("asked to wait %s", failure.After)
		}
		if (failure.Class == issuers.Retryable) != (status == 408 || status == 425 || status == 429 || status >= 500 && status != 501 && status != 505) {
			t.Errorf("%d is %s", status, failure.Class)
		}
	})
}

// FuzzRetryAfter: whatever a provider asks for, the wait is between nothing
// and an hour; seconds are taken as they are.
func FuzzRetryAfter(f *testing.F) {
	now := time.Now().UTC()
	for _, seed := range [][2]string{
		{"30", ""},
		{"-5", ""},
		{"1e3", ""},
		{"99999999999999999999", ""},
		{"4294967296", ""},
		{" 7", ""},
		{"+7", ""},
		{"0x10", ""},
		{"1.5", ""},
		{now.Add(time.Minute).Format(http.TimeFormat), now.Format(http.TimeFormat)},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"},
		{"Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"},
		{now.Format(time.RFC850), now.Format(time.ANSIC)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		answer := cannedAnswer(t, canned{429, http.Header{"Retry-After": {value}, "Date": {date}}, nil})
		wait := answer.RetryAfter()
		if wait < 0 || wait > time.Hour {
			t.Errorf("%q asks to wait %s", value, wait)
		}
		if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds <= 3600 && value == strconv.Itoa(seconds) && wait != time.Duration(seconds)*time.Second {
			t.Errorf("%q asks to wait %s", value, wait)
		}
		// A skew is taken away from times: it must have an opposite.
		if skew := answer.Skew(); skew.Abs() > 101*366*24*time.Hour || -(-skew) != skew || skew != 0 && skew == -skew {
			t.Errorf("%q is a skew of %s", date, skew)
		}
	})
}

// FuzzClaims reads whole tokens: whatever they claim can be recorded, and an
// access claim that is there is never taken for one that is not.
func FuzzClaims(f *testing.F) {
	for _, payload := range []string{
		`{"exp":1800000000,"iat":1,"access":[{"type":"repository","name":"a","actions":["pull"]}]}`, `{"exp":1e18}`, `{"exp":"1e400"}`, `{"exp":-1,"iat":9e99}`,
		`{"access":null}`, `{"access":{}}`, `{"access":[null,5]}`, `{"exp":1,"exp":1800000000}`, `[]`, `null`, `{"aud":5}`,
	} {
		f.Add(encode(`{"alg":"ES256"}`, payload))
	}
	f.Add(encode(`{"alg":"none"}`, `{}`) + "=")
	f.Add(encode(`{}`, `{"exp":1800000000}`))
	f.Add("a.b.c")
	f.Add("..")
	f.Add(encode(`{"alg":"HS256"}`, `{"x":`+strings.Repeat("[", 9999)+strings.Repeat("]", 9999)+`}`))
	f.Fuzz(func(t *testing.T, token string) {
		claims, ok := issuers.ParseClaims(connector.NewSecret(token))
		if !ok && (claims.Access != nil || !claims.ExpiresAt.IsZero() || !claims.IssuedAt.IsZero()) {
			t.Errorf("no token, and yet %+v", claims)
		}
		if _, err := json.Marshal(claims); err != nil {
			t.Error(err)
		}
		for _, at := range []time.Time{claims.IssuedAt, claims.ExpiresAt} {
			if !at.IsZero() && (at.Unix() < 0 || time.Until(at) > 101*366*24*time.Hour) {
				t.Errorf("a time of %s", at)
			}
		}
		if !claims.ExpiresAt.Equal(issuers.TokenExpiry(connector.NewSecret(token))) {
			t.Error("TokenExpiry says something else")
		}
	})
}

// FuzzAllowedHosts: what the flag accepts makes a Guard, reads again as
// itself, and never opens what is never open.
func FuzzAllowedHosts(f *testing.F) {
	for _, seed := range []string{
		"*.example.com:443, 10.0.0.0/8", "localhost,[::1]:5000,fd00::/8", "0.0.0.0/0,::/0,*", "169.254.169.254", "169.254.169.254:80", "::ffff:169.254.0.0/112", "[fe80::1%eth0]",
		"100.100.100.200,fd00:ec2::254,168.63.129.16,192.0.0.192", "64:ff9b::/96", "https://r.io", "10.0.0.1/8", ",,", "a b", "127.0.0.1/32,::1", "*:80", "2130706433", "[::1]", "::1/0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		hosts, err := issuers.ParseAllowedHosts(value)
		if err != nil {
			if !errors.Is(err, connector.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		if again, err := issuers.ParseAllowedHosts(strings.Join(hosts, ",")); err != nil || strings.Join(again, ",") != strings.Join(hosts, ",") {
			t.Errorf("%q is read as %q and then as %q, %v", value, hosts, again, err)
		}
		guard, err := issuers.NewGuard(issuers.Policy{AllowedHosts: hosts, AllowLoopback: true, Proxy: &httpproxy.Config{}})
		if err != nil {
			t.Fatal(err)
		}
		if len(hosts) > 8 {
			return // what opens nothing alone opens nothing together
		}
		c, err := guard.Client(issuers.ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseIdleConnections()
		for _, url := range []string{"https://169.254.169.254", "https://[::ffff:169.254.169.254]", "https://[64:ff9b::a9fe:a9fe]", "https://100.100.100.200", "https://0.0.0.0", "https://[fd00:ec2::254]"} {
			if _, err := call(t.Context(), t, c, url); issuers.ClassOf(err) != issuers.Terminal {
				t.Fatalf("%q lets a call through to %s: %v", value, url, err)
			}
		}
	})
}

// FuzzAudiences: each audience of the flag belongs to named hosts, never to a
// network, and values for one audience add up.
func FuzzAudiences(f *testing.F) {
	for _, seed := range [][2]string{
		{"sts.example.com=sts.example.com,*.sts.example.com:443", "sts.example.com=extra.io"},
		{"https://x/?a=b=h.io", "=h"},
		{"aud=10.0.0.0/8", "aud="},
		{"aud=10.0.0.1/32", "aud=[::1]:443"},
		{"a=*", "a=*"},
		{"a\n=h", "a=h\n"},
		{"a=,", "a= h , i"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		audiences, err := issuers.ParseAudiences(first, second)
		if err != nil {
			if !errors.Is(err, connector.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		var again []string
		for audience, hosts := range audiences {
			if audience == "" || len(hosts) == 0 {
				t.Errorf("audience %q is bound to %q", audience, hosts)
			}
			again = append(again, audience+"="+strings.Join(hosts, ","))
		}
		reread, err := issuers.ParseAudiences(again...)
		if err != nil || len(reread) != len(audiences) {
			t.Errorf("%q is read again as %q, %v", audiences, reread, err)
		}
		for audience, hosts := range audiences {
			if strings.Join(reread[audience], ",") != strings.Join(hosts, ",") {
				t.Errorf("audience %q: %q, then %q", audience, hosts, reread[audience])
			}
		}
		guard, err := issuers.NewGuard(issuers.Policy{Audiences: audiences, Proxy: &httpproxy.Config{}})
		if err != nil {
			t.Fatal(err)
		}
		if guard.CheckAudiences([]string{""}) == nil {
			t.Error("the empty audience is allowed")
		}
	})
}
