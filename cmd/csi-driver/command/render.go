package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/internal/outdir"
	"github.com/regcred/csi-driver-regcred/internal/suggest"
	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func (p Program) render() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render --connectors-dir DIR --connectors LIST --namespace NS --out DIR",
		Short: "Write once, into a plain directory, what a volume would show",
		Long: `render asks the same core as a volume does, once: consent, credential, files.
It writes them into a plain directory, readable for its owner alone, all or
none, and ends: nothing is renewed and nothing is revoked later. Issuers whose
credentials have to be deleted at the provider are therefore refused.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := o.check()
			if err != nil {
				return err
			}
			return p.runRender(cmd.Context(), o, r, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// runRender writes what r asks for. Standard output is for the explanation
// alone.
func (p Program) runRender(ctx context.Context, o renderOptions, r renderRequest, stdout, stderr io.Writer) (err error) {
	if err := guardMemory(); err != nil {
		return err
	}
	ctx = klog.NewContext(ctx, klog.Logger{}) // what matters is printed
	warn := warnings(func(format string, args ...any) { fmt.Fprintf(stderr, "csi-driver: warning: "+format+"\n", args...) })
	tokens, err := r.readTokens()
	if err != nil {
		return err
	}
	r.spec.Tokens, r.spec.Subject.ServiceAccountUID = tokens.byAudience, tokens.uid
	out, err := outdir.Open(r.out)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	got, err := p.renderOnce(ctx, o.manifests, r, warn)
	explain := func(written bool) error {
		if !o.explain {
			return nil
		}
		return p.explain(stdout, r, got, written)
	}
	if err != nil {
		return errors.Join(got.missing(err), explain(false))
	}
	if err := o.helper.bring(got.files); err != nil {
		return errors.Join(err, explain(false))
	}
	explained := false
	if err := out.Write(got.files, r.mode, func() error { explained = true; return explain(true) }); err != nil {
		if explained {
			return err
		}
		return errors.Join(fmt.Errorf("--out: %w", err), explain(false))
	}
	for _, audience := range got.unasked(r.spec.Tokens) {
		warn("--token %s=…: no issuer of these connectors asks for it; it was not used", audience)
	}
	return r.warnOfPlace(out, got.files, warn)
}

// renderAnswer is what the core answers.
type renderAnswer struct {
	calls []call
	input render.Input
	files render.Files
}

// meantConnector adds to an error about a Connector that does not exist which
// one was probably meant.
func meantConnector(err error, source *files.Source, uses []volume.Use) error {
	if !errors.Is(err, connector.ErrNotFound) {
		return err
	}
	var known []string
	for _, ref := range source.Connectors() {
		known = append(known, ref.String())
	}
	slices.Sort(known)
	for _, u := range uses {
		if _, missing := source.Connector(u.Ref); !errors.Is(missing, connector.ErrNotFound) || !strings.Contains(err.Error(), u.Ref.String()) {
			continue
		}
		if meant := suggest.DidYouMean(u.Ref.String(), known); meant != "" {
			return fmt.Errorf("%w%s", err, meant)
		}
	}
	return err
}

// missing adds to an error about an object that does not exist where it was
// looked for.
func (r renderAnswer) missing(err error) error {
	for _, c := range r.calls {
		if where := whichNamespace(c.connector); where != "" && errors.Is(err, connector.ErrNotFound) && strings.Contains(err.Error(), c.connector.Ref.String()) {
			return fmt.Errorf("%w%s", err, where)
		}
	}
	return err
}

// renderOnce runs the core for as long as it takes to render. The calls are
// told also when something fails.
func (p Program) renderOnce(ctx context.Context, o manifests, r renderRequest, warn warnings) (renderAnswer, error) {
	source, err := p.load(ctx, o)
	if err != nil {
		return renderAnswer{}, err
	}
	measured := metrics.New(prometheus.NewRegistry(), p.Version)
	manager, err := p.credentials(source, r.policy, credentials.Options{
		Credentials: &memory{}, Intents: &memory{}, Audit: unaudited{}, Metrics: measured, NamePrefix: "regcred-render",
	})
	if err != nil {
		return renderAnswer{}, err
	}
	manager.Subscribe(nobody{})
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	stop := background(ctx, manager.Run, failed)
	leases := &oneShot{Manager: manager, definitions: p.Issuers, tokens: r.spec.Tokens}
	in, files, err := volume.RenderOnce(ctx, volume.Options{
		Connectors: source, Authorizer: everyone{}, Objects: source, Leases: leases,
		Events: warn, Audit: unaudited{}, Metrics: measured,
	}, r.spec)
	err = errors.Join(meantConnector(err, source, r.spec.Attributes.Uses), stop())
	for _, problem := range source.Problems() {
		if r.concerns(problem) && (err == nil || !strings.Contains(err.Error(), problem.Err.Error())) {
			warn("%s", problem)
		}
	}
	return renderAnswer{calls: leases.calls, input: in, files: files}, err
}

// concerns reports whether a mistake may matter here: that of a Connector which
// is not asked does not.
func (r renderRequest) concerns(problem files.Problem) bool {
	kind, name, named := strings.Cut(problem.Object, " ")
	if !named || kind != v1alpha1.KindConnector && kind != v1alpha1.KindClusterConnector {
		return true
	}
	return slices.ContainsFunc(r.spec.Attributes.Uses, func(u volume.Use) bool {
		if u.Ref.Cluster() {
			return kind == v1alpha1.KindClusterConnector && name == u.Ref.Name
		}
		return kind == v1alpha1.KindConnector && name == u.Ref.String()
	})
}

// warnOfPlace tells when other users can replace the files, and when
// credentials outlive the machine's memory.
func (r renderRequest) warnOfPlace(out *outdir.Dir, files render.Files, warn warnings) error {
	open, err := out.OpenToOthers()
	if err != nil {
		return err
	}
	if open {
		warn("every user can replace the files in %s: chmod it to 0700, or name another directory", r.out)
	}
	inMemory, err := out.OnTmpfs()
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Secret && !inMemory {
			warn("%s is not on a tmpfs: the credentials are on disk now; name a directory on one, such as /dev/shm or $XDG_RUNTIME_DIR", r.out)
			break
		}
	}
	return nil
}
