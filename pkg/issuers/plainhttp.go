package issuers

import (
	"net/http"
	"net/url"
	"sync"
)

// plainHTTP says who may be called without TLS: the registries that are
// declared so, and the token servers that these name. A token server whose
// host is declared with TLS may not: a registry that anyone on the way can
// imitate would else choose where that host's login goes in the clear.
type plainHTTP struct {
	declared map[endpoint]bool
	secure   map[string]bool // host names that are declared with TLS only

	mu     sync.Mutex
	realms map[endpoint]bool
}

func newPlainHTTP(registries []Trust) *plainHTTP {
	p := &plainHTTP{declared: map[endpoint]bool{}, secure: map[string]bool{}, realms: map[endpoint]bool{}}
	for _, r := range registries {
		if e := declaredEndpoint(r.Registry); r.PlainHTTP {
			p.declared[e] = true
		} else {
			p.secure[e.host] = true
		}
	}
	for e := range p.declared {
		delete(p.secure, e.host)
	}
	return p
}

func (p *plainHTTP) allows(e endpoint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.declared[e] || (p.realms[e] && !p.secure[e.host])
}

// learn reads which token servers a declared registry names.
func (p *plainHTTP) learn(from *url.URL, header http.Header) {
	if !p.declared[endpointOf(from)] {
		return
	}
	challenges, err := ParseChallenges(header)
	if err != nil {
		return // the issuer reads it as well, and tells
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range challenges {
		if realm, err := url.Parse(c.Params["realm"]); err == nil && realm.Scheme == "http" {
			p.realms[endpointOf(realm)] = true
		}
	}
}
