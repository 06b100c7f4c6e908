package abuse

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

const tokensKey = "csi.storage.k8s.io/serviceAccount.tokens"

// lives is a token life of seconds, so that renewals happen while the test looks on.
const lives = 3 * time.Second

// secrets are one canary of each kind that the driver is given.
type secrets struct {
	basic, dockerAuth, dockerToken, dockerIdentity, opaque, rotated, env, config, login, refresh, minted, clientKey canary

	podToken, foreignToken, wrongChannel, noJWT, noJSON, publishSecret, attribute canary

	misplaced []canary // in manifests that are wrong
}

func newSecrets(t *testing.T) *secrets {
	return &secrets{
		basic: newCanary("basic-auth password"), dockerAuth: newCanary("password in auth"),
		dockerToken: plainCanary("registrytoken"), dockerIdentity: plainCanary("identitytoken"),
		opaque: newCanary("password of an Opaque Secret"), rotated: newCanary("rotated password"),
		env: newCanary("password of imgpkg variables"), config: newCanary("password of a config.json"),
		login: newCanary("login at the token server"), refresh: plainCanary("refresh token"), minted: plainCanary("registry token"),
		clientKey: keyCanary(t), podToken: plainCanary("pod's token"), foreignToken: plainCanary("foreign token"),
		wrongChannel: plainCanary("token in the wrong channel"), noJWT: plainCanary("malformed token"),
		noJSON: plainCanary("malformed token object"), publishSecret: newCanary("nodePublishSecretRef"), attribute: newCanary("hostile attribute"),
	}
}

func (s *secrets) all() []canary {
	return append([]canary{
		s.basic, s.dockerAuth, s.dockerToken, s.dockerIdentity, s.opaque, s.rotated, s.env, s.config, s.login, s.refresh, s.minted, s.clientKey,
		s.podToken, s.foreignToken, s.wrongChannel, s.noJWT, s.noJSON, s.publishSecret, s.attribute,
	}, s.misplaced...)
}

