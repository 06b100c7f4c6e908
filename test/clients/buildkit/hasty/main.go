// Command hasty is `buildctl build` with one setting more: how soon a
// credential helper is asked again. buildctl and buildx ask when an answer is
// 4 min 50 s old, fixed in BuildKit; with --credentials-age tests see the same
// within seconds, by the same library and in a real build.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
)

type options struct {
	address, context, push, cgroup string
	age                            time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.address, "addr", "", "where buildkitd listens")
	flag.StringVar(&o.context, "context", "", "folder with the Dockerfile")
	flag.StringVar(&o.push, "push", "", "reference of the result")
	flag.StringVar(&o.cgroup, "cgroup-parent", "", "where RUN steps get their cgroups")
	flag.DurationVar(&o.age, "credentials-age", 0, "how old credentials get before they are looked up again")
	flag.Parse()
	if err := build(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, o options) (err error) {
	c, err := client.New(ctx, o.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	folder, err := fsutil.NewFS(o.context)
	if err != nil {
		return err
	}
	// As buildctl does it: the file is read here, and never again.
	logins := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(os.Stderr)),
		ExpireCachedAuth:   func(created time.Time, _ string) bool { return time.Since(created) > o.age },
	})
	status := make(chan *client.SolveStatus)
	display, err := progressui.NewDisplay(os.Stderr, progressui.PlainMode)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), status) // ends with status
		return err
	})
	group.Go(func() error {
		_, err := c.Solve(ctx, nil, client.SolveOpt{
			Frontend:      "dockerfile.v0",
			FrontendAttrs: map[string]string{"cgroup-parent": o.cgroup},
			LocalMounts:   map[string]fsutil.FS{"context": folder, "dockerfile": folder},
			Exports:       []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": o.push, "push": "true"}}},
			Session:       []session.Attachable{logins},
		}, status)
		return err
	})
	return group.Wait()
}
