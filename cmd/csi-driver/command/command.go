// Package command is the command line of csi-driver. Each sub-command has a
// file of its own that turns flags into options, wires the packages and runs
// them.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regcred/csi-driver-regcred/internal/suggest"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// The exit codes.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Program is what one build of csi-driver consists of.
type Program struct {
	Version string
	// Issuers are the kinds that Connectors can name.
	Issuers []issuers.Definition
}

// Run executes one command line and returns its exit code: 0 good, 1 failed,
// 2 wrong usage.
func (p Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := p.root()
	root.SetArgs(args)
	out := &output{to: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || errors.Is(err, errTold)) {
		err = out.err
	}
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errTold):
		return exitFailed
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "csi-driver: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // by a signal
		fmt.Fprintf(stderr, "csi-driver: %s\n", strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted"))
		return exitFailed
	default:
		fmt.Fprintf(stderr, "csi-driver: %v\n", err)
		return exitFailed
	}
}

// errTold is a failure of which standard output says everything.
var errTold = errors.New("failed as told")

// usageError is a command line that cannot be run as it stands.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e usageError) Unwrap() error { return e.error }

func (p Program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "csi-driver",
		Short: "Short-lived registry credentials for pods",
		Long: `regcred gives every pod short-lived registry credentials: a pod names a
Connector in its volume attributes, and finds the files that registry clients
read in a memory-only volume, kept fresh until it is gone.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usageError{errors.New("a command is missing")}
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args has refused already
	}
	// Alone it is an error, and so no usage to show.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable .HasParent}}", 1))
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{meantFlag(cmd, err)} })
	root.SetHelpCommand(help())
	root.AddCommand(p.node(), p.render(), p.validate(), p.issuers(), p.version())
	return root
}

// help is cobra's own but for what it does not know, which is an error.
func help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 || !about.HasParent() && len(args) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	var known []string
	for _, c := range root.Commands() {
		known = append(known, c.Name())
	}
	return usageError{fmt.Errorf("unknown command %q%s", name, didYouMean(name, known))}
}

// meantFlag adds to an error about a flag that does not exist which one was
// probably meant.
func meantFlag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, suggest.DidYouMean("--"+unknown.GetSpecifiedName(), known))
}

// noArguments refuses what a sub-command would otherwise ignore.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