// The driver runs at the highest verbosity through what succeeds and what
// fails, is killed and started again; no secret is anywhere but in memory.
func TestSecretsStayInMemory(t *testing.T) {
	s := newSecrets(t)
	p := provider.Start(provider.Options{
		User: "robot", Password: s.login.text, Life: lives, Refresh: s.refresh.text,
		Mint: func(n int, _ time.Time) string { return fmt.Sprintf("%s.%d", s.minted.text, n) },
	})
	t.Cleanup(p.Close)
	manifests := s.brokenManifests()
	manifests["all"] = s.manifests(t, p.Host())
	manifests["rotating"] = basicAuth("rotating", s.basic.text) + connectorOf("rotating", `secret: {name: rotating}`)
	n := start(t, setup{
		program: product(t), manifests: manifests, env: []string{"GRPC_GO_LOG_SEVERITY_LEVEL=info", "GRPC_GO_LOG_VERBOSITY_LEVEL=99"},
		flags: []string{"--v=10", "--linger=1s", "--allowed-hosts=127.0.0.1,*.example.com", "--token-source=volume-context"},
	})
	for name := range manifests {
		if strings.HasPrefix(name, "broken-") && !strings.Contains(n.driver.Log(), name) {
			t.Errorf("the driver says nothing of %s", name)
		}
	}
	volumes := n.publishAll(s, p.Host())
	n.refuseAll()
	n.failAll(t, s, p)
	n.shown().free(t, "published", s.all())
	memory := n.inMemory()
	memory.public(t).free(t, "published", s.all())
	for _, c := range []canary{s.basic, s.dockerAuth, s.dockerToken, s.dockerIdentity, s.opaque, s.env, s.config, s.refresh, s.minted, s.clientKey} {
		memory.holds(t, c)
	}
	evidence{"what the provider was shown": []byte(shownPasswords(p))}.holds(t, s.login)

	n.manifest("rotating", basicAuth("rotating", s.rotated.text)+connectorOf("rotating", `secret: {name: rotating}`))
	for _, rival := range rivals {
		await(t, "the rotated password in every form", func() error {
			if diff := cmp.Diff(loginsAt("registry.example.com")(rival), n.holding(volumes["rotating "+rival], s.rotated)); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	}
	issued := len(p.Issued())
	await(t, "a renewal", func() error {
		if len(p.Issued()) <= issued {
			return fmt.Errorf("still %d tokens", issued)
		}
		return nil
	})
	for _, v := range volumes {
		must(t, n.publish(v)) // the kubelet's republish
	}
	n.shown().free(t, "renewed", s.all())
	n.inMemory().public(t).free(t, "renewed", s.all())

	n.driver.Signal(syscall.SIGKILL)
	n.onDisk().free(t, "killed", s.all())
	must(t, n.driver.Start(t.Context()))
	n.shown().free(t, "restarted", s.all())

	n.endAll(t, s, volumes)
}

// endAll unpublishes: who held a file open sees nothing any more, and the
// driver's own memory forgets when the credentials have lingered.
func (n *node) endAll(t *testing.T, s *secrets, volumes map[string]kubelet.Volume) {
	t.Helper()
	held := map[string]*os.File{}
	for name, v := range volumes {
		for _, c := range s.all() {
			for _, path := range n.holding(v, c) {
				file, err := os.Open(filepath.Join(n.kubelet.Target(v), "..data", path))
				must(t, err)
				held[name+": "+path] = file
				defer file.Close()
			}
		}
	}
	for name, v := range volumes {
		if err := n.note(n.kubelet.Unpublish(t.Context(), v)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range held {
		if info, err := file.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("%s: a file that was open still has %d bytes (%v)", name, info.Size(), err)
		}
	}
	await(t, "the credentials' end", func() error {
		for place, content := range n.inMemory() {
			for _, c := range s.all() {
				if len(c.find(content)) > 0 {
					return fmt.Errorf("%s still holds the %s", place, c.kind)
				}
			}
		}
		return nil
	})
	n.shown().free(t, "unpublished", s.all())
	must(t, n.driver.Stop())
	n.onDisk().free(t, "stopped", s.all())
}

// publishAll publishes, for each connector that works, volumes with every
// configuration, and finds its secret in every file that is there to hold it.
func (n *node) publishAll(s *secrets, host string) map[string]kubelet.Volume {
	n.t.Helper()
	const remote = "registry.example.com"
	token := jwtOf(s.podToken, "ci", "builder", "csi.regcred.dev")
	volumes := map[string]kubelet.Volume{}
	for name, holds := range map[string]struct {
		secret canary
		files  func(rival string) []string
	}{
		"basic": {s.basic, loginsAt(remote)}, "opaque": {s.opaque, loginsAt(remote)}, "rotating": {s.basic, loginsAt(remote)},
		"env": {s.env, loginsAt(remote)}, "config": {s.config, loginsAt(remote)},
		"docker": {s.dockerAuth, just("config.json", "config/registry.example.com/config.json", "registry.env")},
		"tokens": {s.minted, just(".dockerconfigjson", "config.json", "config/"+host+"/team/app/config.json", "registry.env", "token")},
		"identity": {s.refresh, func(rival string) []string {
			return withRival(rival, host, []string{".dockerconfigjson", "auth.json", "config/" + host + "/config.json", "registry.env", "token"})
		}},
		"client-key": {s.clientKey, just("certs.d/registry.example.com/client.key", "certs/registry.example.com.key", "registry.example.com/client.key")},
	} {
		for rival, configurations := range everyConfiguration(name) {
			v := asksFor(name, "job-"+name+"-"+rival, configurations)
			v.Attributes[tokensKey] = podTokens("csi.regcred.dev", token)
			if err := n.publish(v); err != nil {
				n.t.Errorf("%s with %s: %v", name, rival, err)
				continue
			}
			if diff := cmp.Diff(holds.files(rival), n.holding(v, holds.secret)); diff != "" {
				n.t.Errorf("%s with %s: files with the %s (-want +got):\n%s", name, rival, holds.secret.kind, diff)
			}
			volumes[name+" "+rival] = v
		}
	}
	return volumes
}

// shows reports whether a volume's config.json has the canary.
func (n *node) shows(v kubelet.Volume, c canary) error {
	content, err := os.ReadFile(filepath.Join(n.kubelet.Target(v), "config.json"))
	if err != nil {
		return err
	}
	if len(c.find(content)) == 0 {
		return fmt.Errorf("the %s is not there", c.kind)
	}
	return nil
}

// failAll goes through what fails, with secrets in what is refused.
func (n *node) failAll(t *testing.T, s *secrets, p *provider.Provider) {
	t.Helper()
	volume := func(connectors string) kubelet.Volume {
		return kubelet.Volume{
			Namespace: "ci", Pod: "failing", ServiceAccount: "builder", Name: "registry",
			Attributes: map[string]string{"connectors": connectors},
		}
	}
	context := func(key, value string) func(*csi.NodePublishVolumeRequest) {
		return func(r *csi.NodePublishVolumeRequest) { r.VolumeContext[key] = value }
	}
	for name, c := range map[string]struct {
		change func(*csi.NodePublishVolumeRequest)
		code   codes.Code
	}{
		"secrets are not taken": {func(r *csi.NodePublishVolumeRequest) {
			r.Secrets = map[string]string{"password": s.publishSecret.text}
		}, codes.InvalidArgument},
		"secrets beside tokens of the other channel": {func(r *csi.NodePublishVolumeRequest) {
			r.Secrets = map[string]string{tokensKey: podTokens("other", jwtOf(s.wrongChannel, "ci", "builder", "other")), "x": s.publishSecret.text}
		}, codes.InvalidArgument},
		"unknown attribute":     {context("registry.password", s.attribute.text), codes.InvalidArgument},
		"unknown kubelet's key": {context("csi.storage.k8s.io/ephemeral", s.attribute.text), codes.InvalidArgument},
		"no JWT":                {context(tokensKey, podTokens("csi.regcred.dev", s.noJWT.text)), codes.InvalidArgument},
		"JWT of other claims":   {context(tokensKey, podTokens("csi.regcred.dev", "e30."+s.noJWT.text+".e30")), codes.InvalidArgument},
		"no JSON":               {context(tokensKey, `{"csi.regcred.dev":{"token":"`+s.noJSON.text), codes.InvalidArgument},
		"other JSON":            {context(tokensKey, `{"csi.regcred.dev":"`+s.noJSON.text+`"}`), codes.InvalidArgument},
		"a bad time":            {context(tokensKey, `{"csi.regcred.dev":{"token":"x","expirationTimestamp":"`+s.noJSON.text+`"}}`), codes.InvalidArgument},
		"token of another pod":  {context(tokensKey, podTokens("csi.regcred.dev", jwtOf(s.foreignToken, "other", "builder", "csi.regcred.dev"))), codes.PermissionDenied},
		"token for another":     {context(tokensKey, podTokens("csi.regcred.dev", jwtOf(s.foreignToken, "ci", "builder", "elsewhere"))), codes.PermissionDenied},
		"fs type":               {func(r *csi.NodePublishVolumeRequest) { r.GetVolumeCapability().GetMount().FsType = s.attribute.text }, codes.InvalidArgument},
		"mount flags": {func(r *csi.NodePublishVolumeRequest) {
			r.GetVolumeCapability().GetMount().MountFlags = []string{s.attribute.text}
		}, codes.InvalidArgument},
		"publish context":           {func(r *csi.NodePublishVolumeRequest) { r.PublishContext = map[string]string{"k": s.attribute.text} }, codes.InvalidArgument},
		"an attribute far too long": {context("mount.path", strings.Repeat("/"+s.attribute.core, 400)), codes.InvalidArgument},
	} {
		if err := n.publish(volume("basic"), c.change); err == nil {
			t.Errorf("%s: published", name)
		} else {
			refused(t, fmt.Errorf("%s: %w", name, err), c.code)
		}
	}
	for kind := range wrongSecrets(s) {
		if n.publish(volume(kind)) == nil {
			t.Errorf("%s: published", kind)
		}
	}
	p.Answer(reflect)
	for _, kind := range reflections() {
		if n.publish(volume("reflect-"+kind)) == nil {
			t.Errorf("reflect-%s: published", kind)
		}
	}
	p.Answer(nil)
}

// reflections are the ways in which a provider throws a login back.
func reflections() []string {
	return []string{"json", "json-nested", "oauth", "html", "text", "no-type", "headers", "redirect", "cut", "wrong-type", "late", "empty"}
}

// reflect answers with the request's own login, as the client id says.
func reflect(w http.ResponseWriter, r *http.Request) bool {
	kind, ours := strings.CutPrefix(r.FormValue("client_id"), "reflect-")
	if !ours {
		return false
	}
	_, password, _ := r.BasicAuth()
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		_ = r.ParseForm()
		password = r.PostForm.Get("refresh_token")
	}
	answer := func(status int, kind, body string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
	document := func(value any) string { text, _ := json.Marshal(value); return string(text) }
	said := "login " + password + " of " + authorization + " is wrong"
	switch kind {
	case "json":
		answer(401, "application/json", document(map[string]any{"errors": []any{map[string]any{"code": "UNAUTHORIZED", "message": said, "detail": said}}}))
	case "json-nested":
		answer(403, "application/problem+json", document(map[string]any{"detail": said, "details": said, "error": map[string]any{"message": said}}))
	case "oauth":
		answer(400, "application/json", document(map[string]any{"error": "invalid_grant", "error_description": said}))
	case "html":
		answer(500, "text/html", "<html><body>"+said+"</body></html>")
	case "text":
		answer(502, "text/plain", said)
	case "no-type":
		answer(503, "", said)
	case "headers":
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+said+`"`)
		w.Header().Set("Retry-After", said)
		answer(429, "application/json; secret="+base64.RawURLEncoding.EncodeToString([]byte(password)), "{}")
	case "redirect":
		w.Header().Set("Location", "http://redirected.example.com/?login="+base64.URLEncoding.EncodeToString([]byte(password)))
		answer(302, "text/html", said)
	case "cut":
		answer(200, "application/json", `{"token":"`+base64.StdEncoding.EncodeToString([]byte(password)))
	case "wrong-type":
		answer(200, "application/json", document(map[string]any{"token": map[string]string{"is": password}, "expires_in": password}))
	case "late":
		answer(200, "application/json", document(map[string]any{"token": password, "expires_in": 60, "issued_at": "2001-01-01T00:00:00Z"}))
	default:
		answer(401, "application/json", "")
	}
	return true
}

func shownPasswords(p *provider.Provider) string {
	var all strings.Builder
	for _, shown := range p.Shown() {
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(shown, "Basic "))
		all.WriteString(shown + "\n" + string(decoded) + "\n")
	}
	return all.String()
}
