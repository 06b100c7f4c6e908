package render

import (
	"bytes"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Loss tells that a connector also speaks for a host, and another's word
// counts.
type Loss struct {
	Host      string        `json:"host"`
	Connector connector.Ref `json:"connector"`
	// To is the connector that comes first.
	To connector.Ref `json:"to"`
	// What was lost: "credential", "plainHTTP", "insecureSkipVerify", "ca",
	// "clientCertificate", "mirrors".
	What []string `json:"what"`
}

// losses compares every source with the owner of each host it speaks for.
func (p *plan) losses() []Loss {
	var all []Loss
	for _, h := range p.hosts {
		for _, v := range p.voices {
			if v.Source == h.owner {
				continue
			}
			if what := p.lostTo(&h, v); len(what) > 0 {
				all = append(all, Loss{Host: h.name, Connector: v.Connector, To: h.owner.Connector, What: what})
			}
		}
	}
	return all
}

// lostTo names what v says about a host and the owner says otherwise.
func (p *plan) lostTo(h *host, v *voice) []string {
	theirs, ours := v.registry(h.name), h.registry
	var what []string
	for _, item := range []struct {
		name string
		lost bool
	}{
		{"credential", v.claims[h.name] && p.together && (p.whole || !p.shares(v, h))},
		{"plainHTTP", theirs.PlainHTTP && !ours.PlainHTTP},
		{"insecureSkipVerify", theirs.InsecureSkipVerify && !ours.InsecureSkipVerify},
		{"ca", len(theirs.CA) > 0 && !bytes.Equal(theirs.CA, ours.CA)},
		{"clientCertificate", len(theirs.ClientCertificate) > 0 && !bytes.Equal(theirs.ClientCertificate, ours.ClientCertificate)},
		{"mirrors", len(theirs.Mirrors) > 0 && !slices.Equal(theirs.Mirrors, ours.Mirrors)},
	} {
		if item.lost {
			what = append(what, item.name)
		}
	}
	return what
}
