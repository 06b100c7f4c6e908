package abuse

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// rivals write one file in two ways, so no volume has both.
var rivals = []string{"docker-config", "docker-helper"}

// cannotCarry are the configurations that refuse a Connector's credential: by
// its form, or because it differs from host to host.
var cannotCarry = map[string][]string{
	"docker": {"containers-auth", "docker-helper", "fields"},
	"tokens": {"containers-auth", "docker-helper"},
}

// everyConfiguration are the lists that a Connector's volumes ask for: together
// all that can carry its credential, by the rival that is among them.
func everyConfiguration(connector string) map[string]string {
	lists := map[string]string{}
	for _, rival := range rivals {
		if slices.Contains(cannotCarry[connector], rival) {
			continue
		}
		lists[rival] = strings.Join(slices.DeleteFunc(render.Names(), func(name string) bool {
			return slices.Contains(cannotCarry[connector], name) || name != rival && slices.Contains(rivals, name)
		}), ",")
	}
	return lists
}

// asksFor is a volume of the Connector with a list of configurations.
func asksFor(connector, pod, configurations string) kubelet.Volume {
	v := kubelet.Volume{
		Namespace: "ci", Pod: pod, ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": connector, "configuration.names": configurations},
	}
	if connector == "tokens" {
		v.Attributes["repositories"] = "team/app"
	}
	return v
}

// refuseAll asks for each configuration that cannot carry a credential: what
// that is told holds none either.
func (n *node) refuseAll() {
	n.t.Helper()
	for connector, names := range cannotCarry {
		for _, name := range names {
			err := n.publish(asksFor(connector, "refused", name))
			refused(n.t, err, codes.FailedPrecondition)
			if told := status.Convert(err).Message(); !strings.HasPrefix(told, "configuration "+name+": connector ci/"+connector+": ") {
				n.t.Errorf("%s with %s: refused for another reason: %s", connector, name, told)
			}
		}
	}
}

// holding are the files of a volume that hold the canary now.
func (n *node) holding(v kubelet.Volume, c canary) []string {
	n.t.Helper()
	found := n.search(filepath.Join(n.kubelet.Target(v), "..data"), "", c)
	slices.Sort(found)
	return found
}

// search follows links to directories, as clients do.
func (n *node) search(root, dir string, c canary) []string {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, dir))
	must(n.t, err)
	var found []string
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(filepath.Join(root, name))
		must(n.t, err)
		switch {
		case info.IsDir():
			found = append(found, n.search(root, name, c)...)
		case e.Name() != helperName:
			content, err := os.ReadFile(filepath.Join(root, name))
			must(n.t, err)
			if len(c.find(content)) > 0 {
				found = append(found, name)
			}
		}
	}
	return found
}

// loginsAt tells in which files a volume with every configuration has a login
// for one host.
func loginsAt(host string) func(rival string) []string {
	return func(rival string) []string {
		return withRival(rival, host, []string{".dockerconfigjson", "auth", "auth.json", "config/" + host + "/config.json", "password", "registry.env"})
	}
}

// just are the files whatever the rival.
func just(files ...string) func(rival string) []string {
	slices.Sort(files)
	return func(string) []string { return files }
}

// withRival adds the file that is the rival's own.
func withRival(rival, host string, files []string) []string {
	if rival == "docker-helper" {
		files = append(files, ".answers/"+host)
	} else {
		files = append(files, "config.json")
	}
	slices.Sort(files)
	return files
}
