package render

import (
	"cmp"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Explanation says where each entry of each file comes from, and what had to
// stand back. It never holds a secret.
type Explanation struct {
	// Report is what regcred.json says.
	Report Report
	// Placements are sorted by file; those of one file are in its order.
	Placements []Placement
	// Shadowed are the entries that no client can get, sorted by host.
	Shadowed []Shadowed
}

// Placement is one entry of one file.
type Placement struct {
	File string
	// Entry is what the client looks up in the file; empty when the file is
	// one value.
	Entry     string
	Connector connector.Ref
	// From are the credential's entries that it is made from; none when it
	// says what the Connector declares, such as a mirror or a CA.
	From []connector.Key
	// Rules put it before others, in order; none when there was no other.
	Rules []connector.Rule
}

// Shadowed is an entry of a credential that serves a host and that another
// one stands before.
type Shadowed struct {
	Host      string
	Key       connector.Key
	Connector connector.Ref
	// By and ByConnector tell what stands before it, and Rule why. Between two
	// connectors it is their order in the volume, whatever the keys.
	By          connector.Key
	ByConnector connector.Ref
	Rule        connector.Rule
}

// Explain renders in as Render does and says why the files are what they are.
func Explain(in Input) (Explanation, error) {
	r, err := newRendering(in)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Report: newReport(r.plan, r.omitted)}
	there := make(map[string]bool, len(r.files))
	for _, f := range r.files {
		there[f.Path] = true
	}
	for i, h := range r.hosts {
		if len(h.authorities) > 0 {
			r.placed = append(r.placed, placed{file: trustFile, entry: h.name, plan: r.plan, host: &r.hosts[i]})
		}
		e.Shadowed = append(e.Shadowed, r.shadowed(&r.hosts[i])...)
	}
	for _, at := range r.placed {
		if there[at.file] { // not left out
			e.Placements = append(e.Placements, at.placement())
		}
	}
	slices.SortStableFunc(e.Placements, func(a, b Placement) int { return cmp.Compare(a.File, b.File) })
	// A file that serves two configurations is told of once.
	e.Placements = slices.CompactFunc(e.Placements, func(a, b Placement) bool {
		return a.File == b.File && a.Entry == b.Entry && a.Connector == b.Connector && slices.Equal(a.From, b.From)
	})
	return e, nil
}

// placed is an entry as a configuration writes it.
type placed struct {
	file, entry string
	plan        *plan
	host        *host          // nil = all hosts of the plan that have a login
	credential  bool           // it carries the credential
	key         *connector.Key // the one entry of the host that it is made from; nil = all
	// by says it, in a format where not only the host's owner does, or for a
	// glob, which has no host.
	by *voice
}

// place notes what is declared for a host.
func (o *output) place(p *plan, host int, file, entry string) {
	o.placed = append(o.placed, placed{file: file, entry: entry, plan: p, host: &p.hosts[host]})
}

func (at placed) placement() Placement {
	out := Placement{File: at.file, Entry: at.entry}
	if at.by != nil {
		at.apart(&out)
		return out
	}
	hosts := at.plan.hosts
	if at.host != nil {
		hosts = []host{*at.host}
	}
	for i := range hosts {
		h := &hosts[i]
		logins := at.plan.logins(h)
		if at.host == nil && len(logins) == 0 {
			continue
		}
		out.Connector = h.owner.Connector
		if at.key != nil {
			logins = []connector.Entry{{Key: *at.key}}
		}
		for _, e := range logins {
			if at.credential && !slices.Contains(out.From, e.Key) { // a glob serves many hosts
				out.From = append(out.From, e.Key)
			}
		}
		for _, s := range at.plan.shadowed(h) {
			if at.key == nil || s.By == *at.key {
				out.Rules = append(out.Rules, s.Rule)
			}
		}
	}
	slices.Sort(out.Rules)
	out.Rules = slices.Compact(out.Rules)
	return out
}

// apart tells of one entry among several of its host.
func (at placed) apart(out *Placement) {
	out.Connector = at.by.Connector
	if at.key == nil {
		return
	}
	out.From = []connector.Key{*at.key}
	if at.host == nil {
		return
	}
	for _, s := range at.plan.shadowed(at.host) {
		if s.ByConnector == at.by.Connector && s.By == *at.key {
			out.Rules = append(out.Rules, s.Rule)
		}
	}
	slices.Sort(out.Rules)
	out.Rules = slices.Compact(out.Rules)
}

// shadowed lists what stands back for one host: entries of the owner behind
// better ones, and all of the other connectors that claim it.
func (p *plan) shadowed(h *host) []Shadowed {
	owner := p.voice(h.owner)
	if !p.together {
		var all []Shadowed
		for _, v := range p.speakers(h) {
			_, lost := v.shadowed(h.name)
			all = append(all, lost...)
		}
		return all
	}
	kept, all := owner.shadowed(h.name)
	if len(kept) == 0 { // emptied: nobody takes its place, and there is no entry to name
		kept = []connector.Entry{{Key: connector.Key{Host: h.name}}}
	}
	for _, v := range p.voices {
		if v == owner || !v.claims[h.name] {
			continue
		}
		if !p.whole && p.shares(v, h) {
			_, lost := v.shadowed(h.name)
			all = append(all, lost...)
			continue
		}
		for _, e := range v.matching(h.name) {
			all = append(all, Shadowed{
				Host: h.name, Key: e.Key, Connector: v.Connector, By: kept[0].Key, ByConnector: h.owner.Connector, Rule: connector.ListOrder,
			})
		}
	}
	return all
}

// shadowed lists what a connector keeps for a host, and which of its entries
// stand back.
func (v *voice) shadowed(name string) (kept []connector.Entry, all []Shadowed) {
	kept, lost := choose(v.matching(name))
	for _, s := range lost {
		_, rule := connector.Decide(s.by.Key, s.entry.Key)
		all = append(all, Shadowed{
			Host: name, Key: s.entry.Key, Connector: v.Connector, By: s.by.Key, ByConnector: v.Connector, Rule: rule,
		})
	}
	return kept, all
}

func (p *plan) voice(s *Source) *voice {
	i := slices.IndexFunc(p.voices, func(v *voice) bool { return v.Source == s })
	return p.voices[i]
}
