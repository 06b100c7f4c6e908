package distributiontoken

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// grant is what a token turns out to be good for, beside the wish.
type grant struct {
	scope   connector.Scope // of the wish, what is granted
	missing []string        // of the wish, what is not
	wider   connector.Scope // beyond the wish, as far as it is a scope
	beyond  []string        // beyond the wish, in words
}

// nothing reports whether no part of the wish is granted as a whole. An empty
// list in a scope would mean everything.
func nothing(s connector.Scope) bool { return len(s.Repositories) == 0 || len(s.Actions) == 0 }

// access is what a token says that it grants: in itself, or in the answer's
// scope where it is opaque. False means that nothing tells.
func (t token) access() ([]issuers.Access, bool) {
	if t.claims.Access != nil {
		return *t.claims.Access, true
	}
	if t.scope == nil {
		return nil, false
	}
	var items []issuers.Access
	for item := range strings.FieldsSeq(*t.scope) {
		kind, rest, _ := strings.Cut(item, ":")
		// Names may hold colons, such as that of a port.
		if end := strings.LastIndexByte(rest, ':'); end >= 0 {
			items = append(items, issuers.Access{Type: kind, Name: rest[:end], Actions: strings.Split(rest[end+1:], ",")})
		}
	}
	return items, true
}

// compare holds a token against the wish. A token that does not tell is taken
// at the token server's word.
func (w wish) compare(t token) grant {
	items, told := t.access()
	if !told {
		return grant{scope: connector.Scope{Repositories: w.repositories, Actions: w.asked}}
	}
	g := grant{scope: connector.Scope{Actions: w.asked}}
	for _, r := range w.repositories {
		var has []connector.Action
		for _, a := range w.asked {
			switch {
			case grants(items, r, string(a)):
				has = append(has, a)
			case slices.Contains(w.needed, a):
				g.missing = append(g.missing, string(a)+" on "+r)
			}
		}
		if len(has) > 0 {
			g.scope.Repositories = append(g.scope.Repositories, r)
			g.scope.Actions = slices.DeleteFunc(slices.Clone(g.scope.Actions), func(a connector.Action) bool { return !slices.Contains(has, a) })
		}
	}
	for _, item := range items {
		for _, action := range item.Actions {
			if !w.covers(item, action) {
				g.exceed(item, action)
			}
		}
	}
	return g
}

func grants(items []issuers.Access, repository, action string) bool {
	return slices.ContainsFunc(items, func(a issuers.Access) bool {
		return a.Type == "repository" && a.Name == repository && (slices.Contains(a.Actions, action) || slices.Contains(a.Actions, "*"))
	})
}

// covers reports whether a right is within the wish.
func (w wish) covers(item issuers.Access, action string) bool {
	return item.Type == "repository" && slices.Contains(w.repositories, item.Name) &&
		(!w.limited || slices.Contains(w.asked, connector.Action(action)))
}

// exceed notes a right beyond the wish. The token server chose its text, so
// only what has the form of a repository and a known action is repeated.
func (g *grant) exceed(item issuers.Access, action string) {
	text := "rights on something else"
	if known(action) && item.Type == "repository" && connector.CheckRepository(item.Name) == nil {
		text = action + " on " + item.Name
		g.wider.Repositories = appendNew(g.wider.Repositories, item.Name)
		g.wider.Actions = appendNew(g.wider.Actions, connector.Action(action))
	}
	g.beyond = appendNew(g.beyond, text)
}

func known(action string) bool {
	return slices.Contains([]string{"pull", "push", "delete", "*"}, action)
}

func appendNew[T comparable](list []T, items ...T) []T {
	for _, item := range items {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// intersect is what two registries grant alike.
func intersect(a, b connector.Scope) connector.Scope {
	return connector.Scope{
		Repositories: slices.DeleteFunc(slices.Clone(a.Repositories), func(r string) bool { return !slices.Contains(b.Repositories, r) }),
		Actions:      slices.DeleteFunc(slices.Clone(a.Actions), func(x connector.Action) bool { return !slices.Contains(b.Actions, x) }),
	}
}

// union is what a client can do by either.
func union(a, b connector.Scope) connector.Scope {
	return connector.Scope{
		Repositories: appendNew(slices.Clone(a.Repositories), b.Repositories...),
		Actions:      appendNew(slices.Clone(a.Actions), b.Actions...),
	}
}

// someOf lists the first few.
func someOf(items []string) string {
	const few = 3
	if len(items) <= few {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:few], ", "), len(items)-few)
}
