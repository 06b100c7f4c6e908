// Package builtin is the one list of the issuers that regcred has.
package builtin

import (
	"cmp"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/anonymous"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/dockerconfig"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/env"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// Definitions are all kinds of issuers, sorted by kind.
func Definitions() []issuers.Definition {
	all := []issuers.Definition{
		anonymous.Definition(),
		distributiontoken.Definition(),
		dockerconfig.Definition(),
		env.Definition(),
		secret.Definition(),
	}
	slices.SortFunc(all, func(a, b issuers.Definition) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}
