// Package audit writes the record that answers "who got which credential?":
// one JSON line per credential issued, delivered to a volume, renewed or
// revoked. A record never holds a secret, nor a hash of one: the random
// credential id ties the lines together.
package audit

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Event is what happened to a credential.
type Event string

// The audited events.
const (
	Issued       Event = "issue"        // a new credential was obtained
	Renewed      Event = "renew"        // a credential replaced its predecessor
	Delivered    Event = "deliver"      // a volume shows a credential
	Revoked      Event = "revoke"       // the provider deleted it
	NotRevocable Event = "notRevocable" // it lives on until it expires
	Refused      Event = "refuse"       // the provider or a rule refused to issue
)

// Record is one line of the audit log.
type Record struct {
	Time         time.Time         `json:"time"`
	Event        Event             `json:"event"`
	CredentialID string            `json:"credentialID,omitempty"`
	Replaces     string            `json:"replaces,omitempty"` // id of the predecessor
	Connector    connector.Ref     `json:"connector"`
	Issuer       string            `json:"issuer"`
	Registries   []string          `json:"registries,omitempty"`
	Subject      connector.Subject `json:"subject,omitzero"`
	VolumeID     string            `json:"volumeID,omitempty"`
	Sharing      connector.Sharing `json:"sharing,omitempty"`
	Granted      connector.Scope   `json:"granted,omitzero"`
	Grain        connector.Grain   `json:"grain,omitempty"`
	IssuedAt     time.Time         `json:"issuedAt,omitzero"`
	ExpiresAt    time.Time         `json:"expiresAt,omitzero"`
	LongLived    bool              `json:"longLived,omitempty"`
	Warnings     []string          `json:"warnings,omitempty"` // findings of the issuer
	Detail       string            `json:"detail,omitempty"`
}

// Of starts a record about a credential.
func Of(event Event, c *connector.Connector, cred *connector.Credential) Record {
	r := Record{Event: event, Connector: c.Ref, Issuer: c.Issuer.Kind}
	if cred != nil {
		r.CredentialID, r.Registries = cred.ID, cred.Hosts()
		r.Granted, r.Grain, r.LongLived = cred.Granted, cred.Grain, cred.LongLived
		r.IssuedAt, r.ExpiresAt, r.Warnings = cred.IssuedAt.UTC(), cred.ExpiresAt, cred.Warnings
	}
	return r
}

// Log writes records to one writer, a line each, from any goroutine.
type Log struct {
	mu  sync.Mutex
	out io.Writer
	bad func(error)
}

// NewLog writes to out. Failures to write are handed to failed, because the
// operation that is audited has happened already.
func NewLog(out io.Writer, failed func(error)) *Log { return &Log{out: out, bad: failed} }

// Write stamps the record and writes it.
func (l *Log) Write(r Record) {
	r.Time = time.Now().UTC()
	line, err := json.Marshal(r)
	if err == nil {
		l.mu.Lock()
		_, err = l.out.Write(append(line, '\n'))
		l.mu.Unlock()
	}
	if err != nil {
		l.bad(err)
	}
}
