package abuse

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// tenants are alice, who has something, and mallory, who wants it. Each has a
// registry that takes pod tokens of its own audience, bound to it by the
// operator.
type tenants struct {
	*node
	cluster          *cluster
	alices, mallorys *registry
	redirecting      *registry // mallory's; leads to alice's
	password         canary    // of alice's static Secret
	victim           kubelet.Volume
}

const (
	aliceUID   = "11111111-1111-4111-8111-111111111111"
	malloryUID = "66666666-6666-4666-8666-666666666666"
)

func alice(pod, connectors string) kubelet.Volume {
	return kubelet.Volume{Namespace: "alice", Pod: pod, ServiceAccount: "builder", Name: "registry", Attributes: map[string]string{"connectors": connectors}}
}

func mallory(pod, connectors string) kubelet.Volume {
	return kubelet.Volume{Namespace: "mallory", Pod: pod, ServiceAccount: "builder", Name: "registry", Attributes: map[string]string{"connectors": connectors}}
}

func newTenants(t *testing.T, flags ...string) *tenants {
	t.Helper()
	c := newCluster(t)
	s := &tenants{cluster: c, alices: c.registry(t, "alice-registry"), mallorys: c.registry(t, "mallory-registry"), password: newCanary("alice's password")}
	s.redirecting = c.registry(t, "mallory-registry")
	s.redirecting.elsewhere = s.alices.URL + "/exchange"
	s.node = start(t, setup{
		manifests: map[string]string{"all": s.manifests()},
		flags: append([]string{
			"--allowed-hosts=" + s.alices.host() + "," + s.mallorys.host() + "," + s.redirecting.host() + ",*.example.com",
			"--audience=alice-registry=" + s.alices.host(), "--audience=mallory-registry=" + s.mallorys.host() + "," + s.redirecting.host(),
			"--audience=" + panics + "=" + s.alices.host(),
		}, flags...),
	})
	return s
}

// federated is a Connector that exchanges tokens of an audience at a host.
func federated(namespace, name, host, audience string, more ...string) string {
	return connectorIn(namespace, name, fmt.Sprintf(`distributionToken: {output: registryToken, clientID: %s}`, audience),
		append(more, `address: "http://`+host+`"`)...)
}

func connectorIn(namespace, name, issuer string, spec ...string) string {
	text := connectorOf(name, issuer, spec...)
	if namespace == "" {
		text = strings.Replace(text, "kind: Connector", "kind: ClusterConnector", 1)
		return strings.Replace(text, ", namespace: ci", "", 1)
	}
	return strings.Replace(text, "namespace: ci", "namespace: "+namespace, 1)
}

func (s *tenants) manifests() string {
	return strings.Join([]string{
		federated("alice", "registry", s.alices.host(), "alice-registry"),
		federated("alice", "for-bob", s.alices.host(), "alice-registry", `access: [{namespaces: [bob]}]`),
		federated("alice", "for-trusted", s.alices.host(), "alice-registry", `access: [{namespaces: [mallory], serviceAccounts: [trusted]}]`),
		federated("alice", "for-label", s.alices.host(), "alice-registry", `access: [{namespaceSelector: {matchLabels: {team: alice}}}]`),
		strings.ReplaceAll(basicAuth("login", s.password.text), `"ci"`, `"alice"`),
		federated("alice", "bug", s.alices.host(), panics),
		connectorIn("alice", "broken", `secret: {name: "no name"}`, `access: [{namespaces: [mallory]}]`),
		connectorIn("alice", "static", `secret: {name: login}`),
		federated("", "company", s.alices.host(), "alice-registry"),
		federated("", "for-alice", s.alices.host(), "alice-registry", `access: [{namespaces: [alice]}]`),
		federated("mallory", "registry", s.mallorys.host(), "mallory-registry"),
		// mallory's own Connector, with alice's audience, at mallory's host.
		federated("mallory", "swapped", s.mallorys.host(), "alice-registry"),
		// The other way round: mallory's token at alice's host.
		federated("mallory", "aimed", s.alices.host(), "mallory-registry"),
		federated("mallory", "redirecting", s.redirecting.host(), "mallory-registry"),
		federated("mallory", "unbound", s.mallorys.host(), "nobodys-audience"),
		federated("mallory", "api-server", s.mallorys.host(), "https://kubernetes.default.svc"),
		federated("mallory", "drivers", s.mallorys.host(), "csi.regcred.dev"),
		connectorIn("mallory", "reads-alice", `secret: {name: login}`),
		// One namespace is spelled with the beginning of another.
		federated("alice-evil", "registry", s.mallorys.host(), "mallory-registry"),
		"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: mallory, labels: {team: mallory}}\n",
	}, "")
}

