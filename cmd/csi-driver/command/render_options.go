package command

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// renderOptions are the flags of csi-driver render.
type renderOptions struct {
	connectors     string
	namespace      string
	serviceAccount string
	configuration  string
	repositories   string
	attributes     []string
	tokens         []string
	explain        bool
	out            string

	manifests    manifests
	destinations destinations
	helper       helper
}

const (
	// defaultServiceAccount is that of a pod that names none.
	defaultServiceAccount = "default"
	// ownerOnly is the mode of rendered files unless file.mode says otherwise:
	// a plain directory has no mount options and no pod around it.
	ownerOnly fs.FileMode = 0o600
)

func (o *renderOptions) addFlags(f *pflag.FlagSet) {
	o.manifests.addConnectorsDir(f, "directory of Connector, ClusterConnector, Secret, ConfigMap, Namespace and ServiceAccount manifests, with its direct sub-directories (required)")
	f.StringVar(&o.connectors, "connectors", "", "connectors as a pod names them: name, namespace/name or cluster:name, the first wins a host (required)")
	f.StringVar(&o.namespace, "namespace", "", "namespace of the pod that would ask (required)")
	f.StringVar(&o.serviceAccount, "service-account", defaultServiceAccount, "ServiceAccount of the pod that would ask")
	f.StringVar(&o.configuration, "configuration", "", "what to render, as in configuration.names (default docker-config)")
	f.StringVar(&o.repositories, "repositories", "", "repositories to narrow the credential to, as in the attribute repositories")
	f.StringArrayVar(&o.attributes, "attribute", nil, "KEY=VALUE: any other volume attribute, such as actions=pull or repositories.harbor=team/app; repeatable")
	f.StringArrayVar(&o.tokens, "token", nil, "AUDIENCE=FILE: a ServiceAccount token for issuers that ask for one; it must be of --service-account in --namespace; repeatable")
	o.destinations.addFlags(f)
	o.manifests.addClusterResourceNamespace(f)
	o.helper.addFlag(f)
	f.BoolVar(&o.explain, "explain", false, "print which connector and which rule produced each entry of each file, and what was left out")
	f.StringVar(&o.out, "out", "", "directory to write to, made when missing; best on a tmpfs (required)")
}

// renderRequest is what the flags ask for.
type renderRequest struct {
	spec   volume.Spec
	mode   fs.FileMode
	policy issuers.Policy
	tokens map[string]string // files by audience
	out    string
}

// check reports every mistake at once, each naming its flag.
func (o *renderOptions) check() (renderRequest, error) {
	var m mistakes
	o.manifests.check(&m)
	r := renderRequest{policy: o.destinations.policy(&m), tokens: o.tokenFiles(&m), out: filepath.Clean(o.out), mode: ownerOnly}
	if o.out == "" {
		m.flag("out", errors.New("is required: name the directory to write to"))
	}
	namespace := o.namespace
	switch {
	case namespace == "":
		m.flag("namespace", errors.New("is required: name the namespace of the pod that would ask"))
	case !connector.IsName(namespace) || strings.Contains(namespace, "."):
		m.flag("namespace", fmt.Errorf("%q is not the name of a namespace", namespace))
	}
	if !connector.IsName(o.serviceAccount) {
		m.flag("service-account", fmt.Errorf("%q is not the name of a ServiceAccount", o.serviceAccount))
	}
	if !connector.IsName(namespace) {
		namespace = "default" // so that the attributes are judged for themselves
	}
	attributes, err := volume.ParseAttributes(o.volumeAttributes(&m), namespace)
	for _, mistake := range connector.FieldErrors("", err) {
		m.flag(flagOf(mistake.Path), errors.New(mistake.Detail))
	}
	if attributes.FileMode != 0 {
		r.mode = attributes.FileMode
	}
	r.spec = volume.Spec{
		Place:      volume.Place{ID: "render"},
		Subject:    connector.Subject{Namespace: o.namespace, ServiceAccount: o.serviceAccount},
		Attributes: attributes,
	}
	return r, m.err()
}

// attributeFlags are the flags that stand for an attribute.
func attributeFlags() map[string]string {
	return map[string]string{"connectors": "connectors", "configuration.names": "configuration", "repositories": "repositories"}
}

// flagOf names the flag by which an attribute was given.
func flagOf(attribute string) string {
	if name, ok := attributeFlags()[attribute]; ok {
		return name
	}
	return "attribute " + attribute
}

// volumeAttributes puts together what a pod would write.
func (o *renderOptions) volumeAttributes(m *mistakes) map[string]string {
	all := map[string]string{}
	for attribute, value := range map[string]string{
		"connectors": o.connectors, "configuration.names": o.configuration, "repositories": o.repositories,
	} {
		if value != "" {
			all[attribute] = value
		}
	}
	for _, written := range o.attributes {
		key, value, ok := strings.Cut(written, "=")
		_, twice := all[key]
		switch name, has := attributeFlags()[key]; {
		case !ok || key == "":
			m.flag("attribute", fmt.Errorf("%q: write KEY=VALUE", written))
		case has:
			m.flag("attribute", fmt.Errorf("%s: use --%s", key, name))
		case twice:
			m.flag("attribute", fmt.Errorf("%s is given twice", key))
		default:
			all[key] = value
		}
	}
	return all
}

// tokenFiles reads AUDIENCE=FILE. Audiences are URLs at times, and hold no
// more than file names do an equals sign; the last one counts, as for
// --audience.
func (o *renderOptions) tokenFiles(m *mistakes) map[string]string {
	all := map[string]string{}
	for i, written := range o.tokens {
		flag := "token"
		if len(o.tokens) > 1 {
			flag = fmt.Sprintf("token number %d", i+1)
		}
		cut := strings.LastIndexByte(written, '=')
		if cut <= 0 || cut == len(written)-1 {
			m.flag(flag, errors.New("needs AUDIENCE=FILE: the file holds the token")) // not quoted: it may be one
			continue
		}
		audience := written[:cut]
		if _, twice := all[audience]; twice {
			m.flag(flag, fmt.Errorf("names audience %q twice", audience))
		}
		all[audience] = written[cut+1:]
	}
	return all
}
