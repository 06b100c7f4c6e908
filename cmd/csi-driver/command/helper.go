package command

import (
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// helper says where the program lies that docker-helper brings.
type helper struct{ path string }

const helperName = "docker-credential-regcred"

func (h *helper) addFlag(f *pflag.FlagSet) {
	f.StringVar(&h.path, "credential-helper", "", "program that the configuration docker-helper brings into volumes (default "+helperName+" beside csi-driver)")
}

// file is the program's path; whether it is there is asked when it is needed.
func (h *helper) file() string {
	if h.path != "" {
		return h.path
	}
	self, err := os.Executable()
	if err != nil {
		return helperName
	}
	return filepath.Join(filepath.Dir(self), helperName)
}

// bring fills the program in where files have one.
func (h *helper) bring(files render.Files) error {
	for i := range files {
		if !files[i].Program {
			continue
		}
		data, err := os.ReadFile(h.file())
		if err != nil {
			return connector.Errorf(connector.ErrPrecondition, "%s: %w: build it beside csi-driver, or name it by --credential-helper", files[i].Path, err)
		}
		files[i].Data = data
	}
	return nil
}
