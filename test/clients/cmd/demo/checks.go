package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// tagsPath may be read by whoever may pull.
const tagsPath = "/v2/" + repository + "/tags/list"

func volume(pod, connector string) kubelet.Volume {
	return kubelet.Volume{
		Namespace: namespace, Pod: pod, ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": connector},
	}
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func newPassword() string { return rand.Text() }

func clock(t time.Time) string { return t.Format("15:04:05") }

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// files make a client see a volume as a container does.
func (d *demo) files(v kubelet.Volume) client.Files {
	target := d.world.Kubelet.Target(v)
	return client.Files{DockerConfig: target, CA: filepath.Join(target, "ca.crt")}
}

// authEntry is what config.json says of one registry.
type authEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

func (d *demo) entry(v kubelet.Volume) (authEntry, error) {
	text, err := os.ReadFile(filepath.Join(d.world.Kubelet.Target(v), "config.json"))
	if err != nil {
		return authEntry{}, err
	}
	var config struct{ Auths map[string]authEntry }
	err = json.Unmarshal(text, &config)
	return config.Auths[d.world.Registry.Host()], err
}

// readable checks that both volumes show a login.
func (d *demo) readable() error {
	for _, v := range []kubelet.Volume{d.tokens, d.login} {
		entry, err := d.entry(v)
		if err != nil {
			return err
		}
		if entry.RegistryToken == "" && entry.Auth == "" {
			return fmt.Errorf("the volume of pod %s is empty", v.Pod)
		}
	}
	return nil
}

// issued are the tokens that the driver got; skopeo gets its own.
func (d *demo) issued() []tokenserver.Token {
	return slices.DeleteFunc(d.world.Tokens.Issued(), func(t tokenserver.Token) bool { return t.User != ciUser })
}

// await waits until a volume shows what is wanted.
func (d *demo) await(ctx context.Context, v kubelet.Volume, limit time.Duration, want func(authEntry) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit.Round(time.Second)))
	defer cancel()
	return child.Until(ctx, func(context.Context) error {
		entry, err := d.entry(v)
		if err == nil && !want(entry) {
			err = fmt.Errorf("the volume of pod %s does not change", v.Pod)
		}
		return err
	})
}

// pushAndPull has every client use the volume as it is now.
func (d *demo) pushAndPull(ctx context.Context, tag string) error {
	for _, c := range d.clients {
		image := d.world.Image(repository, c.Name()+"-"+tag)
		if err := c.Push(ctx, d.archive, image); err != nil {
			return err
		}
		if err := c.Pull(ctx, image); err != nil {
			return err
		}
		d.checked("%s pushed and pulled %s", c.Name(), image)
	}
	return nil
}

// refuseFirstToken waits until the registry no longer takes the first token:
// its end and the leeway that distribution allows for clocks.
func (d *demo) refuseFirstToken(ctx context.Context) error {
	refusedAt := d.first.ExpiresAt.Add(registry.Leeway)
	d.step("The registry refuses the first token, once its leeway of %s is over", registry.Leeway)
	if status, err := d.world.Registry.Ask(ctx, http.MethodGet, tagsPath, d.first.Raw); err != nil || status != http.StatusOK {
		return fmt.Errorf("before that it answers %d: %w", status, err)
	}
	d.note("waiting until %s; meanwhile the volume goes on", clock(refusedAt))
	seen := 0
	ctx, cancel := context.WithDeadlineCause(ctx, refusedAt.Add(10*time.Second), errors.New("it is not refused"))
	defer cancel()
	if err := child.Until(ctx, func(ctx context.Context) error {
		if n := len(d.issued()); n > seen {
			seen = n
			d.note("%s token %d is in force", clock(time.Now()), n)
		}
		status, err := d.world.Registry.Ask(ctx, http.MethodGet, tagsPath, d.first.Raw)
		if err == nil && status != http.StatusUnauthorized {
			err = fmt.Errorf("the registry answers %d to the first token", status)
		}
		return err
	}); err != nil {
		return err
	}
	if early := time.Until(refusedAt); early > time.Second {
		return fmt.Errorf("the first token is refused %s before its time", early)
	}
	d.checked("%s it answers 401 to the first token", clock(time.Now()))
	return d.pushAndPull(ctx, "third")
}

// descriptorsAsBefore gives connections to the provider a moment to end.
func (d *demo) descriptorsAsBefore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return child.Until(ctx, func(context.Context) error {
		open, err := d.world.Driver.Descriptors()
		if err == nil && len(open) > d.descriptors {
			err = fmt.Errorf("the driver has %d descriptors open, %d before: %q", len(open), d.descriptors, open)
		}
		return err
	})
}
