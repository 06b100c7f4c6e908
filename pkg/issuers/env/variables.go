package env

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// The variables of one registry, after the prefix.
const (
	hostname      = "HOSTNAME"
	username      = "USERNAME"
	password      = "PASSWORD"
	identityToken = "IDENTITY_TOKEN"
	registryToken = "REGISTRY_TOKEN"

	// azureConfig is imgpkg's too, and names a file on its machine.
	azureConfig = "AZURE_CR_CONFIG"
)

// variables are the names in the order in which texts list them.
func variables() []string {
	return []string{hostname, username, password, identityToken, registryToken}
}

// maxGroups is more than anybody's environment holds.
const maxGroups = 1000

// group is what the variables of one suffix say.
type group struct {
	prefix, suffix string
	values         map[string]connector.Secret // by variable; one that is empty is there
}

// key is the name of a variable as it is written.
func (g group) key(variable string) string {
	if g.suffix == "" {
		return g.prefix + variable
	}
	return g.prefix + variable + "_" + g.suffix
}

// parseVariables groups variables by suffix: the one without first, then by
// number, then by name. A key with the prefix that is no variable is an error;
// ignored are the keys without it.
func parseVariables(prefix string, data map[string]connector.Secret) (groups []group, ignored []string, err error) {
	bySuffix := map[string]group{}
	var unknown []string
	for _, key := range slices.Sorted(maps.Keys(data)) {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok || prefix == defaultPrefix && name == azureConfig {
			ignored = append(ignored, key)
			continue
		}
		variable, suffix, ok := splitVariable(name)
		if !ok {
			unknown = append(unknown, key)
			continue
		}
		g, ok := bySuffix[suffix]
		if !ok {
			g = group{prefix: prefix, suffix: suffix, values: map[string]connector.Secret{}}
			bySuffix[suffix] = g
		}
		g.values[variable] = data[key]
	}
	switch {
	case len(unknown) > 0:
		return nil, nil, fmt.Errorf("holds keys that are no variable: %s; after %s come %s, and for each further registry _ and a suffix", listed(unknown), prefix, strings.Join(variables(), ", "))
	case len(bySuffix) == 0:
		return nil, nil, fmt.Errorf("holds no key that begins with %s", prefix)
	case len(bySuffix) > maxGroups:
		return nil, nil, fmt.Errorf("holds %d registries, and at most %d are read: split it", len(bySuffix), maxGroups)
	}
	groups = slices.SortedFunc(maps.Values(bySuffix), func(a, b group) int { return compareSuffixes(a.suffix, b.suffix) })
	return groups, ignored, nil
}

func splitVariable(name string) (variable, suffix string, ok bool) {
	for _, v := range variables() {
		if name == v {
			return v, "", true
		}
		if suffix, ok := strings.CutPrefix(name, v+"_"); ok && suffix != "" {
			return v, suffix, true
		}
	}
	return "", "", false
}

// compareSuffixes orders numbers by value, however many digits they have, and
// before words.
func compareSuffixes(a, b string) int {
	digits := func(s string) string { // empty = no number
		if strings.Trim(s, "0123456789") != "" {
			return ""
		}
		return cmp.Or(strings.TrimLeft(s, "0"), s[:min(len(s), 1)])
	}
	numberA, numberB := digits(a), digits(b)
	if a != "" && b != "" && (numberA == "") != (numberB == "") {
		if numberA == "" {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(len(numberA), len(numberB)), cmp.Compare(numberA, numberB), cmp.Compare(a, b))
}

// serves tells what the group is for, and each key in which there is what no
// client could send, or no registry.
func (g group) serves(wrong func(key string, problem error)) connector.Key {
	var match connector.Key
	for _, v := range variables() {
		text := g.values[v].Reveal()
		err := pullsecret.CheckText(text)
		switch {
		case v == hostname && err == nil:
			match, err = parseMatch(text)
		case v == username:
			err = pullsecret.CheckUser(text)
		case v == registryToken:
			err = pullsecret.CheckToken(text)
		}
		if err != nil {
			wrong(g.key(v), err)
		}
	}
	return match
}

// entry makes what the group says. Warnings tell what was left out; the error
// reads on after the name of the Secret, and shows no value.
func (g group) entry(match connector.Key) (entry connector.Entry, warnings []string, err error) {
	entry.Key = match
	user, pass := g.values[username], g.values[password]
	// A client that is given several forms takes the first of these.
	switch {
	case !g.values[registryToken].IsZero():
		entry.RegistryToken = g.values[registryToken]
		warnings = g.leftOut(registryToken, identityToken, username, password)
	case !g.values[identityToken].IsZero():
		entry.Username, entry.IdentityToken = user.Reveal(), g.values[identityToken]
		warnings = g.leftOut(identityToken, password)
	case user.IsZero() != pass.IsZero():
		return entry, nil, fmt.Errorf("needs both keys %q and %q", g.key(username), g.key(password))
	case !user.IsZero():
		entry.Username, entry.Password = user.Reveal(), pass
	default:
		entry.Anonymous = true
		if len(g.values) > 1 {
			warnings = []string{fmt.Sprintf("%s: nothing is in it: %s is used without a login", listed(g.keys()[1:]), entry.Key)}
		}
	}
	return entry, warnings, nil
}

// empty reports whether the group says nothing: variables that are set to
// nothing are as good as not set.
func (g group) empty() bool {
	for _, value := range g.values {
		if !value.IsZero() {
			return false
		}
	}
	return true
}

// keys are those that are there, in the order of variables.
func (g group) keys() []string {
	var all []string
	for _, v := range variables() {
		if _, ok := g.values[v]; ok {
			all = append(all, g.key(v))
		}
	}
	return all
}

// leftOut tells which variables are there for nothing beside another one.
func (g group) leftOut(used string, others ...string) []string {
	var idle []string
	for _, v := range others {
		if !g.values[v].IsZero() {
			idle = append(idle, g.key(v))
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s left out: clients prefer %q", listed(idle), g.key(used))}
}

// maxListed is how many names one text lists.
const maxListed = 5

// listed quotes names, in one line of bounded length.
func listed(names []string) string {
	quotes := make([]string, 0, maxListed)
	for _, name := range names[:min(len(names), maxListed)] {
		quotes = append(quotes, fmt.Sprintf("%q", name))
	}
	text := strings.Join(quotes, ", ")
	if more := len(names) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
