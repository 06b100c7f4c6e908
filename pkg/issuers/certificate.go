package issuers

import (
	"crypto/x509"
	"errors"
)

// x509Problem names the usual reasons why a certificate does not verify,
// without quoting what the host chose to put in it.
func x509Problem(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "its authority is unknown"
	case errors.As(err, &name):
		return "it is for another host name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	default:
		return "it does not verify"
	}
}