// tokensFor are the true tokens of a volume's pod for both audiences.
func (s *tenants) tokensFor(v kubelet.Volume, uid string) string {
	return s.cluster.kubeletTokens(claimsOf(v, uid, kubelet.Driver), claimsOf(v, uid, "alice-registry"), claimsOf(v, uid, "mallory-registry"), claimsOf(v, uid, "nobodys-audience"))
}

// withTokens is a request with tokens in the volume context.
func withTokens(tokens string) func(*csi.NodePublishVolumeRequest) {
	return func(r *csi.NodePublishVolumeRequest) { r.VolumeContext[tokensKey] = tokens }
}

// asAlice publishes the volume that mallory is after.
func (s *tenants) asAlice() {
	s.t.Helper()
	s.victim = alice("job", "registry,static")
	s.victim.Attributes["configuration.names"] = "fields,docker-config"
	must(s.t, s.publish(s.victim, withTokens(s.tokensFor(s.victim, aliceUID))))
	must(s.t, s.shows(s.victim, s.password))
}

// world is what must not change by an attack.
type world struct {
	aliceCalls  int
	aliceIssued []string
	stray       []string
	audit       int // records of alice's Connectors
	victim      map[string]string
}

func (s *tenants) world() world {
	s.t.Helper()
	var w world
	w.aliceCalls, w.aliceIssued, w.stray = s.alices.books()
	_, _, stray := s.mallorys.books()
	w.stray = append(w.stray, stray...)
	records, err := s.driver.Audit()
	must(s.t, err)
	for _, record := range records {
		if c, ok := record["connector"].(map[string]any); ok && c["namespace"] == "alice" {
			w.audit++
		}
	}
	w.victim = content(s.t, s.kubelet.Target(s.victim))
	return w
}

// content reads every file of a volume.
func content(t *testing.T, target string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, target)] = string(text)
		return err
	}))
	return files
}

// attack is one try of mallory's.
type attack struct {
	name   string
	volume kubelet.Volume
	change func(*csi.NodePublishVolumeRequest)
	code   codes.Code
	told   string // the whole message
}

