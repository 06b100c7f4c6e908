package command

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

// manifests are the flags that say where Connectors and Secrets are read.
type manifests struct {
	connectorsDir            string
	clusterResourceNamespace string
}

func (o *manifests) addConnectorsDir(f *pflag.FlagSet, usage string) {
	f.StringVar(&o.connectorsDir, "connectors-dir", "", usage)
}

func (o *manifests) addClusterResourceNamespace(f *pflag.FlagSet) {
	f.StringVar(&o.clusterResourceNamespace, "cluster-resource-namespace", "regcred-system", "namespace in which references of ClusterConnectors are read")
}

func (o *manifests) check(m *mistakes) {
	if o.connectorsDir == "" {
		m.flag("connectors-dir", errors.New("is required: name a directory of Connector manifests"))
	}
}

// destinations are the flags that say where issuers may call, and which tokens
// may go there.
type destinations struct {
	audiences    []string
	allowedHosts []string
}

func (o *destinations) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.audiences, "audience", nil, "AUD=HOST[,HOST]…: hosts to which tokens of an audience may go; repeatable")
	f.StringSliceVar(&o.allowedHosts, "allowed-hosts", nil, "host globs[:port] and CIDRs that issuers may call; loopback only when named here (default: public and private addresses)")
}

// policy is that of standalone mode, where loopback can be allowed.
func (o *destinations) policy(m *mistakes) issuers.Policy {
	hosts, err := issuers.ParseAllowedHosts(o.allowedHosts...)
	m.flag("allowed-hosts:", err)
	audiences, err := issuers.ParseAudiences(o.audiences...)
	m.flag("audience:", err)
	return issuers.Policy{AllowedHosts: hosts, AllowLoopback: true, Audiences: audiences}
}

// load reads the manifests.
func (p Program) load(ctx context.Context, o manifests) (*files.Source, error) {
	source, err := files.New(files.Options{
		Dir: o.connectorsDir, ClusterResourceNamespace: o.clusterResourceNamespace, Issuers: p.Issuers,
	})
	if err != nil {
		return nil, err
	}
	return source, source.Load(ctx)
}

// credentials wires the part that every way to run standalone has in common:
// what issuers give for manifests. The options name what keeps and records it.
func (p Program) credentials(source *files.Source, policy issuers.Policy, o credentials.Options) (*credentials.Manager, error) {
	guard, err := issuers.NewGuard(policy)
	if err != nil {
		return nil, usageError{err}
	}
	o.Definitions, o.Objects, o.Clients = p.Issuers, source, issuers.Clients{Guard: guard}
	return credentials.New(o)
}
