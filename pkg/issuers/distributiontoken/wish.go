package distributiontoken

import (
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// wish is what a registry token shall grant.
type wish struct {
	repositories []string
	asked        []connector.Action // sent to the token server
	needed       []connector.Action // less than these is a reduced scope
	limited      bool               // more actions than asked are a wider scope
}

// newWish asks for everything where no actions are named, and then only needs
// pull: a reader's token is what a reader can get.
func newWish(s connector.Scope) wish {
	if len(s.Actions) == 0 {
		return wish{s.Repositories, []connector.Action{connector.Pull, connector.Push}, []connector.Action{connector.Pull}, false}
	}
	actions := slices.Sorted(slices.Values(s.Actions))
	return wish{s.Repositories, actions, actions, true}
}

// check refuses what cannot be written into a token.
func (w wish) check() error {
	const where = "name them in spec.scope.repositories or in the volume attribute repositories"
	if len(w.repositories) == 0 {
		return issuers.Terminate("RepositoriesMissing", "output registryToken is bound to repositories: %s", where)
	}
	for _, r := range w.repositories {
		switch {
		case strings.Contains(r, "*"):
			return issuers.Terminate("RepositoriesNotLiteral", "output registryToken needs plain repository names and %q is a pattern: %s", r, where)
		case connector.CheckRepository(r) != nil:
			return issuers.Terminate("RepositoryInvalid", "%q is no repository name: write, for example, team/app without host and tag", r)
		}
	}
	return nil
}

// scopes are the wish as the specification writes it
// (https://distribution.github.io/distribution/spec/auth/scope/).
func (w wish) scopes() []string {
	var actions []string
	for _, a := range w.asked {
		actions = append(actions, string(a))
	}
	var scopes []string
	for _, r := range w.repositories {
		scopes = append(scopes, "repository:"+r+":"+strings.Join(actions, ","))
	}
	return scopes
}
