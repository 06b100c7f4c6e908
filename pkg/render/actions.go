package render

import (
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// serves is the connector that serves one action of a host where connectors
// share it by action: the first that claims the host and may do this.
func (p *plan) serves(h *host, action connector.Action) *voice {
	for _, v := range p.voices {
		actions := v.actions()
		if v.claims[h.name] && (len(actions) == 0 || slices.Contains(actions, action)) {
			return v
		}
	}
	return nil
}

// shares reports whether a connector serves an action of a host beside its
// owner.
func (p *plan) shares(v *voice, h *host) bool {
	return p.byAction && (p.serves(h, connector.Pull) == v || p.serves(h, connector.Push) == v)
}

// actions are those that the source's login is for, none = all: of what the pod
// asked for what was granted.
func (v *voice) actions() []connector.Action {
	if v.Credential == nil || len(v.Credential.Granted.Actions) == 0 {
		return v.Asked.Actions
	}
	granted := v.Credential.Granted.Actions
	both := slices.DeleteFunc(slices.Clone(granted), func(a connector.Action) bool { return !slices.Contains(v.Asked.Actions, a) })
	if len(both) == 0 {
		return granted
	}
	return both
}

// repositories are the only ones that the source's login is for; nil where
// nobody limited it, or only by patterns.
func (v *voice) repositories() []string {
	if v.Credential == nil {
		return nil
	}
	for _, scope := range []connector.Scope{v.Asked, v.Credential.Granted} {
		if len(scope.Repositories) > 0 && scope.Literal() {
			return scope.Repositories
		}
	}
	return nil
}
