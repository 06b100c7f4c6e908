package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

const (
	life       = 20 * time.Second // of a token
	namespace  = "ci"
	repository = "team/app"
	ciUser     = "ci-robot"     // its tokens reach pods, its password never does
	deployUser = "deploy-robot" // its password does
)

// demo is what the steps hand on to each other.
type demo struct {
	*printer
	world   *world.World
	daemon  *client.Daemon // nil where dockerd cannot run
	archive string
	// The two volumes: short-lived tokens, and a login that follows a Secret.
	tokens, login kubelet.Volume
	clients       []client.Client // they use the volume tokens
	first         tokenserver.Token
	descriptors   int // open in the driver before the first volume
}

// run takes every step in turn. Checking that the registry refuses the first
// token must wait for a minute after its end, so it comes late.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.close(err == nil)) }()
	for _, step := range []func(context.Context) error{
		d.startRegistry, d.startDriver, d.publish, d.useFirstToken, d.killDriver, d.changeSecret, d.rotate,
		d.refuseFirstToken, d.unpublish,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends every process. When all went well that must go well too.
func (d *demo) close(wasGood bool) error {
	var errs []error
	if d.daemon != nil {
		errs = append(errs, d.daemon.Close())
	}
	if d.world != nil {
		errs = append(errs, d.world.Close())
	}
	err := errors.Join(errs...)
	if err == nil && wasGood {
		d.done()
	}
	if !wasGood {
		return nil // the first error is the one to tell; the sandbox takes the rest along
	}
	return err
}

func (d *demo) driverLog() string {
	if d.world == nil || d.world.Driver == nil {
		return ""
	}
	return d.world.Driver.Log()
}

func (d *demo) startRegistry(ctx context.Context) (err error) {
	d.step("A registry with token authentication")
	if d.world, err = world.New(ctx, life); err != nil {
		return err
	}
	w := d.world
	passwords := map[string]string{ciUser: newPassword(), deployUser: newPassword()}
	for user, password := range passwords {
		w.Tokens.SetPassword(user, password)
		w.Tokens.Grant(user, repository, "pull", "push")
	}
	d.checked("CNCF distribution serves https://%s, TLS by a private CA", w.Registry.Host())
	d.checked("its token server https://%s knows %s and %s; its tokens live %s", w.TokensHost(), ciUser, deployUser, life)
	status, err := w.Registry.Ask(ctx, http.MethodGet, tagsPath, "")
	if err != nil {
		return err
	}
	if status != http.StatusUnauthorized {
		return fmt.Errorf("without a token the registry answers %d", status)
	}
	d.checked("without a token it answers 401")
	return errors.Join(
		w.WriteCA(namespace),
		w.Write("ci-login", world.Login(namespace, "ci-login", ciUser, passwords[ciUser])),
		w.Write("deploy-login", world.Login(namespace, "deploy-login", deployUser, passwords[deployUser])),
	)
}

func (d *demo) startDriver(ctx context.Context) error {
	w := d.world
	d.step("The driver, with two Connectors")
	short := w.Connector(namespace, "tokens", `scope: {repositories: [`+repository+`], actions: [pull, push]}
issuer:
  distributionToken: {secretRef: {name: ci-login}, output: registryToken, minimumLife: 10s}`)
	static := w.Connector(namespace, "login", `issuer: {secret: {name: deploy-login}}`)
	d.show("what the platform team writes", short)
	if err := errors.Join(w.Write("connector-tokens", short), w.Write("connector-login", static)); err != nil {
		return err
	}
	if err := w.StartDriver(ctx); err != nil {
		return err
	}
	d.show("how the driver runs", w.Driver.Command())
	open, err := w.Driver.Descriptors()
	d.descriptors = len(open)
	d.checked("the driver is ready (process %d, %d open descriptors)", w.Driver.PID(), d.descriptors)
	return err
}

func (d *demo) publish(ctx context.Context) error {
	w := d.world
	d.step("A pod's volume is published over CSI")
	d.tokens = volume("pipeline", "tokens")
	d.tokens.Attributes["configuration.names"] = "docker-config,dockerd"
	d.login = volume("deploy", "login")
	began := time.Now()
	if err := w.Kubelet.Publish(ctx, d.tokens); err != nil {
		return err
	}
	d.checked("published in %d ms, token server and registry included", time.Since(began).Milliseconds())
	if err := w.Kubelet.Publish(ctx, d.login); err != nil {
		return err
	}
	if err := d.showVolume(w.Kubelet.Target(d.tokens)); err != nil {
		return err
	}
	tokens := d.issued()
	if len(tokens) != 1 {
		return fmt.Errorf("the token server issued %d tokens for one volume", len(tokens))
	}
	d.first = tokens[0]
	return d.showsOnly(d.first)
}

// showsOnly checks that config.json holds the token, and nothing that lives
// longer.
func (d *demo) showsOnly(token tokenserver.Token) error {
	entry, err := d.entry(d.tokens)
	if err != nil {
		return err
	}
	if entry != (authEntry{RegistryToken: token.Raw}) {
		return errors.New("config.json does not show the token alone")
	}
	d.checked("config.json holds the token of %s, ending %s, and no password", clock(token.IssuedAt), clock(token.ExpiresAt))
	return nil
}

func (d *demo) useFirstToken(ctx context.Context) error {
	d.step("Real clients push and pull with the token")
	w := d.world
	d.archive = filepath.Join(os.TempDir(), "image.tar")
	if err := client.WriteArchive(d.archive, "regcred demo"); err != nil {
		return err
	}
	files := d.files(d.tokens)
	d.clients = []client.Client{client.Crane{Files: files}}
	switch {
	case !sandbox.Privileged():
		d.skip("push and pull by docker", "dockerd needs the machine's root")
	case !installed("docker") || !installed("dockerd"):
		d.skip("push and pull by docker", "dockerd is not installed")
	default:
		if err := client.TrustCertificates(w.Registry.Host(), filepath.Join(w.Kubelet.Target(d.tokens), "certs.d")); err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "d-")
		if err != nil {
			return err
		}
		if d.daemon, err = client.StartDaemon(ctx, dir); err != nil {
			return err
		}
		d.clients = append(d.clients, client.NewDocker(files, d.daemon))
	}
	return d.pushAndPull(ctx, "first")
}

