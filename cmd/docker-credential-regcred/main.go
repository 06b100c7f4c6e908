// Command docker-credential-regcred is the credential helper that volumes with
// the configuration docker-helper carry: it answers registry clients from the
// files of the volume, as they are at the moment of the question.
package main

import (
	"os"
	"strings"

	"github.com/regcred/csi-driver-regcred/cmd/docker-credential-regcred/protocol"
)

// version is set by the linker; the Makefile takes it from git.
var version = "dev"

func main() {
	helper := protocol.Helper{Version: version, Read: os.ReadFile, Generation: generation, Volumes: volumes()}
	os.Exit(helper.Run(os.Args[1:], os.Stdin, os.Stdout))
}

// generation is what the volume's names lead to.
func generation(volume string) string {
	name, _ := os.Readlink(volume + "/..data") // no link, no volume
	return name
}

// volumes are the directories in which a volume may be mounted: the one whose
// config.json the client reads, and the one that this program lies in, as
// VOLUME/bin/docker-credential-regcred or behind a link of that name.
func volumes() []string {
	var all []string
	if config := os.Getenv("DOCKER_CONFIG"); config != "" {
		all = append(all, config)
	}
	if program, err := os.Readlink("/proc/self/exe"); err == nil {
		all = append(all, above(above(program)))
	}
	return all
}

func above(path string) string { return path[:max(0, strings.LastIndexByte(path, '/'))] }
