package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func (p Program) issuers() *cobra.Command {
	return &cobra.Command{
		Use:   "issuers [KIND]",
		Short: "Print what issuers there are, or what one of them needs",
		Long: `issuers lists the kinds of issuers that a Connector can name in spec.issuer.
With a KIND it prints whom the provider sees, how long a credential lives,
every field, and a complete Connector as an example.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q: name one kind", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return p.listIssuers(cmd.OutOrStdout())
			}
			return p.describeIssuer(cmd.OutOrStdout(), args[0])
		},
	}
}

func (p Program) listIssuers(w io.Writer) error {
	var rows [][]string
	for _, d := range p.Issuers {
		rows = append(rows, []string{d.Kind, yesNo(d.Static), string(d.Sharing), d.Summary})
	}
	return table(w, "", []string{"KIND", "STORED", "SHARED BY", "SUMMARY"}, rows)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (p Program) describeIssuer(w io.Writer, kind string) error {
	i := slices.IndexFunc(p.Issuers, func(d issuers.Definition) bool { return strings.EqualFold(d.Kind, kind) })
	if i < 0 {
		kinds := make([]string, len(p.Issuers))
		for i, d := range p.Issuers {
			kinds[i] = d.Kind
		}
		return usageError{fmt.Errorf("there is no issuer %q%s", kind, didYouMean(kind, kinds))}
	}
	d := p.Issuers[i]
	fields, err := issuerFields(d.Kind)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n\n%s\n\n", d.Kind, d.Summary)
	for _, line := range [][2]string{
		{"Identity:", d.Identity}, {"Life:", d.Life}, {"Shared by:", string(d.Sharing) + " at the widest; spec.sharing can narrow it"},
	} {
		fmt.Fprintf(w, "%-11s %s\n", line[0], line[1])
	}
	if d.NeedsRegistries {
		fmt.Fprintln(w, "Registries: spec.address or spec.registries is required")
	}
	fmt.Fprintf(w, "\nspec.issuer.%s:\n\n", d.Kind)
	for _, f := range fields {
		f.print(w, "  ")
	}
	if len(fields) == 1 {
		fmt.Fprintf(w, "  There are no fields: write %s: {}\n", d.Kind)
	}
	fmt.Fprintf(w, "\nExample:\n\n%s", d.Example)
	return nil
}
