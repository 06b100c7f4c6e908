package issuers

import (
	"crypto/tls"
	"crypto/x509"
)

// tlsFor is for one declared registry alone.
func tlsFor(t Trust) (*tls.Config, error) {
	config, err := tlsForOthers([]Trust{t})
	if err != nil {
		return nil, err
	}
	config.InsecureSkipVerify = t.TLS.InsecureSkipVerify
	if len(t.ClientCertificate) > 0 {
		pair, err := tls.X509KeyPair(t.ClientCertificate, []byte(t.ClientKey.Reveal()))
		if err != nil {
			// The library's text is left out: it may quote what it could not parse.
			return nil, Terminate("ClientCertificateInvalid", "the client certificate for host %s does not go with its key", t.Host)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// tlsForOthers is for hosts that the Connector does not declare. The token
// server that a registry names often has its certificate from the same private
// CA, so the Connector's CAs count there too; the client certificate and a
// skipped verification do not.
func tlsForOthers(registries []Trust) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, r := range registries {
		if len(r.CA) == 0 {
			continue
		}
		if config.RootCAs == nil {
			roots, err := x509.SystemCertPool()
			if err != nil {
				roots = x509.NewCertPool() // an image without roots trusts what the Connector says
			}
			config.RootCAs = roots
		}
		if !config.RootCAs.AppendCertsFromPEM(r.CA) {
			return nil, Terminate("CAInvalid", "the CA for host %s holds no valid CERTIFICATE block", r.Host)
		}
	}
	return config, nil
}
