package render

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// plan is an Input after precedence: who serves which host, and with what.
type plan struct {
	Input
	hosts  []host // sorted by name
	voices []*voice
	// apart: a configuration lets each connector speak for itself; together:
	// in one of them the owner of a host speaks alone.
	apart, together bool
	// byAction: in one of them connectors share a host; whole: in one with
	// logins they do not.
	byAction, whole bool
	lost            []Loss
}

// host is one registry host of the volume.
type host struct {
	name string
	// owner is the connector whose word counts for this host: the first that
	// claims it with an entry, or else the first that declares it.
	owner *Source
	// entries are what the owner gives, the more specific first; empty when
	// it is emptied or only declares the host.
	entries []connector.Entry
	// registry is the owner's; when it does not declare the host, public
	// trust.
	registry Registry
	// authorities are the private CAs of the host, nil when it is publicly
	// trusted.
	authorities [][]byte
}

func newPlan(in Input) (*plan, error) {
	if in.MountPath != "" && (!path.IsAbs(in.MountPath) || path.Clean(in.MountPath) != in.MountPath || !sendable(in.MountPath)) {
		return nil, connector.Errorf(connector.ErrInvalid, "mount.path %q: write the absolute path at which the container mounts the volume, such as /etc/buildkit", in.MountPath)
	}
	for i := range in.Sources {
		if err := in.Sources[i].check(); err != nil {
			return nil, err
		}
	}
	voices := make([]*voice, len(in.Sources))
	p := &plan{Input: in, voices: voices}
	owners := make(map[string]*voice)
	// Entries first: a connector that merely declares a host must not set
	// the mirrors or the trust under which another one's credential is sent.
	for i := range in.Sources {
		voices[i] = newVoice(&in.Sources[i])
	}
	for i, v := range voices {
		v.silence(voices[i+1:])
		for name, claimed := range v.claims {
			if claimed && owners[name] == nil {
				owners[name] = v
			}
		}
	}
	for _, v := range voices {
		for name := range v.registries {
			if owners[name] == nil {
				owners[name] = v
			}
		}
	}
	for name, owner := range owners {
		r := owner.registry(name)
		h := host{name: name, owner: owner.Source, entries: owner.entries(name), registry: r, authorities: certificates(r.CA)}
		if len(r.CA) > 0 && len(h.authorities) == 0 {
			return nil, connector.Errorf(connector.ErrPrecondition, "connector %s: registries: host %s: the CA holds no PEM CERTIFICATE block", owner.Connector, name)
		}
		p.hosts = append(p.hosts, h)
	}
	slices.SortFunc(p.hosts, func(a, b host) int { return cmp.Compare(a.name, b.name) })
	return p, nil
}

// settle notes what the configurations make of connectors that speak for the
// same host.
func (p *plan) settle(wanted []configuration) {
	for _, c := range wanted {
		p.apart, p.together = p.apart || c.apart, p.together || !c.apart
		p.byAction, p.whole = p.byAction || c.byAction, p.whole || !c.apart && !c.byAction && !c.bare
	}
	p.lost = p.losses()
}

// emptied reports whether the content of a source is missing.
func (p *plan) emptied() bool {
	return slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Credential == nil })
}

// logins lists the entries that a client is given for a host, by precedence
// and with the keys that the issuer gave them.
func (p *plan) logins(h *host) []connector.Entry {
	kept, _ := choose(p.voice(h.owner).matching(h.name))
	return slices.DeleteFunc(slices.Clone(kept), func(e connector.Entry) bool { return e.Anonymous })
}

// host returns the plan for one host.
func (p *plan) host(name string) (*host, bool) {
	i, ok := slices.BinarySearchFunc(p.hosts, name, func(h host, name string) int { return cmp.Compare(h.name, name) })
	if !ok {
		return nil, false
	}
	return &p.hosts[i], true
}

// check refuses what the vocabulary does not allow, because hosts become file
// names and a malformed entry would cost a client its whole file.
func (s *Source) check() error {
	for _, r := range s.Registries {
		if !exactHost(r.Host) {
			return connector.Errorf(connector.ErrInvalid, "connector %s: registries: host %q: write host or host:port in lower case, without a glob", s.Connector, r.Host)
		}
	}
	if i := slices.IndexFunc(s.Claims, func(name string) bool { return !canonicalHost(name) }); i >= 0 {
		return connector.Errorf(connector.ErrInvalid, "connector %s: claimed host %q is not canonical", s.Connector, s.Claims[i])
	}
	if s.Credential == nil {
		return nil
	}
	for _, e := range s.Credential.Entries {
		if !canonicalHost(e.Key.Host) {
			return connector.Errorf(connector.ErrInvalid, "connector %s: issuer %s: entry for %q: the host is not canonical", s.Connector, s.Issuer, e.Key)
		}
		if formOf(e) == "" {
			return connector.Errorf(connector.ErrPrecondition, "connector %s: issuer %s: entry for %s holds no credential that a client can use: give a username with a password, one token, or declare it anonymous", s.Connector, s.Issuer, e.Key)
		}
	}
	return nil
}

func exactHost(name string) bool { return canonicalHost(name) && !strings.Contains(name, "*") }

func canonicalHost(name string) bool {
	canonical, err := connector.CanonicalHost(name)
	return err == nil && canonical == name
}

func (s *Source) declared() []string {
	var names []string
	for _, r := range s.Registries {
		names = append(names, r.Host)
	}
	return names
}

// undeclared returns the entries whose globs match no declared host, so that a
// client that knows only exact hosts cannot be given them.
func (s *Source) undeclared() []connector.Entry {
	if s.Credential == nil {
		return nil
	}
	declared := s.declared()
	var entries []connector.Entry
	for _, e := range s.Credential.Entries {
		if !e.Anonymous && e.Key.HostGlob() && !slices.ContainsFunc(declared, e.Key.MatchesHost) {
			entries = append(entries, e)
		}
	}
	return entries
}

// exactHosts refuses what a configuration for clients that know only exact
// hosts cannot give them.
func (p *plan) exactHosts(configuration string) error {
	for i := range p.Sources {
		s := &p.Sources[i]
		if entries := s.undeclared(); len(entries) > 0 {
			return connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: the entry for %s matches none of its declared hosts, and clients look up exact hosts only: list the hosts in spec.registries", configuration, s.Connector, entries[0].Key)
		}
	}
	return nil
}

// clientPair returns the client certificate and key for a host: both or
// neither, because clients fail on half a pair. An emptied connector gives
// none.
func (h host) clientPair() (certificate, key []byte, ok bool) {
	certificate = bytes.Join(certificates(h.registry.ClientCertificate), nil)
	if h.owner.Credential == nil || len(certificate) == 0 || h.registry.ClientKey.IsZero() {
		return nil, nil, false
	}
	return certificate, []byte(h.registry.ClientKey.Reveal()), true
}

// hasControl reports whether s holds a control character. None has a place in
// a file name or a credential: HTTP cannot carry them (RFC 7617 section 2).
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
