package issuers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// speak serves plain connections on loopback by hand: it reads a request and
// then says what it likes. It returns host:port.
func speak(t *testing.T, say func(ctx context.Context, conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // a client that left shows below
			say(ctx, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// drip writes a text again and again until the client leaves.
func drip(text string, every time.Duration) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		tick := time.NewTicker(max(every, 1))
		defer tick.Stop()
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
			if every == 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

func say(text string) func(context.Context, net.Conn) {
	return func(_ context.Context, conn net.Conn) { _, _ = io.WriteString(conn, text) } // a client that left has its error
}

func then(first, second func(context.Context, net.Conn)) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		first(ctx, conn)
		second(ctx, conn)
	}
}

// TestHostileServers: whatever a server does with its side of the
// conversation, the call ends with one line that says so.
func TestHostileServers(t *testing.T) {
	const (
		head    = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		cut     = "the call to host HOST failed before a complete answer came"
		tooLong = "host HOST answers with more than 1 MiB, which no provider does: check the address in the Connector"
		tooSlow = "host HOST gave no complete answer in time"
	)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 4096, strings.Repeat("x", 4096))
	tests := map[string]struct {
		say    func(context.Context, net.Conn)
		class  issuers.Class
		reason string
		want   string
	}{
		"an endless body":                         {then(say(head+"\r\n"), drip(strings.Repeat("x", 4096), 0)), issuers.Terminal, "AnswerTooLong", tooLong},
		"endless chunks":                          {then(say(head+"Transfer-Encoding: chunked\r\n\r\n"), drip(chunk, 0)), issuers.Terminal, "AnswerTooLong", tooLong},
		"endless empty lines of chunk headers":    {then(say(head+"Transfer-Encoding: chunked\r\n\r\n1;"), drip(strings.Repeat("x", 4096), 0)), issuers.Retryable, "Unreachable", cut},
		"endless trailers":                        {then(say(head+"Transfer-Encoding: chunked\r\n\r\n0\r\n"), drip("X-A: "+strings.Repeat("x", 1000)+"\r\n", 0)), issuers.Retryable, "Unreachable", cut},
		"a byte now and then":                     {then(say(head+"Content-Length: 1000000\r\n\r\n"), drip("x", 5*time.Millisecond)), issuers.Retryable, "Timeout", tooSlow},
		"a header byte now and then":              {then(say(head+"X-Slow: "), drip("x", 5*time.Millisecond)), issuers.Retryable, "Timeout", tooSlow},
		"a header line now and then":              {then(say(head), drip("X-Slow: x\r\n", 5*time.Millisecond)), issuers.Retryable, "Timeout", tooSlow},
		"a hint now and then":                     {drip("HTTP/1.1 103 Early Hints\r\n\r\n", 20*time.Millisecond), issuers.Retryable, "Timeout", tooSlow},
		"nothing":                                 {func(ctx context.Context, _ net.Conn) { <-ctx.Done() }, issuers.Retryable, "Timeout", tooSlow},
		"endless headers":                         {then(say(head), drip("X-Many: "+strings.Repeat("x", 1000)+"\r\n", 0)), issuers.Retryable, "Unreachable", cut},
		"one endless header":                      {then(say(head+"X-Long: "), drip(strings.Repeat("x", 4096), 0)), issuers.Retryable, "Unreachable", cut},
		"endless 100s":                            {drip("HTTP/1.1 100 Continue\r\n\r\n", 0), issuers.Retryable, "Unreachable", cut},
		"endless 103s with headers":               {drip("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0), issuers.Retryable, "Unreachable", cut},
		"a switch of protocols that nobody asked": {say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "", "", ""},
		"more bytes promised than sent":           {say(head + "Content-Length: 100\r\n\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"fewer bytes promised than sent":          {say(head + "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"), "", "", ""},
		"a negative length":                       {say(head + "Content-Length: -1\r\n\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"an endless length":                       {say(head + "Content-Length: 99999999999999999999\r\n\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"two lengths":                             {say(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), issuers.Retryable, "Unreachable", cut},
		"a broken chunk":                          {say(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), issuers.Retryable, "Unreachable", cut},
		"a chunk that is cut off":                 {say(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"an unknown transfer coding":              {say(head + "Transfer-Encoding: gzip\r\n\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"a header that is none":                   {say("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), issuers.Retryable, "Unreachable", cut},
		"a status that is none":                   {say("HTTP/1.1 abc\r\n\r\n"), issuers.Retryable, "Unreachable", cut},
		"another protocol":                        {say("SSH-2.0-OpenSSH_9.9\r\n"), issuers.Retryable, "Unreachable", cut},
		"HTTP/2":                                  {say("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"), issuers.Retryable, "Unreachable", cut},
		"TLS":                                     {say("\x15\x03\x01\x00\x02\x02\x16"), issuers.Retryable, "Unreachable", cut},
		"a closed connection":                     {say(""), issuers.Retryable, "Unreachable", cut},
		"gzip that is none":                       {say(head + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), issuers.Retryable, "Unreachable", cut},
		"HTTP/1.0":                                {say("HTTP/1.0 200 OK\r\n\r\n{}"), "", "", ""},
		"HTTP/0.9":                                {say("<html>"), issuers.Retryable, "Unreachable", cut},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := speak(t, test.say)
			plain := issuers.Trust{Registry: connector.Registry{Host: host, PlainHTTP: true}}
			limit := time.Minute
			if test.reason == "Timeout" {
				limit = 200 * time.Millisecond
			}
			c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{plain}, Timeout: limit})
			answer, err := call(t.Context(), t, c, "http://"+host+"/?secret=x")
			if test.want == "" {
				if err != nil || answer.Status > 200 {
					t.Errorf("answer %+v, error %v", answer, err)
				}
				return
			}
			refused(t, err, test.class, test.reason, test.want, host)
		})
	}
}

// TestCompressedAnswers: it is the length after unpacking that counts, and a
// coding that nobody asked for is not undone.
func TestCompressedAnswers(t *testing.T) {
	pack := func(content []byte) []byte {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(content)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return packed.Bytes()
	}
	bomb := pack(make([]byte, 16<<20))
	tests := map[string]struct {
		coding string
		body   []byte
		want   string // empty = the answer reads {}
	}{
		"gzip":           {"gzip", pack([]byte("{}")), ""},
		"a bomb":         {"gzip", bomb, "host HOST answers with more than 1 MiB, which no provider does: check the address in the Connector"},
		"a bomb inside":  {"gzip", pack(bomb), "host HOST answers something other than the documented JSON: status 200, application/json, " + fmt.Sprint(len(bomb)) + " bytes"},
		"cut off":        {"gzip", pack([]byte("{}"))[:12], "the call to host HOST failed before a complete answer came"},
		"more behind it": {"gzip", append(pack([]byte("{}")), pack(bytes.Repeat([]byte(" "), 2<<20))...), "host HOST answers with more than 1 MiB, which no provider does: check the address in the Connector"},
		"never asked":    {"br", []byte{0x0b, 0x00, 0x80, 0x7b, 0x7d, 0x03}, "host HOST answers something other than the documented JSON: status 200, application/json, 6 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", test.coding)
				_, _ = w.Write(test.body) // the client may hang up
			}))
			defer server.Close()
			c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{trusted(server, nil)}})
			answer, err := call(t.Context(), t, c, server.URL)
			if err == nil {
				err = answer.JSON(&struct{}{})
			}
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), server.Listener.Addr().String(), "HOST")
			}
			if got != test.want {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestNotTheDocumentedJSON: an error about the body quotes nothing of it.
func TestNotTheDocumentedJSON(t *testing.T) {
	const canary = "cAnArY"
	var shape struct {
		Token string `json:"token"`
		Life  int    `json:"life"`
	}
	for name, body := range map[string]string{
		"HTML":              "<html>" + canary + "</html>",
		"cut off":           `{"token":"` + canary,
		"another type":      `{"token":["` + canary + `"]}`,
		"text for a number": `{"token":"x","life":"` + canary + `"}`,
		"too large":         `{"life":1e99}`,
		"two values":        `{"token":"` + canary + `"}{}`,
		"deep":              strings.Repeat(`{"token":`, 20_000),
		"deeper":            strings.Repeat(`[`, 1<<19),
		"nothing":           "",
		"a list":            `["` + canary + `"]`,
		"a bad escape":      `{"token":"\x` + canary + `"}`,
		"UTF-16":            "\xff\xfe{\x00}\x00",
	} {
		t.Run(name, func(t *testing.T) {
			answer := cannedAnswer(t, canned{200, http.Header{"Content-Type": {"application/json"}}, []byte(body)})
			err := answer.JSON(&shape)
			want := fmt.Sprintf("host token.example answers something other than the documented JSON: status 200, application/json, %d bytes", len(body))
			refused(t, err, issuers.Terminal, "BadAnswer", want, "\x00")
		})
	}
}

// TestRedirectsElsewhere: a redirect never takes a call, and the login in it,
// to anybody else.
func TestRedirectsElsewhere(t *testing.T) {
	var reached atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer plain.Close()
	const elsewhere = "host HOST redirects to another origin, which is not followed: write the final address in the Connector"
	const broken = "the call to host HOST failed before a complete answer came"
	for name, test := range map[string]struct{ location, want string }{
		"another host":         {other.URL + "/", elsewhere},
		"without a scheme":     {"//" + other.Listener.Addr().String() + "/", elsewhere},
		"backslashes":          {`\\` + other.Listener.Addr().String() + "/", broken},
		"to plain HTTP":        {plain.URL, elsewhere},
		"to a user":            {"https://u:p@SELF/", elsewhere},
		"to the host as user":  {"https://SELF@" + other.Listener.Addr().String() + "/", elsewhere},
		"to metadata":          {"http://169.254.169.254/latest/meta-data/", elsewhere},
		"to mapped metadata":   {"https://[::ffff:a9fe:a9fe]/", elsewhere},
		"to another name":      {"https://localhost.SELF/", elsewhere},
		"to a file":            {"file:///etc/passwd", elsewhere},
		"to a script":          {"javascript:alert(1)", elsewhere},
		"to data":              {"data:application/json,{}", elsewhere},
		"to nothing":           {"", ""},
		"to what is no URL":    {"https://[::1", broken},
		"to a line break":      {"https://SELF/%0d%0aX: y", ""},
		"to a longer name":     {"https://SELF.evil.test/", broken},
		"up, within the host":  {"https://SELF/../../x", ""},
		"with its port spelt":  {"https://SELF/", ""},
		"to an opaque address": {"https:SELF", elsewhere},
	} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusSeeOther, http.StatusTemporaryRedirect} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				var server *httptest.Server
				server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/start" {
						location := strings.ReplaceAll(test.location, "SELF", server.Listener.Addr().String())
						if location != "" {
							w.Header().Set("Location", location)
						}
						w.WriteHeader(status)
					}
				}))
				defer server.Close()
				registries := []issuers.Trust{
					trusted(server, nil), trusted(other, nil),
					{Registry: connector.Registry{Host: plain.Listener.Addr().String(), PlainHTTP: true}},
				}
				c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: registries})
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/start", strings.NewReader("password=x"))
				if err != nil {
					t.Fatal(err)
				}
				req.SetBasicAuth("user", "password")
				_, err = issuers.Call(c, req, connector.NewSecret("password"))
				if test.want == "" {
					if err != nil {
						t.Error(err)
					}
				} else if err == nil || strings.ReplaceAll(err.Error(), server.Listener.Addr().String(), "HOST") != test.want {
					t.Errorf("got %v\nwant %s", err, test.want)
				}
				if reached.Load() > 0 {
					t.Error("another server was reached")
				}
			})
		}
	}
}

