package soak

import (
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// noTokens are the configurations that carry no registry token, only logins.
var noTokens = []string{"containers-auth", "docker-helper"}

// rivals write config.json in two ways, so no volume has both.
var rivals = []string{"docker-config", "docker-helper"}

// all is every configuration that can stand beside the rival, without others.
func all(rival string, without ...string) string {
	return strings.Join(slices.DeleteFunc(render.Names(), func(name string) bool {
		return name != rival && slices.Contains(rivals, name) || slices.Contains(without, name)
	}), ",")
}

// tokenTurns and loginTurns are what volumes ask for, one after the other:
// each configuration alone, and all together.
func tokenTurns() []string {
	turns := slices.DeleteFunc(render.Names(), func(name string) bool { return slices.Contains(noTokens, name) })
	return append(turns, all("docker-config", noTokens...))
}

func loginTurns() []string {
	return append(render.Names(), all("docker-config"), all("docker-helper"))
}

// residentTurns are for pods that read: all that there is, and one without the
// rest.
func residentTurns(connector string) []string {
	if slices.Contains(static, connector) {
		return []string{all("docker-config"), all("docker-helper"), "docker-config", "docker-helper"}
	}
	return []string{all("docker-config", noTokens...), "docker-config"}
}