// attacks are what a pod's author can write, and what a kubelet would never send.
func (s *tenants) attacks() []attack {
	own, lone := mallory("thief", "registry"), mallory("thief", "registry")
	lone.ServiceAccount = "lone" // has no credential yet that could be shared
	forge := func(alter func(*claims)) func(*csi.NodePublishVolumeRequest) {
		said := claimsOf(own, malloryUID, "mallory-registry")
		alter(&said)
		return withTokens(s.cluster.kubeletTokens(said))
	}
	lie := func(what string) string {
		return `the token for audience "mallory-registry" is not for the pod of this volume, mallory/thief: its ` + what + ` differs`
	}
	foreign := func(ref string) string {
		return "connector " + ref + " does not exist or its spec.access does not admit ServiceAccount mallory/builder"
	}
	unbound := func(host, audience string) string {
		name, _, _ := strings.Cut(host, ":")
		return fmt.Sprintf("host %s is not bound to audience %q: add --audience %s=%s to the driver (chart value tokenAudiences) if its tokens may go there", host, audience, audience, name)
	}
	obtaining := func(ref, told string) string {
		return "connector mallory/" + ref + ": obtaining a credential for ServiceAccount mallory/builder: " + told
	}
	alone := func(told string) string { return strings.Replace(obtaining("registry", told), "builder", "lone", 1) }
	nobodys := func(audience string) string {
		return fmt.Sprintf("audience %q is bound to no host: add --audience %s=HOST to the driver (chart value tokenAudiences)", audience, audience)
	}
	return []attack{
		{"a foreign Connector", mallory("thief", "alice/registry"), nil, codes.PermissionDenied, foreign("alice/registry")},
		{"a foreign Connector that is missing", mallory("thief", "alice/missing"), nil, codes.PermissionDenied, foreign("alice/missing")},
		{"a foreign Connector that is broken", mallory("thief", "alice/broken"), nil, codes.PermissionDenied, foreign("alice/broken")},
		{"a foreign Connector with a static login", mallory("thief", "alice/static"), nil, codes.PermissionDenied, foreign("alice/static")},
		{"access for another namespace", mallory("thief", "alice/for-bob"), nil, codes.PermissionDenied, foreign("alice/for-bob")},
		{"access for another ServiceAccount", mallory("thief", "alice/for-trusted"), nil, codes.PermissionDenied, foreign("alice/for-trusted")},
		{"access for another label", mallory("thief", "alice/for-label"), nil, codes.PermissionDenied, foreign("alice/for-label")},
		{"a ClusterConnector without access", mallory("thief", "cluster:company"), nil, codes.PermissionDenied, foreign("cluster:company")},
		{"a ClusterConnector for alice", mallory("thief", "cluster:for-alice"), nil, codes.PermissionDenied, foreign("cluster:for-alice")},
		{"a ClusterConnector that is missing", mallory("thief", "cluster:missing"), nil, codes.PermissionDenied, foreign("cluster:missing")},
		{"a namespace that alice's begins", mallory("thief", "alice-evil/registry"), nil, codes.PermissionDenied, foreign("alice-evil/registry")},
		{"a foreign one behind an own", mallory("thief", "registry,alice/registry"), nil, codes.PermissionDenied, foreign("alice/registry")},
		{"a path in a name", mallory("thief", "../alice/registry"), nil, codes.InvalidArgument, `connectors: "../alice/registry" is not a connector: write name, namespace/name or cluster:name`},
		{"the old spelling", old("registry", "alice"), nil, codes.PermissionDenied, foreign("alice/registry")},
		{"alice's audience at mallory's host", mallory("thief", "swapped"), nil, codes.FailedPrecondition, obtaining("swapped", unbound(s.mallorys.host(), "alice-registry"))},
		{"mallory's audience at alice's host", mallory("thief", "aimed"), nil, codes.FailedPrecondition, obtaining("aimed", unbound(s.alices.host(), "mallory-registry"))},
		{"a registry that redirects to alice's", mallory("thief", "redirecting"), nil, codes.FailedPrecondition, obtaining("redirecting", "host "+s.redirecting.host()+" redirects to another origin, which is not followed: write the final address in the Connector")},
		{"an audience that nobody bound", mallory("thief", "unbound"), nil, codes.FailedPrecondition, obtaining("unbound", nobodys("nobodys-audience"))},
		{"the API server's audience", mallory("thief", "api-server"), nil, codes.FailedPrecondition, obtaining("api-server", nobodys("https://kubernetes.default.svc"))},
		{"the driver's own audience", mallory("thief", "drivers"), nil, codes.FailedPrecondition, obtaining("drivers", nobodys("csi.regcred.dev"))},
		{"alice's Secret by its name", mallory("thief", "reads-alice"), nil, codes.Unavailable, obtaining("reads-alice", `Secret "login" does not exist in the Connector's namespace`)},
		{"a token of alice's", own, withTokens(s.tokensFor(s.victim, aliceUID)), codes.PermissionDenied, `the token for audience "alice-registry" is not for the pod of this volume, mallory/thief: its ServiceAccount differs`},
		{"a token of another namespace", own, forge(func(c *claims) { c.Kubernetes.Namespace = "alice" }), codes.PermissionDenied, lie("namespace")},
		{"a token of another subject", own, forge(func(c *claims) { c.Subject = "system:serviceaccount:alice:builder" }), codes.PermissionDenied, lie("ServiceAccount")},
		{"a token of another ServiceAccount", own, forge(func(c *claims) { c.Kubernetes.ServiceAccount.Name = "admin" }), codes.PermissionDenied, lie("ServiceAccount")},
		{"tokens of two ServiceAccounts of one name", own, withTokens(s.cluster.kubeletTokens(claimsOf(own, malloryUID, kubelet.Driver), claimsOf(own, aliceUID, "mallory-registry"))), codes.PermissionDenied, lie("ServiceAccount UID")},
		{"a token of another pod", own, forge(func(c *claims) { c.Kubernetes.Pod.Name = "job" }), codes.PermissionDenied, lie("pod")},
		{"a token of another pod of that name", own, forge(func(c *claims) { c.Kubernetes.Pod.UID = s.victim.PodUID() }), codes.PermissionDenied, lie("pod UID")},
		{"a token under another audience's name", own, func(r *csi.NodePublishVolumeRequest) {
			token := s.cluster.sign(claimsOf(own, malloryUID, "elsewhere"))
			r.VolumeContext[tokensKey] = podTokens("mallory-registry", token)
		}, codes.PermissionDenied, lie("audience")},
		{"a token that another key signed", lone, func(r *csi.NodePublishVolumeRequest) {
			r.VolumeContext[tokensKey] = newCluster(s.t).kubeletTokens(claimsOf(lone, malloryUID, "mallory-registry"))
		}, codes.FailedPrecondition, alone(fmt.Sprintf("exchanging the pod's token: host %s answers status 401, application/json, 0 bytes (HTTP 401)", s.mallorys.host()))},
		{"a token that has ended", lone, func(r *csi.NodePublishVolumeRequest) {
			said := claimsOf(lone, aliceUID, "mallory-registry")
			said.Expiry = jwt.NewNumericDate(time.Unix(1e9, 0))
			r.VolumeContext[tokensKey] = s.cluster.kubeletTokens(said)
		}, codes.Unavailable, alone(`the pod's token for audience "mallory-registry" expired at 2001-09-09T01:46:40Z; waiting for the kubelet to deliver a fresh one`)},
		{"no token at all", lone, func(*csi.NodePublishVolumeRequest) {}, codes.Unavailable, alone(`the kubelet delivered no token for audience "mallory-registry": add it to tokenRequests of the CSIDriver object (chart value tokenAudiences)`)},
	}
}

