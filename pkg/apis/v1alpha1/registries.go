package v1alpha1

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// The limits of what is said of registries, as the API has them.
const (
	maxRegistries = 64
	maxMirrors    = 16
	maxMirrorURL  = 1024
	maxCABundle   = 256 << 10
)

// registries converts address or registries, which say the same.
func (m *mistakes) registries(spec *ConnectorSpec) []connector.Registry {
	var out []connector.Registry
	if spec.Address != "" {
		out = append(out, m.address("spec.address", spec.Address))
		if len(spec.Registries) > 0 {
			m.add("spec.address", "is short for one item of spec.registries: write one of both")
			out = nil
		}
	}
	for i, r := range limited(m, "spec.registries", spec.Registries, maxRegistries) {
		path := fmt.Sprintf("spec.registries[%d]", i)
		host := m.host(path+".host", r.Host)
		if first := slices.IndexFunc(out, func(o connector.Registry) bool { return o.Host == host }); host != "" && first >= 0 {
			m.add(path+".host", "is the same host as that of spec.registries[%d]: keep one", first)
		}
		if r.PlainHTTP && r.TLS != nil {
			m.add(path+".tls", "plain HTTP has no TLS: remove tls or plainHTTP")
		}
		out = append(out, connector.Registry{
			Host: host, PlainHTTP: r.PlainHTTP, TLS: m.tls(path+".tls", r.TLS), Mirrors: m.mirrors(path+".mirrors", r.Mirrors),
		})
	}
	return out
}

func (m *mistakes) address(path, written string) connector.Registry {
	if strings.Contains(written, "@") { // nothing of it is quoted
		m.add(path, "must not hold a user or password: write https://host or host:port")
		return connector.Registry{}
	}
	scheme, rest, ok := strings.Cut(written, "://")
	if !ok {
		scheme, rest = "https", written
	}
	scheme = strings.ToLower(scheme)
	if scheme != "https" && scheme != "http" {
		m.add(path, "the scheme must be https or http")
	}
	host, repository, _ := strings.Cut(rest, "/")
	if repository != "" {
		m.add(path, "a registry is a host without a path: limit repositories by spec.scope")
	}
	return connector.Registry{Host: m.host(path, host), PlainHTTP: scheme == "http"}
}

// host gives the canonical form. What looks like user:password@host is not
// quoted.
func (m *mistakes) host(path, written string) string {
	if strings.Contains(written, "@") {
		m.add(path, "must not hold a user or password: write host or host:port")
		return ""
	}
	host, err := connector.CanonicalHost(written)
	switch {
	case err != nil:
		m.add(path, "%s", detail(err))
	case strings.Contains(host, "*"):
		m.add(path, "%q is a pattern: list each host", written)
	}
	return host
}

// mirrorURL has no place for a user, a query or a fragment.
var mirrorURL = regexp.MustCompile(`^[hH][tT][tT][pP][sS]?://[^/?#@\s]+(/([!-"$&->@-~]|%[0-9A-Fa-f]{2})*)?$`)

// mirrors keeps the host as written, because an alias of Docker Hub in a URL
// is the server that answers.
func (m *mistakes) mirrors(path string, written []Mirror) []string {
	var out []string
	for i, mirror := range limited(m, path, written, maxMirrors) {
		at := fmt.Sprintf("%s[%d].url", path, i)
		u, err := url.Parse(mirror.URL)
		if err != nil || len(mirror.URL) > maxMirrorURL || !mirrorURL.MatchString(mirror.URL) {
			m.add(at, "is no URL of a mirror: write, for example, https://harbor.example.com/dockerhub, without user, query and fragment")
			continue
		}
		m.host(at, u.Host)
		clean := strings.TrimSuffix(u.Scheme+"://"+strings.ToLower(u.Host)+u.EscapedPath(), "/")
		if slices.Contains(out, clean) {
			m.add(at, "comes twice: keep one")
		}
		out = append(out, clean)
	}
	return out
}

func (m *mistakes) tls(path string, t *TLS) connector.TLS {
	if t == nil {
		return connector.TLS{}
	}
	out := connector.TLS{
		CAConfigMap: m.key(path+".caConfigMapRef", t.CAConfigMapRef), CASecret: m.key(path+".caSecretRef", t.CASecretRef),
		InsecureSkipVerify: t.InsecureSkipVerify, DeliverClientCertificate: t.DeliverClientCertificate,
	}
	if count(t.CABundle != "", t.CAConfigMapRef != nil, t.CASecretRef != nil) > 1 {
		m.add(path, "write only one of caBundle, caConfigMapRef and caSecretRef")
	}
	if t.CABundle != "" {
		out.CABundle = m.certificates(path+".caBundle", t.CABundle)
	}
	if ref := t.ClientCertificateSecretRef; ref != nil {
		m.objectName(path+".clientCertificateSecretRef.name", ref.Name)
		out.ClientCertificateSecret = ref.Name
	} else if t.DeliverClientCertificate {
		m.add(path+".deliverClientCertificate", "needs clientCertificateSecretRef")
	}
	return out
}

// certificates keeps the certificates and nothing else of a bundle.
func (m *mistakes) certificates(path, bundle string) string {
	if strings.Contains(bundle, "PRIVATE KEY-----") {
		m.add(path, "holds a private key: remove it, and replace the key pair, since a manifest is no place for it")
	}
	if len(bundle) > maxCABundle {
		m.add(path, "is longer than %d KiB: keep the certificates of your own authorities", maxCABundle>>10)
		return ""
	}
	clean, err := connector.Certificates([]byte(bundle))
	if err != nil {
		m.add(path, "%s", detail(err))
	}
	return string(clean)
}

// defaultCAKey is where cert-manager and Kubernetes itself keep a CA.
const defaultCAKey = "ca.crt"

func (m *mistakes) key(path string, ref *KeyReference) *connector.ObjectKey {
	if ref == nil {
		return nil
	}
	m.objectName(path+".name", ref.Name)
	key := cmp.Or(ref.Key, defaultCAKey)
	if len(validation.IsConfigMapKey(key)) > 0 {
		m.add(path+".key", "%q is no key: use letters, digits, dashes, underscores and dots", key)
	}
	return &connector.ObjectKey{Name: ref.Name, Key: key}
}

func count(conditions ...bool) (n int) {
	for _, holds := range conditions {
		if holds {
			n++
		}
	}
	return n
}
