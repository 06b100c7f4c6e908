package render

import (
	"cmp"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// ReportName is the file of the Report, which every volume carries.
const ReportName = "regcred.json"

// Report is regcred.json: where the content of a volume comes from and what
// became of it. It never holds a secret, and no time of rendering: the same
// input gives the same report.
type Report struct {
	// Version is 1; new members may be added under it.
	Version int `json:"version"`
	// Entries are sorted by host; those of one host by precedence. With
	// configuration fields each connector has its own, in their order.
	Entries []ReportEntry `json:"entries"`
	// Lost lists what a connector says of a host that another one serves.
	Lost []Loss `json:"lost,omitempty"`
	// Omitted lists what a configuration could not express.
	Omitted []Omission `json:"omitted,omitempty"`
	// Warnings lists what the issuers found, in the order of the connectors.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Warning is one finding of an issuer, such as a host with two logins.
type Warning struct {
	Connector connector.Ref `json:"connector"`
	// Text is one line; never a secret.
	Text string `json:"text"`
}

// ReportEntry is what one connector gives for one host. Times are UTC, whole
// seconds; a time that nobody knows is absent.
type ReportEntry struct {
	// Host is host[:port]; absent when an emptied connector names no host.
	Host string `json:"host,omitempty"`
	// Path limits the entry to repositories below it.
	Path      string        `json:"path,omitempty"`
	Connector connector.Ref `json:"connector"`
	Issuer    string        `json:"issuer"`
	// Form is absent when the entry is emptied.
	Form      Form            `json:"form,omitempty"`
	IssuedAt  time.Time       `json:"issuedAt,omitzero"`
	ExpiresAt time.Time       `json:"expiresAt,omitzero"`
	RenewAt   time.Time       `json:"renewAt,omitzero"`
	Granted   connector.Scope `json:"granted,omitzero"`
	Grain     connector.Grain `json:"grain,omitempty"`
	LongLived bool            `json:"longLived"`
	// Emptied says why there is no credential now.
	Emptied string `json:"emptied,omitempty"`
}

// Omission is something that a configuration's format cannot express.
type Omission struct {
	Configuration string        `json:"configuration"`
	Host          string        `json:"host"`
	Connector     connector.Ref `json:"connector"`
	// What is "mirror", "plainHTTP", "insecureSkipVerify", "ca",
	// "clientCertificate"; "path" where a credential for some repositories is
	// offered for others too, or for fewer; "hosts" where one for a glob is
	// offered to the declared hosts alone; "ports" where what is said of a host
	// counts for its other ports too.
	What string `json:"what"`
	// Value is the mirror's URL, the path or the glob; never a secret.
	Value string `json:"value,omitempty"`
	Why   string `json:"why"`
}

func newReport(p *plan, omitted []Omission) Report {
	return Report{Version: 1, Entries: reportEntries(p), Lost: p.lost, Omitted: omitted, Warnings: warnings(p)}
}

func reportFile(p *plan, omitted []Omission) (File, error) {
	data, err := encodeJSON(newReport(p, omitted))
	return File{Path: ReportName, Data: data}, err
}

func reportEntries(p *plan) []ReportEntry {
	entries := []ReportEntry{}
	named := make(map[*Source]bool)
	for _, h := range p.hosts {
		for _, v := range p.speakers(&h) {
			if v.Credential == nil {
				entries = append(entries, emptiedEntry(v.Source, h.name))
				named[v.Source] = true
				continue
			}
			for _, e := range v.entries(h.name) {
				entries = append(entries, newReportEntry(v.Source, e))
			}
		}
	}
	for i := range p.Sources {
		s := &p.Sources[i]
		if s.Credential == nil && !named[s] {
			entries = append(entries, emptiedEntry(s, ""))
		}
		if s.Credential == nil {
			continue
		}
		// Formats without credentials, and those with globs, carry on where no
		// host matches a glob.
		for _, e := range s.undeclared() {
			entries = append(entries, newReportEntry(s, e))
		}
	}
	return entries
}

// speakers are the voices of which a volume shows what they say of a host: its
// owner's, and those that claim it too where each speaks for itself or serves
// an action of it.
func (p *plan) speakers(h *host) []*voice {
	speakers := []*voice{p.voice(h.owner)}
	for _, v := range p.voices {
		if v.Source != h.owner && v.claims[h.name] && (p.apart || p.shares(v, h)) {
			speakers = append(speakers, v)
		}
	}
	return speakers
}

func warnings(p *plan) []Warning {
	var all []Warning
	for _, s := range p.Sources {
		if s.Credential == nil {
			continue
		}
		for _, text := range s.Credential.Warnings {
			all = append(all, Warning{Connector: s.Connector, Text: text})
		}
	}
	return all
}

func emptiedEntry(s *Source, host string) ReportEntry {
	return ReportEntry{Host: host, Connector: s.Connector, Issuer: s.Issuer, RenewAt: seconds(s.RenewAt), Emptied: cmp.Or(s.Emptied, "no credential")}
}

func newReportEntry(s *Source, e connector.Entry) ReportEntry {
	c := s.Credential
	return ReportEntry{
		Host: e.Key.Host, Path: e.Key.Path, Connector: s.Connector, Issuer: s.Issuer, Form: formOf(e),
		IssuedAt: seconds(c.IssuedAt), ExpiresAt: seconds(c.EndOf(e)), RenewAt: seconds(s.RenewAt),
		Granted: c.Granted, Grain: c.Grain, LongLived: c.LongLivedEntry(e),
	}
}

// seconds keeps a time within the years that RFC 3339 can write: an end far
// beyond comes from a token that counts milliseconds, and fails no volume.
func seconds(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second)
	switch {
	case t.Year() > 9999:
		return time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
	case t.Year() < 0:
		return time.Time{}
	}
	return t
}