func old(name, namespace string) kubelet.Volume {
	v := mallory("thief", "")
	v.Attributes = map[string]string{"connector.name": name, "connector.namespace": namespace}
	return v
}

// Every attack is refused in one line that says why, and nothing of alice's
// was asked for, issued, shown or told.
func TestTenants(t *testing.T) {
	s := newTenants(t)
	s.asAlice()
	mine := mallory("honest", "registry")
	must(t, s.publish(mine, withTokens(s.tokensFor(mine, malloryUID))))
	before := s.world()
	for _, a := range s.attacks() {
		t.Run(a.name, func(t *testing.T) {
			change := a.change
			if change == nil {
				change = withTokens(s.tokensFor(a.volume, malloryUID))
			}
			s.foiled(t, s.publish(a.volume, change), a)
		})
	}
	after := s.world()
	after.stray = before.stray // the token that another key signed came to mallory's own registry
	if diff := cmp.Diff(before, after, cmp.AllowUnexported(world{})); diff != "" {
		t.Errorf("the attacks changed the world (-before +after):\n%s", diff)
	}
	evidence{"answers": []byte(strings.Join(s.told, "\n"))}.free(t, "attacked", []canary{s.password})
	if _, _, stray := s.alices.books(); len(stray) > 0 {
		t.Errorf("tokens that are not for alice's registry came there: %q", stray)
	}
}

