package abuse

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

// server answers everything in one way and counts.
type server struct {
	*httptest.Server
	calls atomic.Int64
}

func serve(t *testing.T, answer func(http.ResponseWriter)) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.calls.Add(1)
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) host() string { return strings.TrimPrefix(s.URL, "http://") }

// answering is an answer of a status with headers in pairs and a body.
func answering(status int, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may have gone
	}
}

func challenge(realm string) func(http.ResponseWriter) {
	return answering(http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer realm="`+realm+`",service="x"`)
}

// author is an attack by who may write Connectors in a namespace: what the
// Connector says, and the answer to a pod that uses it.
type author struct {
	name string
	spec []string // beside the issuer
	// issuer is by default an anonymous call of the registry.
	issuer     string
	attributes map[string]string
	code       codes.Code
	told       string // the whole message; CONNECTOR and HOST stand for what the test chose
}

const (
	anonymously = `distributionToken: {output: registryToken}`
	asks        = "connector CONNECTOR: obtaining a credential for ServiceAccount ci/builder: "
)

// host is the registry's address in the Connector.
func (a author) host() string {
	_, host, _ := strings.Cut(strings.Join(a.spec, ""), "http://")
	host, _, _ = strings.Cut(host, `"`)
	return host
}

// hosts are servers on loopback: those that the operator allows, and one that
// is nobody's business.
type hosts struct {
	t       *testing.T
	allowed []string
	closed  *server
	secret  canary // of services that Connectors must not read
}

// at makes an allowed server, and the address of a Connector for it.
func (h *hosts) at(answer func(http.ResponseWriter)) string {
	s := serve(h.t, answer)
	h.allowed = append(h.allowed, s.host())
	return address(s.URL)
}

func address(url string) string { return `address: "` + url + `"` }

// network is what a Connector's author can try to reach or read.
func (h *hosts) network() []author {
	refused := func(name, what string) string { return asks + "host " + name + " is refused: it is " + what }
	var all []author
	v6 := hasIPv6(h.t)
	for host, what := range map[string]string{
		"169.254.169.254": "a link-local or metadata address", "100.100.100.200": "a metadata address", "168.63.129.16": "a metadata address",
		"192.0.0.192": "a metadata address", "0.0.0.0": "an unspecified address", "[fd00:ec2::254]": "a metadata address",
		"[fe80::1]": "a link-local or metadata address", "[::]": "an unspecified address",
		"[64:ff9b::a9fe:a9fe]": "a link-local or metadata address inside an IPv6 address",
		"[2002:a9fe:a9fe::]":   "a link-local or metadata address inside an IPv6 address",
		"[::1]":                "a loopback address", "127.0.0.2": "a loopback address",
	} {
		if strings.HasPrefix(host, "[") && !v6 {
			h.t.Logf("this machine has no IPv6, so nobody can try %s", host)
			continue
		}
		all = append(all, author{name: "address " + host, spec: []string{address("http://" + host)}, told: refused(strings.Trim(host, "[]"), what)})
	}
	realm := func(realm string) []string { return []string{h.at(challenge(realm))} }
	read := func(answer func(http.ResponseWriter)) []string { return []string{h.at(answer)} }
	internal := `{"password":"` + h.secret.text + `","items":["` + h.secret.core + `"]}`
	noRegistry := func(length int, kind, status string) string {
		return asks + "asking registry HOST for its token server: host HOST answers status " + status + ", " + kind + ", " + fmt.Sprint(length) + " bytes (HTTP " + status + ")"
	}
	return append(all, []author{
		{
			name: "metadata address in IPv6 clothes", spec: []string{address("http://[::ffff:169.254.169.254]")},
			told: `connector CONNECTOR: spec.address: registry host "[::ffff:169.254.169.254]": what stands in brackets is no IPv6 address: write, for example, [2001:db8::1]`,
		},
		{name: "loopback that is not named", spec: []string{address(h.closed.URL)}, told: refused("127.0.0.1", "a loopback address")},
		{name: "loopback by name", spec: []string{address("http://localhost:" + h.closed.URL[strings.LastIndex(h.closed.URL, ":")+1:])}, told: refused("localhost", "a loopback address")},
		{name: "realm at metadata", spec: realm("http://169.254.169.254/latest/meta-data"), told: refused("169.254.169.254", "a link-local or metadata address")},
		{name: "realm at a closed service", spec: realm(h.closed.URL + "/token"), told: refused("127.0.0.1", "a loopback address")},
		{name: "realm that is a file", spec: realm("file:///etc/passwd"), told: asks + `registry HOST names no valid token server: its Bearer challenge needs realm="https://HOST/PATH"`},
		{name: "realm with a login", spec: realm("http://u:" + h.secret.core + "@x.example.com/"), told: asks + `registry HOST names no valid token server: its Bearer challenge needs realm="https://HOST/PATH"`},
		{name: "redirect to metadata", spec: read(answering(302, "", "Location", "http://169.254.169.254/")), told: asks + "host HOST redirects to another origin, which is not followed: write the final address in the Connector"},
		{name: "redirect to a closed service", spec: read(answering(307, "", "Location", h.closed.URL)), told: asks + "host HOST redirects to another origin, which is not followed: write the final address in the Connector"},
		{name: "a service that answers in text", spec: read(answering(500, h.secret.text, "Content-Type", "text/plain")), code: codes.Unavailable, told: noRegistry(len(h.secret.text), "text/plain", "500")},
		{name: "a service that answers a page", spec: read(answering(403, "<p>"+h.secret.text, "Content-Type", "text/html")), told: noRegistry(len("<p>"+h.secret.text), "text/html", "403")},
		{name: "a service that answers JSON", spec: read(answering(400, internal, "Content-Type", "application/json")), told: noRegistry(len(internal), "application/json", "400")},
		{name: "a service that is no registry", spec: read(answering(200, internal, "Content-Type", "application/json")), told: asks + "host HOST answers /v2/ without asking for a login: pods need no credential for it"},
		{name: "a service with its secret in a header", spec: read(answering(401, "", "WWW-Authenticate", "Bearer realm="+h.secret.core)), told: asks + `registry HOST names no valid token server: its Bearer challenge needs realm="https://HOST/PATH"`},
		{name: "a service with another challenge", spec: read(answering(401, "", "WWW-Authenticate", `Negotiate `+h.secret.core)), told: asks + "registry HOST answers 401 without a Bearer challenge: its token authentication is not set up"},
	}...)
}

// hasIPv6 reports whether the kernel makes such sockets.
func hasIPv6(t *testing.T) bool {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp6", "[::]:0")
	if err != nil {
		return false
	}
	must(t, listener.Close())
	return true
}

// objects are what a Connector's author can try to have read.
func objects() []author {
	const missing = asks + `Secret "other" does not exist in the Connector's namespace`
	const notOffered = asks + `Secret "opaque" is Opaque and not offered to this Connector: its owner must label it regcred.dev/connector: NAME`
	const spec = "connector CONNECTOR: spec.issuer.secret"
	tls := func(reference string) []string {
		return []string{"registries:", "- host: a.example.com", "  tls: {" + reference + "}"}
	}
	return []author{
		{name: "a Secret of another namespace", issuer: `secret: {name: other}`, code: codes.Unavailable, told: missing},
		{name: "a Secret by a path", issuer: `secret: {name: ../other/other}`, told: spec + `.name: "../other/other" is not the name of a Secret`},
		{name: "a Secret with a namespace", issuer: `secret: {name: other, namespace: other}`, told: spec + ".namespace: unknown field; known are expiresAnnotation, name, requireSingleEntry, selector"},
		{name: "an Opaque Secret that is not offered", issuer: `secret: {name: opaque}`, told: notOffered},
		{name: "Opaque Secrets by label", issuer: `secret: {selector: {matchLabels: {team: ci}}}`, told: notOffered},
		{name: "every Secret", issuer: `secret: {selector: {}}`, told: spec + ".selector: an empty selector chooses everything: write matchLabels or matchExpressions"},
		{name: "a ServiceAccount's token", issuer: `secret: {name: sa-token}`, told: asks + `Secret "sa-token" is of type "kubernetes.io/service-account-token": use kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg, kubernetes.io/basic-auth, cpaas.io/distribution-registry-token or a labelled Opaque one`},
		{name: "a login of another namespace", spec: []string{`scope: {repositories: ["team/app"]}`}, issuer: `distributionToken: {secretRef: {name: other}, output: registryToken}`, code: codes.Unavailable, told: missing},
		{name: "a password as a CA", spec: tls("caSecretRef: {name: opaque, key: password}"), issuer: `secret: {name: basic}`, told: asks + `registry a.example.com: key "password" of Secret "opaque" is no CA: there is no PEM CERTIFICATE block`},
		{name: "a password as a client certificate", spec: tls("clientCertificateSecretRef: {name: opaque}"), issuer: `secret: {name: basic}`, told: asks + `registry a.example.com: Secret "opaque" is of type "Opaque", a client certificate needs kubernetes.io/tls`},
	}
}

// wishes are what a pod's author can try to get beyond the Connector's scope.
func wishes(address string) []author {
	scope := []string{address, `scope: {repositories: ["team/**"], actions: ["pull"]}`}
	wish := func(name string, code codes.Code, told string, attributes ...string) author {
		a := author{name: name, spec: scope, code: code, told: told, attributes: map[string]string{}}
		for i := 0; i < len(attributes); i += 2 {
			a.attributes[attributes[i]] = attributes[i+1]
		}
		return a
	}
	outside := func(repository string) string {
		return `connector CONNECTOR: repository "` + repository + `" is outside the Connector's spec.scope.repositories ["team/**"]`
	}
	malformed := func(repository string) string {
		return fmt.Sprintf("repositories: %q is not a repository or pattern: write lower-case segments without host, tag or digest, for example team/app, team/* or team/**", repository)
	}
	denied, invalid := codes.PermissionDenied, codes.InvalidArgument
	return []author{
		wish("everything", denied, outside("**"), "repositories", "**"),
		wish("every team", denied, outside("*/app"), "repositories", "*/app"),
		wish("a glob that begins alike", denied, outside("t*/app"), "repositories", "t*/app"),
		wish("a team that begins alike", denied, outside("team-evil/app"), "repositories", "team-evil/app"),
		wish("a glob of teams that begin alike", denied, outside("team*/app"), "repositories", "team*/app"),
		wish("one good, one not", denied, outside("evil/app"), "repositories", "team/app,evil/app"),
		wish("a way out", invalid, malformed("team/../evil/app"), "repositories", "team/../evil/app"),
		wish("capitals", invalid, malformed("TEAM/app"), "repositories", "TEAM/app"),
		wish("a scope in a scope", invalid, malformed("team/app:pull"), "repositories", "team/app:pull"),
		wish("a host in a repository", invalid, malformed("https://evil.example.com/app"), "repositories", "https://evil.example.com/app"),
		wish("a line break", invalid, malformed("team/app\nevil/app"), "repositories", "team/app\nevil/app"),
		wish("blanks", invalid, malformed("team/app repository:evil/app:pull"), "repositories", "team/app repository:evil/app:pull"),
		wish("another action", denied, `connector CONNECTOR: action "push" is outside the Connector's spec.scope.actions ["pull"]`, "repositories", "team/app", "actions", "pull,push"),
		wish("every action", invalid, `actions: "*" is not a list of actions: write "pull" or "pull,push"`, "repositories", "team/app", "actions", "*"),
		wish("an empty list", invalid, "repositories: is empty: give it a value or leave it out", "repositories", " "),
		wish("another Connector's name", invalid, `repositories.other: no connector is written "other" in this volume: write repositories.NAME`, "repositories.other", "evil/app"),
		wish("a scope of its own", invalid, "scope: is not a volume attribute", "scope", "evil/**"),
		wish("a long life", invalid, `token.minimum: "-1h" is not a positive duration: write, for example, "90s" or "1h30m"`, "token.minimum", "-1h"),
	}
}

// Who writes Connectors reads neither services nor Secrets through them, and
// who writes pods gets no more than the Connector has. The driver is the
// product, at its default verbosity.
func TestConnectorAuthors(t *testing.T) {
	p := provider.Start(provider.Options{Life: time.Minute})
	t.Cleanup(p.Close)
	h := &hosts{t: t, secret: newCanary("internal service's secret")}
	h.closed = serve(t, answering(200, h.secret.text))
	h.allowed = []string{p.Host()}
	foreign, opaque := newCanary("Secret of another namespace"), newCanary("Secret that is not offered")
	manifests := []string{
		strings.ReplaceAll(basicAuth("other", foreign.text), `"namespace":"ci"`, `"namespace":"other"`),
		basicAuth("basic", "harmless"),
		strings.ReplaceAll(secretOf("Opaque", "opaque", map[string]string{"username": "u", "password": opaque.text}), `"regcred.dev/connector":"opaque"`, `"team":"ci"`),
		secretOf("kubernetes.io/service-account-token", "sa-token", map[string]string{"token": opaque.core}),
	}
	attacks := append(append(h.network(), objects()...), wishes(address("http://"+p.Host()))...)
	for i, a := range attacks {
		issuer := a.issuer
		if issuer == "" {
			issuer = anonymously
		}
		if !strings.Contains(strings.Join(a.spec, ""), "scope:") && issuer == anonymously {
			a.spec = append(a.spec, `scope: {repositories: ["team/app"]}`)
		}
		manifests = append(manifests, connectorOf(fmt.Sprintf("attack-%d", i), issuer, a.spec...))
	}
	n := start(t, setup{
		program: product(t), manifests: map[string]string{"all": strings.Join(manifests, "")},
		flags: []string{"--allowed-hosts=10.0.0.0/8,169.254.0.0/16,*.example.com," + strings.Join(h.allowed, ",")},
	})
	for i, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			name := fmt.Sprintf("attack-%d", i)
			v := kubelet.Volume{Namespace: "ci", Pod: name, ServiceAccount: "builder", Name: "registry", Attributes: map[string]string{"connectors": name}}
			maps.Copy(v.Attributes, a.attributes)
			err := n.publish(v)
			code := a.code
			if code == codes.OK {
				code = codes.FailedPrecondition
			}
			refused(t, err, code)
			want := strings.NewReplacer("CONNECTOR", "ci/"+name, "NAME", name, "https://HOST/PATH", "https://HOST/PATH", "HOST", a.host()).Replace(a.told)
			if diff := cmp.Diff(want, status.Convert(err).Message()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	n.shown().free(t, "attacked", []canary{h.secret, foreign, opaque})
	if calls := h.closed.calls.Load(); calls != 0 {
		t.Errorf("the closed service was called %d times", calls)
	}
	if shown := p.Arrivals(); len(shown) != 0 {
		t.Errorf("the provider was asked %d times for what no Connector has", len(shown))
	}
}
