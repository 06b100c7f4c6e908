package abuse

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// keyCanary is a private key with its certificate; the search is for a line
// of the key.
func keyCanary(t *testing.T) canary {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	// The second line is the key itself; the first is alike in all keys.
	line := strings.Split(text, "\n")[2]
	return watch("client key", line[8:40], text)
}

func connectorOf(name, issuer string, spec ...string) string {
	more := ""
	for _, line := range spec {
		more += "  " + line + "\n"
	}
	if !strings.Contains(more, "address:") && !strings.Contains(more, "registries:") {
		more += "  address: https://registry.example.com\n"
	}
	return fmt.Sprintf("---\napiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: %s, namespace: ci}\nspec:\n%s  issuer:\n    %s\n", name, more, issuer)
}

// secretOf writes a Secret; labels make an Opaque one offered to its namesake.
func secretOf(kind, name string, data map[string]string) string {
	encoded := map[string]string{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	manifest, _ := json.Marshal(map[string]any{ // of strings it cannot fail
		"apiVersion": "v1", "kind": "Secret", "type": kind, "data": encoded,
		"metadata": map[string]any{"name": name, "namespace": "ci", "labels": map[string]string{"regcred.dev/connector": name}},
	})
	return "---\n" + string(manifest) + "\n"
}

func basicAuth(name, password string) string {
	return secretOf("kubernetes.io/basic-auth", name, map[string]string{"username": "robot", "password": password})
}

// docker writes auths of a docker configuration.
func dockerConfig(auths map[string]any) string {
	text, _ := json.Marshal(map[string]any{"auths": auths}) // of strings it cannot fail
	return string(text)
}

// manifests are Connectors that work, Connectors that do not, and files that
// nobody can read.
func (s *secrets) manifests(t *testing.T, host string) string {
	t.Helper()
	login := base64.StdEncoding.EncodeToString([]byte("robot:" + s.dockerAuth.text))
	local := `address: "http://` + host + `"`
	all := []string{
		basicAuth("basic", s.basic.text), connectorOf("basic", `secret: {name: basic}`),
		secretOf("kubernetes.io/dockerconfigjson", "docker", map[string]string{".dockerconfigjson": dockerConfig(map[string]any{
			"registry.example.com": map[string]string{"auth": login},
			"tokens.example.com":   map[string]string{"registrytoken": s.dockerToken.text},
			"refresh.example.com":  map[string]string{"identitytoken": s.dockerIdentity.text},
		})}), connectorOf("docker", `secret: {name: docker}`),
		secretOf("Opaque", "opaque", map[string]string{"username": "robot", "password": s.opaque.text}), connectorOf("opaque", `secret: {name: opaque}`),
		secretOf("Opaque", "env", map[string]string{
			"IMGPKG_REGISTRY_HOSTNAME_0": "registry.example.com", "IMGPKG_REGISTRY_USERNAME_0": "robot", "IMGPKG_REGISTRY_PASSWORD_0": s.env.text,
		}), connectorOf("env", `env: {secretRef: {name: env}}`),
		secretOf("Opaque", "config", map[string]string{"config.json": dockerConfig(map[string]any{
			"registry.example.com": map[string]string{"username": "robot", "password": s.config.text},
		})}), connectorOf("config", `dockerConfig: {secretRef: {name: config, key: config.json}}`),
		basicAuth("login", s.login.text),
		connectorOf("tokens", `distributionToken: {secretRef: {name: login}, output: registryToken, minimumLife: 1s}`, local),
		connectorOf("identity", `distributionToken: {secretRef: {name: login}, output: identityToken}`, local, "allowLongLived: true"),
		secretOf("kubernetes.io/tls", "client-key", map[string]string{"tls.key": s.clientKey.text, "tls.crt": s.clientKey.text}),
		connectorOf("client-key", `secret: {name: basic}`, "registries:", "- host: registry.example.com",
			"  tls: {clientCertificateSecretRef: {name: client-key}, deliverClientCertificate: true}"),
	}
	for kind, manifest := range wrongSecrets(s) {
		issuer := `secret: {name: %s}`
		if strings.HasPrefix(kind, "wrong-env") {
			issuer = `env: {secretRef: {name: %s}}`
		}
		all = append(all, manifest+connectorOf(kind, fmt.Sprintf(issuer, kind)))
	}
	for _, kind := range reflections() {
		all = append(all, connectorOf("reflect-"+kind, fmt.Sprintf(`distributionToken: {secretRef: {name: login}, output: registryToken, clientID: reflect-%s}`, kind), local, `scope: {repositories: ["team/app"]}`))
	}
	return strings.Join(all, "")
}

// wrongSecrets are Secrets that cannot be used, by the name of Secret and
// Connector. It adds their canaries the first time.
func wrongSecrets(s *secrets) map[string]string {
	if len(s.misplaced) == 0 {
		for _, kind := range []string{"malformed docker configuration", "auth without colon", "auth that is no base64", "password without a user", "unknown type", "unlabelled", "bad host", "control characters", "bad variables"} {
			s.misplaced = append(s.misplaced, newCanary(kind))
		}
	}
	text := func(i int) string { return s.misplaced[i].text }
	plain := func(i int) string { return s.misplaced[i].core }
	const docker = "kubernetes.io/dockerconfigjson"
	return map[string]string{
		"wrong-json":      secretOf(docker, "wrong-json", map[string]string{".dockerconfigjson": `{"auths":{"a":{"password":` + text(0)}),
		"wrong-shape":     secretOf(docker, "wrong-shape", map[string]string{".dockerconfigjson": `{"auths":{"registry.example.com":"` + plain(0) + `"}}`}),
		"wrong-auth":      secretOf(docker, "wrong-auth", map[string]string{".dockerconfigjson": dockerConfig(map[string]any{"registry.example.com": map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(text(1)))}})}),
		"wrong-base64":    secretOf(docker, "wrong-base64", map[string]string{".dockerconfigjson": dockerConfig(map[string]any{"registry.example.com": map[string]string{"auth": "%%%" + text(2)}})}),
		"wrong-nouser":    secretOf("kubernetes.io/basic-auth", "wrong-nouser", map[string]string{"password": text(3)}),
		"wrong-type":      secretOf("example.com/other", "wrong-type", map[string]string{"username": "u", "password": text(4)}),
		"wrong-label":     strings.Replace(secretOf("Opaque", "wrong-label", map[string]string{"username": "u", "password": text(5)}), `"regcred.dev/connector":"wrong-label"`, `"regcred.dev/connector":"other"`, 1),
		"wrong-host":      secretOf(docker, "wrong-host", map[string]string{".dockerconfigjson": dockerConfig(map[string]any{"ht!tp://u:" + plain(6) + "@": map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("u:" + text(6)))}})}),
		"wrong-env-index": secretOf("Opaque", "wrong-env-index", map[string]string{"IMGPKG_REGISTRY_HOSTNAME_x": plain(8), "IMGPKG_REGISTRY_PASSWORD_x": text(8)}),
		"wrong-env-host":  secretOf("Opaque", "wrong-env-host", map[string]string{"IMGPKG_REGISTRY_HOSTNAME_0": "https://u:" + plain(8) + "@a b", "IMGPKG_REGISTRY_PASSWORD_0": text(8)}),
		"wrong-env-alone": secretOf("Opaque", "wrong-env-alone", map[string]string{"IMGPKG_REGISTRY_PASSWORD_0": text(8)}),
		"wrong-control":   secretOf("kubernetes.io/basic-auth", "wrong-control", map[string]string{"username": "u", "password": text(7) + "\x00\n"}),
	}
}

