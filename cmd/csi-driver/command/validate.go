package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

func (p Program) validate() *cobra.Command {
	var o manifests
	cmd := &cobra.Command{
		Use:   "validate FILE|DIR…",
		Short: "Print every mistake in manifests",
		Long: `validate reads Connectors, ClusterConnectors, Secrets, ConfigMaps, Namespaces
and ServiceAccounts as csi-driver node would, and prints every mistake with
file, line and field. Directories are read with their direct sub-directories.

Warnings tell what depends on more than these files, such as a Secret that is
not among them; they do not count as mistakes.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("validate: name the files or directories to read")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, paths []string) error {
			return p.runValidate(cmd.Context(), o, paths, cmd.OutOrStdout())
		},
	}
	o.addClusterResourceNamespace(cmd.Flags())
	return cmd
}

func (p Program) runValidate(ctx context.Context, o manifests, paths []string, stdout io.Writer) error {
	checked := files.Validate(v1alpha1.Options{ClusterResourceNamespace: o.clusterResourceNamespace, Issuers: p.Issuers}, paths...)
	for _, problem := range checked.Problems {
		fmt.Fprintln(stdout, problem)
	}
	if checked.Objects == 0 && len(checked.Problems) == 0 {
		return errors.New("validate: the files hold no object: nothing was checked")
	}
	warned := 0
	for _, c := range checked.Connectors {
		for _, doubt := range p.doubts(ctx, c.Connector, checked.Source) {
			warned++
			fmt.Fprintf(stdout, "warning: %s\n", c.Problem(doubt))
		}
	}
	summary := fmt.Sprintf("%s in %s, %s", count(checked.Objects, "object"), count(checked.Files, "file"), mistaken(len(checked.Problems)))
	if warned > 0 {
		summary += ", " + count(warned, "warning")
	}
	fmt.Fprintln(stdout, summary)
	if len(checked.Problems) > 0 {
		return errTold
	}
	return nil
}

func mistaken(n int) string {
	if n == 0 {
		return "no mistakes"
	}
	return count(n, "mistake")
}

// count says how many there are.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
