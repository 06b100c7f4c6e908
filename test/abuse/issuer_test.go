package abuse

import (
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

func definitions() []issuers.Definition { return builtin.Definitions() }
