package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// files renders what the volume has to show now.
func (m *Manager) files(ctx context.Context, v *volume) (rendering, error) {
	in, problem := m.input(ctx, v)
	// What has to go must not stay because something else is missing or cannot
	// be said.
	mustGo := slices.ContainsFunc(v.grants, func(g *grant) bool { return g.credential() == nil })
	if problem != nil && !mustGo {
		return rendering{}, problem
	}
	made, err := m.rendered.render(in)
	if err != nil && mustGo {
		for i := range in.Sources {
			v.grants[i].empty(&in.Sources[i], "the files cannot be rendered: "+err.Error())
		}
		made, err = renderNow(in)
	}
	for i, g := range v.grants {
		g.rendered = in.Sources[i].Credential
	}
	return made, err
}

// input collects what the volume's files are made from. What cannot be shown
// because its trust is not known is emptied, and the error says why.
func (m *Manager) input(ctx context.Context, v *volume) (in render.Input, problem error) {
	a := v.spec.Attributes
	in = render.Input{Configurations: a.Configurations, Exclude: a.Exclude, MountPath: a.MountPath}
	for _, g := range v.grants {
		source, err := m.source(ctx, g)
		switch {
		case err != nil && g.trust != nil:
			m.Events.Event(v.spec.Subject, true, "TrustNotFound", "connector "+g.use.Ref.String()+": "+err.Error()+"; what was known last stays in force")
		case err != nil:
			problem = fmt.Errorf("connector %s: %w", g.use.Ref, err)
			g.empty(&source, err.Error())
		}
		in.Sources = append(in.Sources, source)
	}
	return in, problem
}

// credential is what the grant has to show now.
func (g *grant) credential() *connector.Credential {
	if g.lease == nil {
		return nil
	}
	return g.lease.State().Credential
}

// empty takes a source's secrets out.
func (g *grant) empty(s *render.Source, why string) {
	if s.Credential == nil {
		return
	}
	s.Claims = g.claims(s.Credential.Hosts())
	s.Credential, s.Emptied, s.RenewAt = nil, why, time.Time{}
	for i := range s.Registries {
		s.Registries[i].ClientCertificate, s.Registries[i].ClientKey = nil, connector.Secret{}
	}
}

