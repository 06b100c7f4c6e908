package issuers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Trust is what a registry's TLS settings come to once the objects that they
// name are read.
type Trust struct {
	connector.Registry
	CA                []byte           // PEM, CERTIFICATE blocks only; nil = public trust
	ClientCertificate []byte           // PEM
	ClientKey         connector.Secret // PEM
}

// equal reports whether both are verified, and answered, alike.
func (t Trust) equal(o Trust) bool {
	return t.TLS.InsecureSkipVerify == o.TLS.InsecureSkipVerify && bytes.Equal(t.CA, o.CA) &&
		bytes.Equal(t.ClientCertificate, o.ClientCertificate) && t.ClientKey.Equal(o.ClientKey)
}

// The keys of a kubernetes.io/tls Secret.
const (
	tlsSecretType = "kubernetes.io/tls"
	tlsCertKey    = "tls.crt"
	tlsKeyKey     = "tls.key"
)

// ResolveTrust reads what the registries' TLS settings name. An error names the
// registry and the object; it is retryable when the object is missing and
// terminal when its content is wrong.
func ResolveTrust(ctx context.Context, objects Objects, registries []connector.Registry) ([]Trust, error) {
	resolved := make([]Trust, 0, len(registries))
	for _, r := range registries {
		t := Trust{Registry: r}
		var err error
		if t.CA, err = certificates(ctx, objects, r.TLS); err != nil {
			return nil, fmt.Errorf("registry %s: %w", r.Host, err)
		}
		if name := r.TLS.ClientCertificateSecret; name != "" {
			if t.ClientCertificate, t.ClientKey, err = clientPair(ctx, objects, name); err != nil {
				return nil, fmt.Errorf("registry %s: %w", r.Host, err)
			}
		}
		resolved = append(resolved, t)
	}
	return resolved, nil
}

func certificates(ctx context.Context, objects Objects, t connector.TLS) ([]byte, error) {
	kind, ref := connector.KindConfigMap, t.CAConfigMap
	switch {
	case t.CABundle != "":
		return []byte(t.CABundle), nil
	case t.CASecret != nil:
		kind, ref = connector.KindSecret, t.CASecret
	case ref == nil:
		return nil, nil
	}
	object, err := objects.Object(ctx, kind, ref.Name)
	if err != nil {
		return nil, missing("CANotFound", "the CA", kind, ref.Name, err)
	}
	text, ok := object.Data[ref.Key]
	if !ok {
		return nil, Terminate("CAInvalid", "%s %q has no key %q for the CA", kind, ref.Name, ref.Key)
	}
	pem, err := connector.Certificates([]byte(text.Reveal()))
	if err != nil {
		return nil, Terminate("CAInvalid", "key %q of %s %q is no CA: %w", ref.Key, kind, ref.Name, err)
	}
	return pem, nil
}

func clientPair(ctx context.Context, objects Objects, name string) ([]byte, connector.Secret, error) {
	object, err := objects.Object(ctx, connector.KindSecret, name)
	if err != nil {
		return nil, connector.Secret{}, missing("ClientCertificateNotFound", "the client certificate", connector.KindSecret, name, err)
	}
	cert, key := object.Data[tlsCertKey], object.Data[tlsKeyKey]
	if object.Type != tlsSecretType {
		return nil, connector.Secret{}, Terminate("ClientCertificateInvalid", "Secret %q is of type %q, a client certificate needs %s", name, object.Type, tlsSecretType)
	}
	if _, err := tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal())); err != nil {
		// The library's text is left out: it may quote what it could not parse.
		return nil, connector.Secret{}, Terminate("ClientCertificateInvalid", "%s and %s of Secret %q are no certificate and its key", tlsCertKey, tlsKeyKey, name)
	}
	pem, err := connector.Certificates([]byte(cert.Reveal()))
	if err != nil {
		return nil, connector.Secret{}, Terminate("ClientCertificateInvalid", "%s of Secret %q: %w", tlsCertKey, name, err)
	}
	return pem, key, nil
}

func missing(reason, what string, kind connector.ObjectKind, name string, err error) error {
	if errors.Is(err, connector.ErrNotFound) {
		return Retry(0, reason, "%s %q for %s does not exist in the Connector's namespace", kind, name, what).Because(err)
	}
	return Retry(0, reason, "reading %s from %s %q: %w", what, kind, name, err)
}
