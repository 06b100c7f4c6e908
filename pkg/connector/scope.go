package connector

import (
	"slices"
	"strings"
)

// Action is what a credential may do with a repository.
type Action string

// The actions of the distribution token specification that regcred knows.
const (
	Pull Action = "pull"
	Push Action = "push"
)

// Scope limits a credential. Empty Repositories or Actions mean all that the
// identity has. A repository pattern uses * within one segment and ** across
// segments.
type Scope struct {
	// Repositories are repository names or patterns, without the host. In a
	// pattern * stands for characters within one segment, ** for any number
	// of segments. Only whole segments are matched: team/* holds team/app,
	// never team-evil/app.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^(\*\*|(\*|\*?[a-z0-9]+(\*[a-z0-9]+)*\*?)((\.|_|__|-+)(\*|\*?[a-z0-9]+(\*[a-z0-9]+)*\*?))*)(/(\*\*|(\*|\*?[a-z0-9]+(\*[a-z0-9]+)*\*?)((\.|_|__|-+)(\*|\*?[a-z0-9]+(\*[a-z0-9]+)*\*?))*))*$`
	// +kubebuilder:validation:items:XValidation:rule="self.split('*').size() <= 9",message="at most 8 asterisks stand in one pattern"
	Repositories []string `json:"repositories,omitempty"`
	// Actions are pull, push or both.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:items:Enum=pull;push
	Actions []Action `json:"actions,omitempty"`
}

// IsZero reports whether the scope limits nothing.
func (s Scope) IsZero() bool { return len(s.Repositories) == 0 && len(s.Actions) == 0 }

// ParseActions reads a comma-separated list. The error wraps ErrInvalid.
func ParseActions(list string) ([]Action, error) {
	var actions []Action
	for item := range strings.SplitSeq(list, ",") {
		action := Action(strings.TrimSpace(item))
		if action != Pull && action != Push {
			return nil, Errorf(ErrInvalid, "action %q: write pull or pull,push", action)
		}
		if !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
	}
	slices.Sort(actions)
	return actions, nil
}

// Narrow returns what a volume that asks for want gets under the limit s.
// It only ever takes away: a wish outside the limit is ErrDenied, so that
// a volume never silently gets less, or more, than it asked for.
func (s Scope) Narrow(want Scope) (Scope, error) {
	out := Scope{Repositories: s.Repositories, Actions: s.Actions}
	if len(want.Repositories) > 0 {
		for _, repository := range want.Repositories {
			if len(s.Repositories) > 0 && !slices.ContainsFunc(s.Repositories, func(p string) bool { return covers(p, repository) }) {
				return Scope{}, Errorf(ErrDenied, "repository %q is outside the Connector's spec.scope.repositories %q", repository, s.Repositories)
			}
		}
		out.Repositories = want.Repositories
	}
	if len(want.Actions) > 0 {
		for _, action := range want.Actions {
			if len(s.Actions) > 0 && !slices.Contains(s.Actions, action) {
				return Scope{}, Errorf(ErrDenied, "action %q is outside the Connector's spec.scope.actions %q", action, s.Actions)
			}
		}
		out.Actions = want.Actions
	}
	return out.sorted(), nil
}

// sorted makes equal scopes equal as values, whatever order they were written in.
func (s Scope) sorted() Scope {
	s.Repositories = slices.Compact(slices.Sorted(slices.Values(s.Repositories)))
	s.Actions = slices.Compact(slices.Sorted(slices.Values(s.Actions)))
	return s
}

// Literal reports whether every repository is a plain name.
func (s Scope) Literal() bool {
	return !slices.ContainsFunc(s.Repositories, func(r string) bool { return strings.Contains(r, "*") })
}

// Grain is how finely a provider can limit a credential, from coarse to fine.
type Grain string

// The grains, coarse to fine.
const (
	GrainNone       Grain = "none"
	GrainIdentity   Grain = "identity"
	GrainProject    Grain = "project"
	GrainRepository Grain = "repository"
)

var grains = []Grain{GrainNone, GrainIdentity, GrainProject, GrainRepository}

// Coarser reports whether g is coarser than other. The empty grain is GrainNone.
func (g Grain) Coarser(other Grain) bool {
	return max(slices.Index(grains, g), 0) < max(slices.Index(grains, other), 0)
}
