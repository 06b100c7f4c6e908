package render

import (
	"bytes"
	"encoding/pem"
)

const trustFile = "ca.crt"

// trustBundle renders ca.crt: the private CAs of all hosts in one file, each
// certificate once, for clients that take a bundle (SSL_CERT_FILE). There is
// none when all hosts are publicly trusted.
func trustBundle(p *plan) []File {
	seen := make(map[string]bool)
	var bundle []byte
	for _, h := range p.hosts {
		for _, certificate := range h.authorities {
			if seen[string(certificate)] {
				continue
			}
			seen[string(certificate)] = true
			bundle = append(bundle, certificate...)
		}
	}
	if len(bundle) == 0 {
		return nil
	}
	return []File{{Path: trustFile, Data: bundle}}
}

// certificates cuts PEM text into CERTIFICATE blocks, encoded anew, so that
// nothing else reaches a volume and files can be concatenated.
func certificates(text []byte) [][]byte {
	var all [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	return all
}

// authorityFile is the CA file of one host, empty when it is publicly trusted.
func (h host) authorityFile() []byte { return bytes.Join(h.authorities, nil) }
