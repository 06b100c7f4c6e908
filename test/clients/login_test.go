package clients

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// within is how fast a changed Secret must reach a volume.
const within = 5 * time.Second

const changed = canary + "second"

// Skopeo cannot read a bearer token, so its Connector hands out the login, and
// follows the login when that changes.
func TestChangedLogin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spec   string
		secret func(w *world.World, password string) (string, error)
	}{
		"distributionToken": {
			spec: longLogin,
			secret: func(_ *world.World, password string) (string, error) {
				return world.Login(namespace, "login", user, password), nil
			},
		},
		"secret": {
			spec: `issuer: {secret: {name: login, requireSingleEntry: true}}`,
			secret: func(w *world.World, password string) (string, error) {
				return w.DockerConfig(namespace, "login", user, password)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, time.Minute, connectors{"logins": tt.spec})
			update := func(password string) {
				manifest, err := tt.secret(w, password)
				must(t, err)
				write(t, w, "login", manifest)
			}
			update(password)
			v := aVolume("pipeline", "logins")
			publish(t, w, v)
			skopeo := client.Skopeo{Files: filesOf(w, v)}
			if !isLogin(user, password)(shown(t, w, v)) {
				t.Fatal("config.json does not show the login")
			}
			pushAndPull(t, w, skopeo, newArchive(t), "first")

			w.Tokens.SetPassword(user, changed)
			if err := skopeo.Pull(t.Context(), w.Image("team/app", "skopeo-first")); err == nil {
				t.Error("the old password still pulls")
			}
			update(changed)
			awaitEntry(t, w, v, within, isLogin(user, changed))
			pushAndPull(t, w, skopeo, newArchive(t), "second")

			unpublish(t, w, v)
			nothingLeft(t, w)
		})
	}
}

// A login is handed out only by a Connector that says so.
func TestLoginNeedsConsent(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"basic", "identityToken"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, time.Minute, connectors{
				"logins": "issuer: {distributionToken: {secretRef: {name: login}, output: " + output + "}}",
			})
			refused(t, w, aVolume("pipeline", "logins"), codes.FailedPrecondition, "connector ci/logins: "+
				"spec.allowLongLived: issuer distributionToken is configured to deliver a long-lived credential: "+
				"write true to permit it, or choose a short-lived form")
			if n := w.Tokens.Requests(); n != 0 {
				t.Errorf("the login was used %d times all the same", n)
			}
		})
	}
}

// An identity token lets docker and crane log in without the password.
func TestIdentityToken(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{
		"logins": strings.Replace(longLogin, "basic", "identityToken", 1),
	})
	v := aVolume("pipeline", "logins")
	publish(t, w, v)
	if got := shown(t, w, v); got.IdentityToken == "" || got.Password != "" || got.RegistryToken != "" {
		t.Error("config.json does not show an identity token alone")
	}
	for name, content := range files(t, w.Kubelet.Target(v)) {
		if strings.Contains(content, canary) {
			t.Errorf("%s shows the password", name)
		}
	}
	pushAndPull(t, w, client.Crane{Files: filesOf(w, v)}, newArchive(t), "identity")
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// A Secret that is deleted takes nothing away from the pods that run.
func TestDeletedSecret(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{"logins": `issuer: {secret: {name: login}}`})
	v := aVolume("pipeline", "logins")
	publish(t, w, v)
	must(t, w.Remove("login"))

	other := aVolume("other", "logins")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Seen by the driver once a new pod is refused.
	must(t, child.Until(ctx, func(context.Context) error {
		if status.Code(w.Kubelet.Publish(ctx, other)) != codes.OK {
			return nil
		}
		return errors.Join(errors.New("a new pod still gets the login"), w.Kubelet.Unpublish(ctx, other))
	}))
	if !isLogin(user, password)(shown(t, w, v)) {
		t.Error("the running pod lost its login")
	}
	write(t, w, "login", world.Login(namespace, "login", user, changed))
	awaitEntry(t, w, v, within, isLogin(user, changed))
}
