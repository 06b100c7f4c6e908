package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// sharedRecord is a shared credential as it waits for a restart. It holds the
// secrets in clear, so it is only ever given to memory-backed Records.
type sharedRecord struct {
	Connector  *connector.Connector `json:"connector"`
	Subject    connector.Subject    `json:"subject"`
	Scope      connector.Scope      `json:"scope"`
	TTL        time.Duration        `json:"ttl,omitempty"`
	Current    credentialRecord     `json:"current"`
	RenewAt    time.Time            `json:"renewAt,omitzero"`
	Superseded []credentialRecord   `json:"superseded,omitempty"`
	StaleUntil time.Time            `json:"staleUntil,omitzero"`
	SourceGone bool                 `json:"sourceGone,omitempty"`
	Retired    bool                 `json:"retired,omitempty"`
	Lookups    []lookup             `json:"lookups,omitempty"`
}

type credentialRecord struct {
	ID        string            `json:"id"`
	Entries   []entryRecord     `json:"entries"`
	Fields    map[string]string `json:"fields,omitempty"`
	IssuedAt  time.Time         `json:"issuedAt"`
	ExpiresAt time.Time         `json:"expiresAt,omitzero"`
	RefreshAt time.Time         `json:"refreshAt,omitzero"`
	Static    bool              `json:"static,omitempty"`
	LongLived bool              `json:"longLived,omitempty"`
	Handle    connector.Handle  `json:"handle,omitempty"`
	Granted   connector.Scope   `json:"granted"`
	Grain     connector.Grain   `json:"grain,omitempty"`
	Warnings  []string          `json:"warnings,omitempty"`
	Intent    string            `json:"intent,omitempty"`
	RevokeAt  time.Time         `json:"revokeAt,omitzero"` // of superseded ones
}

type entryRecord struct {
	Key           connector.Key `json:"key"`
	Username      string        `json:"username,omitempty"`
	Password      string        `json:"password,omitempty"`
	IdentityToken string        `json:"identityToken,omitempty"`
	RegistryToken string        `json:"registryToken,omitempty"`
	Anonymous     bool          `json:"anonymous,omitempty"`
	ExpiresAt     time.Time     `json:"expiresAt,omitzero"`
}

// behindNow notes that the record of s has to follow. The caller holds the lock.
func (m *Manager) behindNow(s *shared) {
	if !s.unsaved {
		s.unsaved = true
		m.unsaved = append(m.unsaved, s)
	}
}

// write is a record to bring up to date; no document = delete it.
type write struct {
	key      string
	document []byte
}

// behind returns the records to bring up to date. One whose flight is under way
// waits, because the flight writes the same record. The caller holds the lock.
func (m *Manager) behind() (writes []write) {
	waiting := m.unsaved
	m.unsaved = nil
	for _, s := range waiting {
		switch {
		case !s.unsaved:
		case s.flight != nil && s.flight.launched:
			m.unsaved = append(m.unsaved, s)
		default:
			s.unsaved = false
			w := write{key: s.key}
			if s.current != nil {
				w.document, _ = encodeShared(s, outcome{credential: s.current, renewAt: s.renewAt, intent: s.intent, lookups: s.lookups, staleUntil: s.staleUntil, sourceGone: s.sourceGone}, s.superseded) // it could be encoded before
			}
			writes = append(writes, w)
		}
	}
	return writes
}

// catchUp writes records. A failure leaves an older one, which a restart finds
// out of date as this process did.
func (m *Manager) catchUp(ctx context.Context, writes []write) {
	for _, w := range writes {
		var err error
		if w.document == nil {
			err = m.Credentials.Delete(w.key)
		} else {
			err = m.Credentials.Put(w.key, w.document)
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Bringing a credential's record up to date failed")
		}
	}
}

