package abuse

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// cluster signs ServiceAccount tokens as an API server does.
type cluster struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &cluster{t: t, key: key}
}

// claims are those of a pod-bound ServiceAccount token.
type claims struct {
	jwt.Claims
	Kubernetes bound `json:"kubernetes.io"`
}

type bound struct {
	Namespace      string `json:"namespace"`
	Pod            ref    `json:"pod"`
	ServiceAccount ref    `json:"serviceaccount"`
	Node           ref    `json:"node"`
}

type ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// claimsOf are the true ones of a volume's pod, its ServiceAccount having a UID.
func claimsOf(v kubelet.Volume, uid, audience string) claims {
	return claims{
		Claims: jwt.Claims{
			Subject: "system:serviceaccount:" + v.Namespace + ":" + v.ServiceAccount, Audience: jwt.Audience{audience}, ID: rand.Text(),
			Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		},
		Kubernetes: bound{
			Namespace: v.Namespace, Pod: ref{v.Pod, v.PodUID()}, ServiceAccount: ref{v.ServiceAccount, uid}, Node: ref{Name: "n1"},
		},
	}
}

func (c *cluster) sign(said claims) string {
	c.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, (&jose.SignerOptions{}).WithType("JWT"))
	must(c.t, err)
	token, err := jwt.Signed(signer).Claims(said).Serialize()
	must(c.t, err)
	return token
}

// kubeletTokens are the tokens of claims as the kubelet hands them over.
func (c *cluster) kubeletTokens(all ...claims) string {
	object := map[string]any{}
	for _, said := range all {
		object[said.Audience[0]] = map[string]string{
			"token": c.sign(said), "expirationTimestamp": said.Expiry.Time().UTC().Format(time.RFC3339),
		}
	}
	text, err := json.Marshal(object)
	must(c.t, err)
	return string(text)
}

// registry exchanges pod tokens of its audience for its own, and remembers
// every request: whose tokens came, and which were not for it.
type registry struct {
	*httptest.Server
	cluster  *cluster
	audience string

	// elsewhere, when set, is where the registry redirects to.
	elsewhere string

	mu     sync.Mutex
	calls  int
	issued []string // what for whom
	stray  []string // tokens that should never have come
}

func (c *cluster) registry(t *testing.T, audience string) *registry {
	r := &registry{cluster: c, audience: audience}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) host() string { return strings.TrimPrefix(r.URL, "http://") }

// ServeHTTP verifies as a provider does: signature, audience, expiry.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	text := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	var said claims
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err == nil {
		err = token.Claims(r.cluster.key.Public(), &said)
	}
	if err == nil {
		err = said.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{r.audience}, Time: time.Now()}, 0)
	}
	if r.elsewhere != "" {
		http.Redirect(w, req, r.elsewhere, http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		r.stray = append(r.stray, fmt.Sprintf("%v: %v", said, err))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	whose := fmt.Sprintf("%s/%s/%s", said.Kubernetes.Namespace, said.Kubernetes.ServiceAccount.Name, said.Kubernetes.ServiceAccount.UID)
	r.issued = append(r.issued, whose)
	_ = json.NewEncoder(w).Encode(map[string]string{"token": fmt.Sprintf("%s.%s.%d", r.audience, strings.ReplaceAll(whose, "/", "."), len(r.issued))}) // the client may have gone
}

// books are what came so far.
func (r *registry) books() (calls int, issued, stray []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls, slices.Clone(r.issued), slices.Clone(r.stray)
}