// claims are the hosts that an emptied source still keeps from the others: a
// glob keeps itself, and the declared ones that it matches.
func (g *grant) claims(hosts []string) []string {
	var kept []string
	for _, host := range hosts {
		key := connector.Key{Host: host}
		kept = append(kept, host)
		if !key.HostGlob() {
			continue
		}
		for _, r := range g.connector.Registries {
			if key.MatchesHost(r.Host) {
				kept = append(kept, r.Host)
			}
		}
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

func (m *Manager) source(ctx context.Context, g *grant) (render.Source, error) {
	s := render.Source{Connector: g.use.Ref, Written: g.use.Written, Emptied: g.emptied()}
	if g.connector == nil {
		return s, nil
	}
	s.Issuer = g.connector.Issuer.Kind
	if asked, err := g.connector.Scope.Narrow(g.use.Want); err == nil { // else the grant is refused
		s.Asked = asked
	}
	hosts := g.hosts
	if g.lease != nil {
		state := g.lease.State()
		s.Credential, s.RenewAt, s.Emptied = state.Credential, state.RenewAt, state.Emptied
		hosts = state.Hosts
	}
	if s.Credential == nil {
		s.Claims, s.RenewAt = g.claims(hosts), time.Time{}
	}
	trust, err := issuers.ResolveTrust(ctx, objectsOf{m.Objects, g.connector.ObjectNamespace}, g.connector.Registries)
	if err == nil {
		g.trust = trust
	}
	for _, t := range g.trust {
		s.Registries = append(s.Registries, registry(t, s.Credential != nil))
	}
	return s, err
}

// registry keeps a client key out unless the Connector delivers it, and when
// the entries are emptied.
func registry(t issuers.Trust, alive bool) render.Registry {
	r := render.Registry{
		Host: t.Host, PlainHTTP: t.PlainHTTP, InsecureSkipVerify: t.TLS.InsecureSkipVerify, CA: t.CA, Mirrors: t.Mirrors,
	}
	if t.TLS.DeliverClientCertificate && alive {
		r.ClientCertificate, r.ClientKey = t.ClientCertificate, t.ClientKey
	}
	return r
}

// objectsOf reads the objects of one namespace.
type objectsOf struct {
	objects   Objects
	namespace string
}

// Object implements issuers.Objects.
func (o objectsOf) Object(ctx context.Context, kind connector.ObjectKind, name string) (*connector.Object, error) {
	return o.objects.Object(ctx, kind, o.namespace, name)
}

// Select implements issuers.Objects; trust is never selected.
func (o objectsOf) Select(context.Context, connector.ObjectKind, connector.Selector) ([]*connector.Object, error) {
	return nil, connector.Errorf(connector.ErrInvalid, "trust is read by name")
}

// rerender brings the content up to date. On failure the last good content
// stays and another try is planned.
func (m *Manager) rerender(ctx context.Context, v *volume) {
	if until := v.waitsUntil(); !until.IsZero() {
		m.mu.Lock()
		defer m.mu.Unlock()
		v.retryNoLaterThan(until)
		return
	}
	made, err := m.files(ctx, v)
	if err != nil {
		m.report(v, err)
		return
	}
	emptied := m.emptied(v)
	changed, err := m.update(v, made, emptied != "")
	if changed { // also when something failed after that
		m.mu.Lock()
		v.sweepNoLaterThan(time.Now().Round(0).Add(sweepAfter))
		m.mu.Unlock()
		m.delivered(v)
		klog.FromContext(ctx).Info("Volume updated", "connectors", refs(v), "emptied", emptied)
		if emptied != "" {
			m.Events.Event(v.spec.Subject, true, "Emptied", emptied)
		}
	}
	switch {
	case errors.Is(err, connector.ErrNotFound):
		return // the mount is lost; the kubelet's next call publishes afresh
	case err != nil:
		m.report(v, fmt.Errorf("updating the files: %w", err))
		return
	}
	m.mu.Lock()
	behind := v.behind()
	v.problem = cmp.Or(emptied, behind)
	if behind == "" {
		v.retries = 0
	}
	m.mu.Unlock()
	if v.adopted && !changed { // only now it is known which credentials were shown
		for _, g := range v.grants {
			if g.rendered != nil {
				g.delivered = g.rendered.ID
			}
		}
	}
	v.adopted = false
}

// update shows what was made, unless that is what the volume shows: only this
// driver writes to it. What has to be cut is looked for in any case.
func (m *Manager) update(v *volume, made rendering, purge bool) (changed bool, err error) {
	if made.sum == v.shown && !purge {
		return false, nil
	}
	v.shown = digest{} // nobody knows, should the update fail
	changed, err = m.Disk.Update(v.spec.Place, made.files, purge)
	if err == nil {
		v.shown = made.sum
	}
	return changed, err
}

// waitsUntil returns until when the files stay as they are, because the
// credential of a connector is lost and may soon be had again; zero when that is
// over, or another connector's entries have to change.
func (v *volume) waitsUntil() (until time.Time) {
	for _, g := range v.grants {
		switch cred := g.credential(); {
		case g.lost() && time.Since(g.lostAt) < lostGrace:
			until = g.lostAt.Add(lostGrace)
		case cred == nil || cred.ID != g.delivered:
			return time.Time{}
		}
	}
	return until
}

// emptied says which connectors show no credential, and why.
func (m *Manager) emptied(v *volume) string {
	for _, g := range v.grants {
		why := g.emptied()
		if g.lease != nil {
			if state := g.lease.State(); state.Credential == nil {
				why = state.Emptied
			}
		}
		if why != "" {
			return "the entries of connector " + g.use.Ref.String() + " are emptied: " + why
		}
	}
	return ""
}

// emptied says why a grant without a lease shows nothing.
func (g *grant) emptied() string {
	if g.lost() {
		return "the credential was lost with the runtime directory, and another one cannot be had"
	}
	return g.withdrawn
}

func (m *Manager) sweep(ctx context.Context, v *volume) {
	now := time.Now().Round(0)
	left, err := m.Disk.Sweep(v.spec.Place, now.Add(-sweepAfter))
	switch {
	case errors.Is(err, connector.ErrNotFound):
		return
	case err != nil:
		klog.FromContext(ctx).Error(err, "Removing superseded files failed; trying again")
		left = now
	case left.IsZero():
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v.sweepNoLaterThan(left.Add(sweepAfter))
}

// delivered audits each credential that the files show for the first time.
func (m *Manager) delivered(v *volume) {
	for _, g := range v.grants {
		cred := g.rendered // the lease may have a newer one by now
		if cred == nil || cred.ID == g.delivered {
			continue
		}
		g.delivered = cred.ID
		m.warn(v, g, cred.Warnings)
		r := audit.Of(audit.Delivered, g.connector, cred)
		r.Subject, r.VolumeID = v.identity.Load().subject, v.spec.Place.ID
		m.Audit.Write(r)
	}
}

// warn tells the pod's owner of each finding of an issuer once.
func (m *Manager) warn(v *volume, g *grant, warnings []string) {
	for _, warning := range warnings {
		if !slices.Contains(g.warned, warning) {
			g.warned = append(g.warned, warning)
			m.Events.Event(v.spec.Subject, true, "CredentialWarning", "connector "+g.use.Ref.String()+": "+warning)
		}
	}
	g.warned = slices.DeleteFunc(g.warned, func(told string) bool { return !slices.Contains(warnings, told) })
}