// foiled checks the answer, and that nothing is at the target.
func (s *tenants) foiled(t *testing.T, err error, a attack) {
	t.Helper()
	refused(t, err, a.code)
	if diff := cmp.Diff(a.told, status.Convert(err).Message()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := os.Lstat(s.kubelet.Target(a.volume)); !os.IsNotExist(err) {
		t.Errorf("something is at the target: %v", err)
	}
	if err := s.kubelet.Forget(a.volume); err != nil {
		t.Error(err)
	}
}

// Requests about the volumes of others are refused, and alice's stays as it is.
func TestForeignVolumes(t *testing.T) {
	s := newTenants(t)
	s.asAlice()
	thief := mallory("thief", "registry")
	must(t, s.publish(thief, withTokens(s.tokensFor(thief, malloryUID))))
	before := s.world()
	id, target := s.victim.ID(), s.kubelet.Target(s.victim)
	other := mallory("other", "registry")
	must(t, s.kubelet.Prepare(other))
	for name, c := range map[string]struct {
		call func() error
		code codes.Code
		told string
	}{
		"alice's volume id with mallory's pod": {func() error {
			return s.publish(other, withTokens(s.tokensFor(other, malloryUID)), func(r *csi.NodePublishVolumeRequest) { r.VolumeId = id })
		}, codes.AlreadyExists, "volume " + id + " is published at " + target + " with other attributes"},
		"alice's volume with mallory's attributes": {func() error {
			return s.publish(s.victim, withTokens(s.tokensFor(s.victim, aliceUID)), func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["connectors"] = "static" })
		}, codes.AlreadyExists, "volume " + id + " is published at " + target + " with other attributes"},
		"mallory's volume at alice's target": {func() error {
			return s.publish(other, withTokens(s.tokensFor(other, malloryUID)), func(r *csi.NodePublishVolumeRequest) { r.TargetPath = target })
		}, codes.InvalidArgument, "target_path: is of pod " + s.victim.PodUID() + ", and the request is for pod " + other.PodUID()},
		"alice's pod in name, mallory's target": {func() error {
			return s.publish(s.victim, withTokens(s.tokensFor(s.victim, aliceUID)), func(r *csi.NodePublishVolumeRequest) { r.VolumeId, r.TargetPath = other.ID(), s.kubelet.Target(other) })
		}, codes.InvalidArgument, "target_path: is of pod " + other.PodUID() + ", and the request is for pod " + s.victim.PodUID()},
		"unpublish of alice's id at mallory's target": {func() error {
			return s.note(s.kubelet.Remove(t.Context(), id, s.kubelet.Target(thief)))
		}, codes.FailedPrecondition, "volume " + id + " is published at " + target + ", not at " + s.kubelet.Target(thief)},
		"unpublish of mallory's id at alice's target": {func() error {
			return s.note(s.kubelet.Remove(t.Context(), thief.ID(), target))
		}, codes.FailedPrecondition, "volume " + thief.ID() + " is published at " + s.kubelet.Target(thief) + ", not at " + target},
		"unpublish of an unknown id at alice's target": {func() error {
			return s.note(s.kubelet.Remove(t.Context(), "csi-unknown", target))
		}, codes.FailedPrecondition, "removing the volume: removing " + target + ": another volume of this driver is mounted there; unpublish that one first"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call()
			refused(t, err, c.code)
			if diff := cmp.Diff(c.told, status.Convert(err).Message()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(before, s.world(), cmp.AllowUnexported(world{})); diff != "" {
		t.Errorf("the world changed (-before +after):\n%s", diff)
	}
	must(t, s.shows(s.victim, s.password))
}

// A token that the pod's author wrote into the other channel is not looked at.
func TestForgedChannel(t *testing.T) {
	s := newTenants(t, "--token-source=secrets")
	thief := mallory("thief", "registry")
	forged := s.tokensFor(thief, malloryUID)
	err := s.publish(thief, withTokens(forged))
	refused(t, err, codes.Unavailable)
	if calls, _, _ := s.mallorys.books(); calls != 0 {
		t.Errorf("the forged token was sent %d times", calls)
	}
	// The same in the channel that is the kubelet's, with a lie beside it.
	lie := s.tokensFor(alice("job", "registry"), aliceUID)
	must(t, s.publish(thief, withTokens(lie), func(r *csi.NodePublishVolumeRequest) { r.Secrets = map[string]string{tokensKey: forged} }))
	if _, issued, stray := s.mallorys.books(); len(stray) != 0 || !cmp.Equal(issued, []string{"mallory/builder/" + malloryUID}) {
		t.Errorf("issued for %q, stray %q", issued, stray)
	}
}

// A ServiceAccount that was deleted and made again has its name only.
func TestRecreatedServiceAccount(t *testing.T) {
	s := newTenants(t)
	const newUID = "22222222-2222-4222-8222-222222222222"
	first, second := alice("first", "registry"), alice("second", "registry")
	must(t, s.publish(first, withTokens(s.tokensFor(first, aliceUID))))
	must(t, s.publish(second, withTokens(s.tokensFor(second, newUID))))
	_, issued, _ := s.alices.books()
	if want := []string{"alice/builder/" + aliceUID, "alice/builder/" + newUID}; !cmp.Equal(want, issued) {
		t.Fatalf("issued for %q, want %q", issued, want)
	}
	if maps.Equal(content(t, s.kubelet.Target(first)), content(t, s.kubelet.Target(second))) {
		t.Error("both show the same credential")
	}
	// The first pod lives on, and the kubelet's tokens for it are the new one's.
	must(t, s.publish(first, withTokens(s.tokensFor(first, newUID))))
	await(t, "the new ServiceAccount's credential", func() error {
		before, after := s.login(first), s.login(second)
		if before != after {
			return fmt.Errorf("still %s", before)
		}
		return nil
	})
	if _, issued, _ := s.alices.books(); len(issued) != 2 {
		t.Errorf("issued for %q", issued)
	}
}

// login is what a volume's config.json holds.
func (s *tenants) login(v kubelet.Volume) string {
	text, err := os.ReadFile(filepath.Join(s.kubelet.Target(v), "config.json"))
	must(s.t, err)
	return string(text)
}
