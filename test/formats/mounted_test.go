package formats

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mounted is a golden volume on a disk, for readers that load certificates:
// real ones stand there for those of the case, under the same names.
type mounted struct {
	root  string
	key   *ecdsa.PrivateKey
	certs map[string]*x509.Certificate // by name
}

func mount(t *testing.T, v volume) *mounted {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{root: t.TempDir(), key: key, certs: make(map[string]*x509.Certificate)}
	for file, data := range v {
		switch {
		case path.Ext(file) == ".key":
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			data = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		case isPEM(file):
			data = m.realPEM(t, data)
		}
		at := filepath.Join(m.root, file)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *mounted) realPEM(t *testing.T, text []byte) []byte {
	t.Helper()
	var out []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		name := string(bytes.TrimPrefix(block.Bytes, []byte("certificate of ")))
		if m.certs[name] == nil {
			m.certs[name] = m.selfSigned(t, name)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.certs[name].Raw})...)
	}
	return out
}

// standIn is the certificate of a case, as the golden files have it.
func standIn(name string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("certificate of " + name)})
}

func (m *mounted) selfSigned(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(m.certs) + 1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, m.key.Public(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trust is what a TLS configuration makes of the volume's certificates.
type trust struct {
	CAs      []string // names, sorted
	Client   string
	Insecure bool
}

func (m *mounted) trust(t *testing.T, c *tls.Config) trust {
	t.Helper()
	got := trust{Insecure: c.InsecureSkipVerify}
	for name, certificate := range m.certs {
		options := x509.VerifyOptions{Roots: c.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := certificate.Verify(options); c.RootCAs != nil && err == nil {
			got.CAs = append(got.CAs, name)
		}
	}
	slices.Sort(got.CAs)
	var names []string
	for _, pair := range c.Certificates {
		names = append(names, pair.Leaf.Subject.CommonName)
	}
	got.Client = strings.Join(names, " and ")
	return got
}