// brokenManifests are files that are wrong, with a secret where a careless
// error text would quote it.
func (s *secrets) brokenManifests() map[string]string {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: broken, namespace: ci}\n"
	connector := func(spec string) string {
		return "apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: broken, namespace: ci}\nspec: " + spec + "\n"
	}
	files := map[string]string{}
	for name, write := range map[string]func(text string) string{
		"unclosed":  func(c string) string { return secret + "stringData: {password: \"" + c },
		"base64":    func(c string) string { return secret + "data: {password: '%%" + c + "'}\n" },
		"list":      func(c string) string { return secret + "stringData: {password: [" + c + "]}\n" },
		"unknown":   func(c string) string { return secret + "pasword: " + c + "\n" },
		"twice":     func(c string) string { return secret + "stringData: {password: " + c + ", password: " + c + "}\n" },
		"alias":     func(c string) string { return secret + "stringData: {password: *" + c + "}\n" },
		"tag":       func(c string) string { return secret + "stringData: {password: !!int " + c + "}\n" },
		"own-tag":   func(c string) string { return secret + "stringData: {password: !" + c + " x}\n" },
		"binary":    func(c string) string { return secret + "stringData: {password: !!binary " + c + "%}\n" },
		"directive": func(c string) string { return "%" + c + " 1\n---\n" + secret },
		"template":  func(c string) string { return secret + "stringData: {password: {{" + c + "}}}\n" },
		"colon":     func(c string) string { return secret + "stringData:\n  password:" + c + "\n  user: x\n" },
		"block":     func(c string) string { return secret + "stringData:\n  password: |" + c + "\n" },
		"merge":     func(c string) string { return secret + "stringData: {<<: " + c + "}\n" },
		"json": func(c string) string {
			return `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"broken","namespace":"ci"},"stringData":{"password":"` + c + `"x}}`
		},
		"kind":        func(c string) string { return "apiVersion: v1\nkind: {secret: " + c + "}\n" },
		"no-manifest": func(c string) string { return c },
		"address": func(c string) string {
			return connector("{address: 'https://robot:" + c + "@registry.example.com', issuer: {secret: {name: x}}}")
		},
		"config": func(c string) string {
			return connector("{address: a.example.com, issuer: {secret: {name: x, password: " + c + "}}}")
		},
		"issuer": func(c string) string { return connector("{address: a.example.com, issuer: {secret: " + c + "}}") },
		"ca": func(c string) string {
			return connector("{registries: [{host: a.example.com, tls: {caBundle: " + c + "}}], issuer: {secret: {name: x}}}")
		},
	} {
		c := plainCanary("secret in a broken manifest: " + name)
		s.misplaced = append(s.misplaced, c)
		files["broken-"+name] = write(c.text)
	}
	return files
}
