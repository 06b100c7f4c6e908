package connector

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
)

// Certificates parses PEM text and encodes its CERTIFICATE blocks afresh:
// nothing else that the text may hold (keys, comments) goes any further. Text
// without a certificate, or with a broken one, is ErrInvalid.
func Certificates(text []byte) ([]byte, error) {
	var out bytes.Buffer
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, Errorf(ErrInvalid, "a CERTIFICATE block does not hold a certificate: %w", err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, Errorf(ErrInvalid, "there is no PEM CERTIFICATE block")
	}
	return out.Bytes(), nil
}