// TestProxyRules: a proxy hides where a call goes, so only what the operator
// named goes there; what NO_PROXY keeps from it is judged by its address.
func TestProxyRules(t *testing.T) {
	var seen atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
		seen.Store(&text)
		switch r.Host {
		case "login.test:443":
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(http.StatusFound)
		case "locked.test:443":
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
		}
	}))
	defer proxy.Close()
	dead := httptest.NewServer(http.HandlerFunc(fine))
	dead.Close()
	const unnamed = " is reached through an HTTP proxy, where its address cannot be checked: name it in --allowed-hosts"
	named := []string{"registry.test", "login.test", "locked.test", "*.corp.test", "10.0.0.7", "10.1.0.0/16", "127.0.0.0/8"}
	with := strings.Replace(proxy.URL, "http://", "http://proxy-user:pr0xyPa55@", 1)
	for name, test := range map[string]struct {
		proxy httpproxy.Config
		url   string
		seen  string // by the proxy
		want  string
	}{
		"plain HTTP, named":          {httpproxy.Config{HTTPProxy: with}, "http://registry.test/v2/", "GET http://registry.test/v2/ Basic cHJveHktdXNlcjpwcjB4eVBhNTU=", ""},
		"plain HTTP, not named":      {httpproxy.Config{HTTPProxy: with}, "http://evil.test/v2/", "", "host evil.test:80" + unnamed},
		"HTTPS, not named":           {httpproxy.Config{HTTPSProxy: with}, "https://evil.test/", "", "host evil.test:443" + unnamed},
		"a longer name":              {httpproxy.Config{HTTPSProxy: with}, "https://a.b.corp.test/", "", "host a.b.corp.test:443" + unnamed},
		"a name with a user":         {httpproxy.Config{HTTPSProxy: with}, "https://registry.test@evil.test/", "", "address of host evil.test is refused: it holds a user name"},
		"an address, not named":      {httpproxy.Config{HTTPSProxy: with}, "https://10.0.0.8/", "", "host 10.0.0.8:443" + unnamed},
		"metadata":                   {httpproxy.Config{HTTPSProxy: with}, "https://169.254.169.254/", "", "host 169.254.169.254 is refused: it is a link-local or metadata address"},
		"mapped metadata":            {httpproxy.Config{HTTPSProxy: with}, "https://[::ffff:169.254.169.254]/", "", "host ::ffff:169.254.169.254 is refused: it is a link-local or metadata address"},
		"NAT64 metadata":             {httpproxy.Config{HTTPSProxy: with}, "https://[64:ff9b::a9fe:a9fe]/", "", "host 64:ff9b::a9fe:a9fe is refused: it is a link-local or metadata address inside an IPv6 address"},
		"an address with a zone":     {httpproxy.Config{HTTPSProxy: with}, "https://[fe80::1%25eth0]/", "", "host fe80::1%eth0 is refused: it is a link-local or metadata address"},
		"a decimal address":          {httpproxy.Config{HTTPSProxy: with}, "https://2852039166/", "", "host 2852039166 is refused: write addresses in their usual form"},
		"a hexadecimal address":      {httpproxy.Config{HTTPSProxy: with}, "https://0xa9fea9fe/", "", "host 0xa9fea9fe is refused: write addresses in their usual form"},
		"an octal address":           {httpproxy.Config{HTTPSProxy: with}, "https://0251.0376.0251.0376/", "", "host 0251.0376.0251.0376 is refused: write addresses in their usual form"},
		"an address with a dot":      {httpproxy.Config{HTTPSProxy: with}, "https://169.254.169.254./", "", "host 169.254.169.254. is refused: write addresses in their usual form"},
		"full-width digits":          {httpproxy.Config{HTTPSProxy: with}, "https://１６９.254.169.２５４/", "", "host １６９.254.169.２５４:443" + unnamed},
		"a name of other letters":    {httpproxy.Config{HTTPSProxy: with}, "https://rеgistry.test/", "", "host rеgistry.test:443" + unnamed},
		"a redirect by the proxy":    {httpproxy.Config{HTTPSProxy: with}, "https://login.test/", "CONNECT login.test:443 Basic cHJveHktdXNlcjpwcjB4eVBhNTU=", "the HTTP proxy of the driver's environment answers 302 when asked for a tunnel to login.test:443"},
		"a login that is refused":    {httpproxy.Config{HTTPSProxy: with}, "https://locked.test/", "CONNECT locked.test:443 Basic cHJveHktdXNlcjpwcjB4eVBhNTU=", "the HTTP proxy of the driver's environment answers 407 when asked for a tunnel to locked.test:443"},
		"a proxy that is not there":  {httpproxy.Config{HTTPSProxy: strings.Replace(dead.URL, "http://", "http://proxy-user:pr0xyPa55@", 1)}, "https://registry.test/", "", "the HTTP proxy of the driver's environment cannot be reached: connection refused"},
		"NO_PROXY, a loopback name":  {httpproxy.Config{HTTPSProxy: with, NoProxy: "127.0.0.0/8"}, "https://127.0.0.1:1/", "", "host 127.0.0.1 is refused: it is a loopback address"},
		"NO_PROXY, metadata":         {httpproxy.Config{HTTPSProxy: with, NoProxy: "*"}, "https://169.254.169.254/", "", "host 169.254.169.254 is refused: it is a link-local or metadata address"},
		"loopback is never proxied":  {httpproxy.Config{HTTPSProxy: with}, "https://localhost:1/", "", "host localhost is refused: it is a loopback address"},
		"NO_PROXY, an unnamed host":  {httpproxy.Config{HTTPSProxy: with, NoProxy: "10.0.0.0/8"}, "https://10.0.0.8/", "", "host 10.0.0.8:443 is refused: --allowed-hosts does not name it"},
		"a scheme without a listing": {httpproxy.Config{HTTPSProxy: with}, "http://10.0.0.8/", "", "host 10.0.0.8:80 is refused: --allowed-hosts does not name it"},
	} {
		t.Run(name, func(t *testing.T) {
			seen.Store(nil)
			registries := []issuers.Trust{{Registry: connector.Registry{Host: "registry.test", PlainHTTP: true}}}
			for _, host := range []string{"evil.test", "10.0.0.8"} {
				registries = append(registries, issuers.Trust{Registry: connector.Registry{Host: host, PlainHTTP: true}})
			}
			c := client(t, issuers.Policy{AllowedHosts: named, Proxy: &test.proxy}, issuers.ClientOptions{Registries: registries})
			_, err := call(t.Context(), t, c, test.url)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
			if strings.Contains(got, "pr0xyPa55") {
				t.Error("the proxy's password is told")
			}
			if at := seen.Load(); (at == nil) != (test.seen == "") || at != nil && *at != test.seen {
				t.Errorf("the proxy saw %v, want %q", at, test.seen)
			}
		})
	}
}