func (d *demo) killDriver(ctx context.Context) error {
	d.step("kill -9, under the live volumes")
	w := d.world
	mounts, err := w.Mounts()
	if err != nil {
		return err
	}
	before, issued := w.Driver.PID(), len(d.issued())
	w.Driver.Kill()
	if err := d.readable(); err != nil {
		return err
	}
	d.checked("process %d is gone; both volumes are still read", before)
	if err := w.Driver.Start(ctx); err != nil {
		return err
	}
	if err := d.readable(); err != nil {
		return err
	}
	after, err := w.Mounts()
	if err != nil {
		return err
	}
	if fmt.Sprint(after) != fmt.Sprint(mounts) {
		return fmt.Errorf("the mounts differ after the restart:\n%v\n%v", mounts, after)
	}
	// A token that falls due just now may be renewed, but not issued again.
	if now := len(d.issued()); now != issued && time.Since(d.first.IssuedAt) < life/2 {
		return fmt.Errorf("%d tokens were issued again", now-issued)
	}
	d.checked("process %d took over: the same mounts, nothing issued again", w.Driver.PID())
	return nil
}

func (d *demo) changeSecret(ctx context.Context) error {
	d.step("The password of %s changes, and its Secret with it", deployUser)
	w := d.world
	password := newPassword()
	w.Tokens.SetPassword(deployUser, password)
	began := time.Now()
	if err := w.Write("deploy-login", world.Login(namespace, "deploy-login", deployUser, password)); err != nil {
		return err
	}
	if err := d.await(ctx, d.login, 5*time.Second, func(e authEntry) bool { return e.Auth == basic(deployUser, password) }); err != nil {
		return err
	}
	d.checked("the running pod's volume shows it after %d ms", time.Since(began).Milliseconds())
	skopeo := client.Skopeo{Files: d.files(d.login)}
	if !installed(skopeo.Name()) {
		d.skip("pull by skopeo", "skopeo is not installed")
		return nil
	}
	if err := skopeo.Pull(ctx, w.Image(repository, "crane-first")); err != nil {
		return err
	}
	d.checked("skopeo, which reads no bearer tokens, pulls with the new password")
	return nil
}

func (d *demo) rotate(ctx context.Context) error {
	d.step("The token is replaced before it ends")
	if err := d.await(ctx, d.tokens, time.Until(d.first.ExpiresAt), func(e authEntry) bool {
		return e.RegistryToken != "" && e.RegistryToken != d.first.Raw
	}); err != nil {
		return err
	}
	d.checked("the first token has %.0f s to live, and the volume shows another", time.Until(d.first.ExpiresAt).Seconds())
	tokens := d.issued()
	if err := d.showsOnly(tokens[len(tokens)-1]); err != nil {
		return err
	}
	return d.pushAndPull(ctx, "second")
}

func (d *demo) unpublish(ctx context.Context) error {
	d.step("The pods end")
	w := d.world
	for _, v := range []kubelet.Volume{d.tokens, d.login} {
		if err := w.Kubelet.Unpublish(ctx, v); err != nil {
			return err
		}
	}
	left, err := w.Leftovers()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %q", left)
	}
	d.checked("no mount, no directory, no volume record is left")
	if err := d.descriptorsAsBefore(ctx); err != nil {
		return err
	}
	d.checked("the driver has as many descriptors open as before the first volume")
	return nil
}