// encodeShared writes what a restart needs while out is in force.
func encodeShared(s *shared, out outcome, former []superseded) ([]byte, error) {
	r := sharedRecord{
		Connector: s.connector, Subject: s.subject, Scope: s.scope, TTL: s.ttl, StaleUntil: out.staleUntil, SourceGone: out.sourceGone, Retired: s.retired,
		Current: recordOf(out.credential, out.intent, time.Time{}), RenewAt: out.renewAt, Lookups: out.lookups,
	}
	for _, old := range former {
		r.Superseded = append(r.Superseded, recordOf(old.credential, old.intent, old.revokeAt))
	}
	return json.Marshal(r)
}

func recordOf(c *connector.Credential, intent string, revokeAt time.Time) credentialRecord {
	r := credentialRecord{
		ID: c.ID, IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, RefreshAt: c.RefreshAt, Static: c.Static, LongLived: c.LongLived,
		Handle: c.Handle, Granted: c.Granted, Grain: c.Grain, Warnings: c.Warnings, Intent: intent, RevokeAt: revokeAt,
	}
	for _, e := range c.Entries {
		r.Entries = append(r.Entries, entryRecord{
			Key: e.Key, Username: e.Username, Anonymous: e.Anonymous, ExpiresAt: e.ExpiresAt, Password: e.Password.Reveal(),
			IdentityToken: e.IdentityToken.Reveal(), RegistryToken: e.RegistryToken.Reveal(),
		})
	}
	if len(c.Fields) > 0 {
		r.Fields = map[string]string{}
		for name, value := range c.Fields {
			r.Fields[name] = value.Reveal()
		}
	}
	return r
}

func (r credentialRecord) credential() *connector.Credential {
	c := &connector.Credential{
		ID: r.ID, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt, RefreshAt: r.RefreshAt, Static: r.Static, LongLived: r.LongLived,
		Handle: r.Handle, Granted: r.Granted, Grain: r.Grain, Warnings: r.Warnings,
	}
	for _, e := range r.Entries {
		c.Entries = append(c.Entries, connector.Entry{
			Key: e.Key, Username: e.Username, Anonymous: e.Anonymous, ExpiresAt: e.ExpiresAt, Password: connector.NewSecret(e.Password),
			IdentityToken: connector.NewSecret(e.IdentityToken), RegistryToken: connector.NewSecret(e.RegistryToken),
		})
	}
	if len(r.Fields) > 0 {
		c.Fields = map[string]connector.Secret{}
		for name, value := range r.Fields {
			c.Fields[name] = connector.NewSecret(value)
		}
	}
	return c
}

// Load reads what an earlier process of this node left: credentials, and
// intents. An intent that no credential accounts for was cut off, and is
// revoked. Call it before Restore and Run. The error joins what could not be
// read; everything else is loaded.
func (m *Manager) Load() error {
	documents, credentialsErr := m.Credentials.All()
	intents, intentsErr := m.Intents.All()
	m.mu.Lock()
	defer m.mu.Unlock()
	errs := []error{credentialsErr, intentsErr}
	for name, document := range intents {
		r := &revocation{}
		if err := json.Unmarshal(document, &r.intent); err != nil || r.Connector == nil {
			intentsErr = fmt.Errorf("intent record %s: %w", name, orInvalid(err))
			errs = append(errs, intentsErr)
			continue
		}
		m.revocations[name] = r
	}
	unaccounted := maps.Clone(m.revocations)
	for key, document := range documents {
		s, err := m.restoreShared(key, document, intentsErr == nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("credential record: %w", err))
			continue
		}
		m.byKey[key] = s
		delete(unaccounted, s.intent)
		for _, old := range s.superseded {
			delete(unaccounted, old.intent)
		}
		m.forgetUnused(s, time.Now().Round(0))
		m.expiries.outdated(s.connector.Ref)
	}
	for name := range unaccounted {
		m.revokeSoon(name, nil)
	}
	return errors.Join(errs...)
}

