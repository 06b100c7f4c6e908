package volume

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// record is a volume as it waits for a restart: everything but secrets.
type record struct {
	Place      Place             `json:"place"`
	Subject    connector.Subject `json:"subject"`
	Attributes Attributes        `json:"attributes"`
	Grants     []grantRecord     `json:"grants"`
}

type grantRecord struct {
	Connector json.RawMessage `json:"connector"`       // a snapshot
	Lease     string          `json:"lease,omitempty"` // key of the shared credential
	Withdrawn string          `json:"withdrawn,omitempty"`
	Cut       cutOff          `json:"cut,omitzero"`
	Hosts     []string        `json:"hosts,omitempty"`
}

// save writes the record of a volume. The caller holds its work lock.
func (m *Manager) save(v *volume) error {
	r := record{Place: v.spec.Place, Subject: v.identity.Load().subject, Attributes: v.spec.Attributes}
	for _, g := range v.grants {
		snapshot, err := m.snapshots.of(g.connector)
		if err != nil {
			return fmt.Errorf("recording the volume: %w", err)
		}
		gr := grantRecord{Connector: snapshot, Withdrawn: g.withdrawn, Cut: g.cut, Hosts: g.hosts}
		if g.lease != nil {
			gr.Lease = g.lease.Key()
		}
		r.Grants = append(r.Grants, gr)
	}
	document, err := json.Marshal(r)
	if err == nil {
		err = m.Records.Put(v.spec.Place.ID, document)
	}
	v.unsaved = ""
	if err != nil {
		err = fmt.Errorf("recording the volume: %w", err)
		v.unsaved = err.Error()
	}
	return err
}

// restore rebuilds a volume from its record, without any call.
func (m *Manager) restore(document []byte) (*volume, error) {
	var r record
	if err := json.Unmarshal(document, &r); err != nil {
		return nil, err
	}
	nameless := func(u Use) bool { return u.Ref.Name == "" }
	if r.Place.ID == "" || len(r.Grants) != len(r.Attributes.Uses) || slices.ContainsFunc(r.Attributes.Uses, nameless) {
		return nil, connector.Errorf(connector.ErrInvalid, "a volume record is incomplete")
	}
	v := m.newVolume(Spec{Place: r.Place, Subject: r.Subject, Attributes: r.Attributes})
	for i, gr := range r.Grants {
		c, err := m.snapshots.from(gr.Connector)
		if err != nil {
			return nil, err
		}
		if c != nil && c.Ref.Name == "" {
			return nil, connector.Errorf(connector.ErrInvalid, "a volume record has a Connector without a name")
		}
		v.grants[i].connector = c
	}
	for i, gr := range r.Grants { // nothing fails from here on, so that no lease is lost
		g := v.grants[i]
		g.withdrawn, g.cut, g.hosts = gr.Withdrawn, gr.Cut, gr.Hosts
		if lease, ok := m.Leases.Restore(gr.Lease, r.Place.ID, v.identity.Load()); ok && gr.Withdrawn == "" {
			g.lease = lease // a kill may have come between its renewal and the files
		}
		if g.lost() {
			g.lostAt = time.Now().Round(0)
		}
	}
	v.adopted = true
	return v, nil
}
