package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func (m *mistakes) scope(s connector.Scope) connector.Scope {
	const repositories, actions = "spec.scope.repositories", "spec.scope.actions"
	notEmpty(m, repositories, s.Repositories)
	notEmpty(m, actions, s.Actions)
	s.Repositories = limited(m, repositories, s.Repositories, connector.MaxScopeItems)
	for i, repository := range s.Repositories {
		path := fmt.Sprintf("%s[%d]", repositories, i)
		if err := connector.CheckRepository(repository); err != nil {
			m.add(path, "%q %s", repository, err)
		}
		if slices.Contains(s.Repositories[:i], repository) {
			m.add(path, "%q comes twice: keep one", repository)
		}
	}
	s.Actions = limited(m, actions, s.Actions, connector.MaxScopeItems)
	for i, action := range s.Actions {
		path := fmt.Sprintf("%s[%d]", actions, i)
		if enum(m, path, action, connector.Pull, connector.Push) == "" {
			m.add(path, "is empty: write pull or push")
		}
		if slices.Contains(s.Actions[:i], action) {
			m.add(path, "%q comes twice: keep one", string(action))
		}
	}
	return s
}

// issuer converts the one member of spec.issuer, lets its kind check it, and
// holds what the spec demands against what that issuer can do.
func (m *mistakes) issuer(spec *ConnectorSpec, known []issuers.Definition) connector.IssuerConfig {
	set, err := spec.Issuer.members()
	if err != nil {
		m.add("spec.issuer", "cannot be encoded: %v", err)
		return connector.IssuerConfig{}
	}
	if len(set) != 1 {
		if len(set) == 0 {
			m.add("spec.issuer", "names no issuer: write one and its fields, or {} for all defaults, as in anonymous: {}; known are %s", strings.Join(kinds(known), ", "))
		} else {
			m.add("spec.issuer", "write exactly one issuer, not %d; known are %s", len(set), strings.Join(kinds(known), ", "))
		}
		return connector.IssuerConfig{}
	}
	config := set[0]
	i := slices.IndexFunc(known, func(d issuers.Definition) bool { return d.Kind == config.Kind })
	if i < 0 {
		m.add("spec.issuer."+config.Kind, "is not built into this program; known are %s", strings.Join(kinds(known), ", "))
		return config
	}
	issuer, err := known[i].New(config.Config)
	if err != nil {
		for _, mistake := range connector.FieldErrors("spec.issuer."+config.Kind, err) {
			m.add(mistake.Path, "%s", strings.TrimPrefix(mistake.Detail, connector.ErrInvalid.Error()+": "))
		}
		return config
	}
	m.abilities(spec, known[i], issuer)
	return config
}

// abilities refuses, unless told otherwise, what the issuer cannot hold.
func (m *mistakes) abilities(spec *ConnectorSpec, def issuers.Definition, issuer issuers.Issuer) {
	if l, ok := issuer.(issuers.LongLiver); ok && l.LongLived() && !def.Static && !spec.AllowLongLived {
		m.add("spec.allowLongLived", "issuer %s is configured to deliver a long-lived credential: write true to permit it, or choose a short-lived form", def.Kind)
	}
	if def.Static {
		m.ageless(spec, def)
	}
	if def.NeedsRegistries && spec.Address == "" && len(spec.Registries) == 0 {
		m.add("spec.registries", "issuer %s serves the declared registries, and there are none: write spec.address or spec.registries", def.Kind)
	}
	if spec.ScopeEnforcement == connector.BestEffort {
		return
	}
	granted, grain := spec.Scope, connector.GrainIdentity
	if scoper, ok := issuer.(issuers.Scoper); ok {
		granted, grain = scoper.Scope(spec.Scope)
	}
	switch {
	case spec.Scope.IsZero():
	case !connector.GrainIdentity.Coarser(grain):
		m.add("spec.scope", "issuer %s cannot limit a credential: remove spec.scope, or write scopeEnforcement: BestEffort to deliver it unlimited", def.Kind)
	case exceeds(granted, spec.Scope):
		m.add("spec.scope", "issuer %s would grant repositories %q, actions %q, which is more: write that, or scopeEnforcement: BestEffort", def.Kind, granted.Repositories, granted.Actions)
	}
	if grain.Coarser(spec.MinimumScope) {
		m.add("spec.minimumScope", "issuer %s limits a credential only to %s, which is coarser than %s: lower it, or write scopeEnforcement: BestEffort", def.Kind, grain, spec.MinimumScope)
	}
}

// ageless refuses what has no meaning for content that follows its source.
func (m *mistakes) ageless(spec *ConnectorSpec, def issuers.Definition) {
	for path, d := range map[string]*connector.Duration{"spec.maxAge": spec.MaxAge, "spec.defaultTTL": spec.DefaultTTL} {
		if d != nil {
			m.add(path, "has no effect on issuer %s, whose content follows its source alone: leave it out", def.Kind)
		}
	}
}

// exceeds reports whether something granted lies outside the limit.
func exceeds(granted, limit connector.Scope) bool {
	if len(granted.Repositories) == 0 && len(limit.Repositories) > 0 || len(granted.Actions) == 0 && len(limit.Actions) > 0 {
		return true
	}
	_, err := limit.Narrow(granted)
	return err != nil
}

func kinds(known []issuers.Definition) []string {
	names := make([]string, len(known))
	for i, d := range known {
		names[i] = d.Kind
	}
	slices.Sort(names)
	return names
}
