package distributiontoken

import (
	"regexp"
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
}

// newWish asks for everything where no actions are named, and then only needs
// pull: a reader's token is what a reader can get.
func newWish(s connector.Scope) wish {
	if len(s.Actions) == 0 {
		return wish{s.Repositories, []connector.Action{connector.Pull, connector.Push}, []connector.Action{connector.Pull}}
	}
	actions := slices.Sorted(slices.Values(s.Actions))
	return wish{s.Repositories, actions, actions}
}

// repositoryName is https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

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
		case !repositoryName.MatchString(r):
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

// compare tells what of the wish a token grants, and lists what is missing. A
// token that does not tell is taken at the token server's word.
func (w wish) compare(t token) (granted connector.Scope, missing []string) {
	if t.opaque() {
		return connector.Scope{Repositories: w.repositories, Actions: w.asked}, nil
	}
	granted.Actions = w.asked
	for _, r := range w.repositories {
		var has []connector.Action
		for _, a := range w.asked {
			switch {
			case t.grants(r, string(a)):
				has = append(has, a)
			case slices.Contains(w.needed, a):
				missing = append(missing, string(a)+" on "+r)
			}
		}
		if len(has) > 0 {
			granted.Repositories = append(granted.Repositories, r)
			granted.Actions = slices.DeleteFunc(slices.Clone(granted.Actions), func(a connector.Action) bool { return !slices.Contains(has, a) })
		}
	}
	return granted, missing
}

// grants looks into the token itself, or into the answer's scope where the
// token is opaque.
func (t token) grants(repository, action string) bool {
	if t.claims.Access != nil {
		return slices.ContainsFunc(*t.claims.Access, func(a issuers.Access) bool {
			return a.Type == "repository" && a.Name == repository && (slices.Contains(a.Actions, action) || slices.Contains(a.Actions, "*"))
		})
	}
	for scope := range strings.FieldsSeq(*t.scope) {
		parts := strings.Split(scope, ":")
		if len(parts) == 3 && parts[0] == "repository" && parts[1] == repository {
			actions := strings.Split(parts[2], ",")
			return slices.Contains(actions, action) || slices.Contains(actions, "*")
		}
	}
	return false
}
