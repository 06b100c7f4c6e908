package render

import (
	"slices"
	"strings"
	"sync"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// configuration is one way to write a volume's content: the files of one
// client or family of clients.
type configuration struct {
	name  string
	alias string // an older spelling, or empty
	// apart: each connector speaks for itself, whoever wins a host.
	apart bool
	// byAction: connectors share a host, one for pulls and one for pushes.
	byAction bool
	// bare: there are no logins in it.
	bare bool
	// paths are what render may produce beside what is in its answer today,
	// directories with a trailing slash: leaving such a file out is no
	// mistake while it happens to be missing.
	paths func(*plan) []string
	// hostDirectories: it may also render a directory for any host, under its
	// name.
	hostDirectories bool
	render          func(*plan) (output, error)
}

// output is what one configuration renders.
type output struct {
	files []File
	// omitted lists mirrors and flags that the format cannot say. A
	// credential that it cannot carry is an error instead.
	omitted []Omission
	// placed tells what became of which host's entries, to be explained.
	placed []placed
}

// configurations is the one list of configurations, sorted by name.
func configurations() []configuration {
	return []configuration{
		{name: "buildkitd", bare: true, paths: always(buildkitdFile, "certs/"), render: buildkitd},
		{name: buildxName, byAction: true, paths: always(buildxRoot), render: buildxScoped},
		{name: "certs-d", bare: true, hostDirectories: true, paths: always(), render: certsD},
		{name: "containerd", bare: true, hostDirectories: true, paths: always(), render: containerd},
		{name: "containers-auth", paths: always(authFile), render: containersAuth},
		{name: "containers-registries", bare: true, paths: always(registriesFile), render: containersRegistries},
		{name: "docker-config", alias: "registry-config", paths: always(configFile), render: dockerConfig},
		{name: "docker-helper", paths: always(configFile, helperProgram, answersDir), render: dockerHelper},
		{name: "dockerd", bare: true, paths: always(daemonFile, "certs.d/"), render: dockerd},
		{name: "fields", apart: true, paths: fieldPaths, render: fields},
		{name: imgpkgName, paths: always(imgpkgFile), render: imgpkgEnv},
	}
}

// always are paths that do not depend on the volume.
func always(paths ...string) func(*plan) []string {
	return func(*plan) []string { return paths }
}

// Names lists the canonical names of the configurations, sorted.
func Names() []string {
	var names []string
	for _, c := range configurations() {
		names = append(names, c.name)
	}
	return names
}

// Canonical returns the canonical name for a name or alias; false when there
// is no such configuration.
func Canonical(name string) (string, bool) {
	c, ok := lookup(name)
	return c.name, ok
}

func lookup(name string) (configuration, bool) {
	all := listed()
	i := slices.IndexFunc(all, func(c configuration) bool {
		return name != "" && (c.name == name || c.alias == name)
	})
	if i < 0 {
		return configuration{}, false
	}
	return all[i], true
}

// listed is the list, made once: a name is looked up at each call of the kubelet.
var listed = sync.OnceValue(configurations)

// chosen looks up the names that a volume asks for, each once.
func chosen(names []string) ([]configuration, error) {
	if len(names) == 0 {
		return nil, connector.Errorf(connector.ErrInvalid, "configuration.names names no configuration: write one or more of %s", strings.Join(Names(), ", "))
	}
	var all []configuration
	for _, name := range names {
		c, ok := lookup(name)
		if !ok {
			return nil, connector.Errorf(connector.ErrInvalid, "configuration %q is not known: write one or more of %s", name, strings.Join(Names(), ", "))
		}
		if !slices.ContainsFunc(all, func(o configuration) bool { return o.name == c.name }) {
			all = append(all, c)
		}
	}
	return all, checkRivals(all)
}

// checkRivals refuses two configurations that differ only in how config.json
// gives logins, also while it happens to be the same because there are none.
func checkRivals(all []configuration) error {
	for _, name := range []string{"docker-config", "docker-helper"} {
		if !slices.ContainsFunc(all, func(c configuration) bool { return c.name == name }) {
			return nil
		}
	}
	return connector.Errorf(connector.ErrInvalid, "configurations docker-config and docker-helper both write config.json, one with the logins and one without: ask for one of them, or mount two volumes")
}