// TestProxyThatIsNone: a proxy that cannot be understood is not passed over,
// and its password not told.
func TestProxyThatIsNone(t *testing.T) {
	_, err := issuers.NewGuard(issuers.Policy{Proxy: &httpproxy.Config{HTTPProxy: "http://[pr0xyPa55", HTTPSProxy: "http://u:pr0xyPa55@a b"}})
	const want = "HTTP_PROXY of the driver's environment is not the address of a proxy: write, for example, http://proxy.example.com:3128\n" +
		"HTTPS_PROXY of the driver's environment is not the address of a proxy: write, for example, http://proxy.example.com:3128"
	if !errors.Is(err, connector.ErrInvalid) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	for _, good := range []string{"", "http://proxy.test:3128", "https://u:p@PROXY.test/", "proxy.test:3128", "proxy.test", "10.0.0.1:3128", "http://[::1]:3128", "socks5://proxy.test:1080"} {
		if _, err := issuers.NewGuard(issuers.Policy{Proxy: &httpproxy.Config{HTTPProxy: good, HTTPSProxy: good}}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// TestNoHandshake: a server that takes a connection and never speaks TLS.
func TestNoHandshake(t *testing.T) {
	host := speak(t, func(ctx context.Context, _ net.Conn) { <-ctx.Done() })
	c := client(t, loopbackAllowed, issuers.ClientOptions{Timeout: 200 * time.Millisecond})
	_, err := call(t.Context(), t, c, "https://"+host+"/")
	refused(t, err, issuers.Retryable, "Timeout", "host HOST gave no complete answer in time", host)
}

// TestEchoIsNotLogged: package http logs what a server sends beyond its answer
// on a connection that is kept; a login in it would be in the driver's log.
func TestEchoIsNotLogged(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	host := speak(t, then(say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), say("HTTP/1.1 200 OK\r\nX-Echo: "+strings.Repeat("hunter2 ", 100))))
	plain := issuers.Trust{Registry: connector.Registry{Host: host, PlainHTTP: true}}
	for range 50 {
		c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{plain}})
		if _, err := call(t.Context(), t, c, "http://"+host+"/"); err != nil && issuers.ClassOf(err) != issuers.Retryable {
			t.Fatal(err)
		}
	}
	if strings.Contains(logged.String(), "hunter2") {
		t.Errorf("logged: %s", &logged)
	}
}