// restoreShared rebuilds a credential. When all intents could be read, one whose
// intent is not among them was revoked, and only its record could not be
// deleted; or the intent was lost. Either way another one takes its place before
// anybody new gets it; pods that show it keep it until then.
func (m *Manager) restoreShared(key string, document []byte, allIntents bool) (*shared, error) {
	var r sharedRecord
	if err := json.Unmarshal(document, &r); err != nil || r.Connector == nil {
		return nil, orInvalid(err)
	}
	def, ok := m.definitions[r.Connector.Issuer.Kind]
	if !ok {
		return nil, connector.Errorf(connector.ErrInvalid, "issuer %q is unknown to this version", r.Connector.Issuer.Kind)
	}
	issuer, err := def.New(r.Connector.Issuer.Config)
	if err != nil {
		return nil, err
	}
	s := &shared{
		key: key, connector: r.Connector, definition: def, issuer: issuer, subject: r.Subject, scope: r.Scope, ttl: r.TTL,
		holders: map[string]*Lease{}, latest: nobody{r.Subject}, staleUntil: r.StaleUntil, sourceGone: r.SourceGone, retired: r.Retired, renewNow: r.SourceGone,
		current: r.Current.credential(), intent: r.Current.Intent, renewAt: r.RenewAt, lookups: r.Lookups,
	}
	s.hosts = s.current.Hosts()
	if m.makeGood(s, r.Current) && allIntents {
		s.renewNow, s.cutOverlap = true, true
	}
	now := time.Now().Round(0)
	m.emptyEnded(s, now) // before anything is rendered from it
	for _, old := range r.Superseded {
		if now.Before(old.RevokeAt) {
			m.makeGood(s, old)
		}
		if _, live := m.revocations[old.Intent]; live {
			s.superseded = append(s.superseded, superseded{old.credential(), old.Intent, old.RevokeAt})
		}
	}
	return s, nil
}

// makeGood makes the intent of a credential again when it is lost. Where it was
// revoked already, one more revocation finds nothing.
func (m *Manager) makeGood(s *shared, r credentialRecord) (lost bool) {
	if r.Intent == "" || m.revocations[r.Intent] != nil {
		return false
	}
	i := intent{
		Name: r.Intent, Key: s.key, Connector: s.connector, Subject: s.subject, Scope: s.scope, Made: r.IssuedAt,
		CredentialID: r.ID, Handle: r.Handle, ExpiresAt: r.ExpiresAt,
	}
	m.revocations[i.Name] = &revocation{intent: i}
	m.lost = append(m.lost, i)
	return true
}

// Restore re-attaches a holder to the credential that its record names,
// without any call. It is false when the credential is gone.
func (m *Manager) Restore(key, holder string, identity issuers.Identity) (*Lease, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.byKey[key]
	if !ok {
		return nil, false
	}
	return m.attach(s, Request{Holder: holder, Identity: identity}), true
}

// recordLost writes the intents again that were lost.
func (m *Manager) recordLost(ctx context.Context) {
	m.mu.Lock()
	lost := m.lost
	m.lost = nil
	lost = slices.DeleteFunc(lost, func(i intent) bool { return m.revocations[i.Name] == nil })
	m.mu.Unlock()
	for _, i := range lost {
		if err := m.putIntent(i); err != nil {
			klog.FromContext(ctx).Error(err, "Writing a lost intent again failed; the next start tries it again")
		}
	}
}

// checkRestored issues anew what changed while no process was watching.
func (m *Manager) checkRestored(ctx context.Context) {
	type restored struct {
		*shared
		lookups   []lookup
		namespace string
	}
	m.mu.Lock()
	loaded := make([]restored, 0, len(m.byKey))
	for _, s := range m.byKey {
		loaded = append(loaded, restored{s, s.lookups, s.connector.ObjectNamespace})
	}
	m.mu.Unlock()
	for _, r := range loaded {
		if slices.ContainsFunc(r.lookups, func(l lookup) bool { return l.outdated(ctx, m.Objects, r.namespace) }) {
			m.mu.Lock()
			m.outdate(r.shared)
			m.mu.Unlock()
		}
	}
}

func orInvalid(err error) error {
	if err == nil {
		return connector.ErrInvalid
	}
	return err
}
