package driver

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// podToken is one value of the kubelet's token object, whose keys are audiences.
type podToken struct {
	Token               string    `json:"token"`
	ExpirationTimestamp time.Time `json:"expirationTimestamp"`
}

// claims are those of a Kubernetes ServiceAccount token.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Pod       struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"pod"`
		ServiceAccount struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// tokens reads what the kubelet sent, checks that it is about the subject, and
// returns the tokens by audience with the ServiceAccount's UID. No text of a
// token is ever part of an error.
func (r rules) tokens(raw string, subject connector.Subject) (map[string]issuers.Token, string, error) {
	sent := map[string]podToken{}
	if raw != "" {
		// The error of package json quotes its input.
		if json.Unmarshal([]byte(raw), &sent) != nil {
			return nil, "", connector.Errorf(connector.ErrInvalid, "the ServiceAccount tokens are not a JSON object of audiences")
		}
	}
	tokens, uid, bound, err := checkTokens(sent, subject)
	if err != nil {
		return nil, "", err
	}
	if r.requirePodToken && !bound {
		return nil, "", connector.Errorf(connector.ErrPrecondition, "the kubelet sent no pod-bound token for audience %s in %s: list that audience first in the tokenRequests of the CSIDriver object, and let its serviceAccountTokenInSecrets agree with --token-source", Name, r.tokenSource)
	}
	return tokens, uid, nil
}

// CheckTokens compares tokens, by audience, with what is said of the subject,
// as a publish does, and returns them with the ServiceAccount's UID.
func CheckTokens(sent map[string]connector.Secret, subject connector.Subject) (map[string]issuers.Token, string, error) {
	all := make(map[string]podToken, len(sent))
	for audience, token := range sent {
		all[audience] = podToken{Token: token.Reveal()}
	}
	tokens, uid, _, err := checkTokens(all, subject)
	return tokens, uid, err
}

// checkTokens also reports whether a token for this driver names its pod.
func checkTokens(sent map[string]podToken, subject connector.Subject) (tokens map[string]issuers.Token, uid string, bound bool, err error) {
	tokens = make(map[string]issuers.Token, len(sent))
	for _, audience := range slices.Sorted(maps.Keys(sent)) {
		token := sent[audience]
		said, err := readClaims(audience, token.Token)
		if err != nil {
			return nil, "", false, err
		}
		if claim := said.contradicts(audience, subject, uid); claim != "" {
			return nil, "", false, connector.Errorf(connector.ErrDenied, "the token for audience %q is not for %s: its %s differs", audience, bearer(subject), claim)
		}
		uid = cmp.Or(said.Kubernetes.ServiceAccount.UID, uid)
		bound = bound || audience == Name && said.podBound()
		// A token without an audience opens the API server and is of no use here.
		if audience != "" {
			tokens[audience] = issuers.Token{JWT: connector.NewSecret(token.Token), ExpiresAt: earliest(token.ExpirationTimestamp, said.ExpiresAt)}
		}
	}
	return tokens, uid, bound, nil
}

// bearer names whom a token has to be for.
func bearer(s connector.Subject) string {
	if s.Pod == "" {
		return "ServiceAccount " + s.String()
	}
	return "the pod of this volume, " + s.Namespace + "/" + s.Pod
}

// readClaims does not verify the signature. The claims are only compared with
// the request that carried them: what makes both trustworthy is that the
// kubelet's socket admits root alone, and a provider verifies the signature
// for itself. A verification here would need the cluster's keys and add nothing.
func readClaims(audience, token string) (*claims, error) {
	said := &claims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, said); err != nil {
		return nil, connector.Errorf(connector.ErrInvalid, "the token for audience %q is not a JSON Web Token", audience)
	}
	return said, nil
}

// podBound reports whether the token names pod and ServiceAccount by UID.
func (c *claims) podBound() bool {
	return c.Kubernetes.Pod.UID != "" && c.Kubernetes.ServiceAccount.UID != ""
}

// contradicts returns the claim that does not fit, or nothing. uid is what
// the tokens before said of the ServiceAccount.
func (c *claims) contradicts(audience string, subject connector.Subject, uid string) string {
	if audience != "" && !slices.Contains(c.Audience, audience) {
		return "audience"
	}
	k := c.Kubernetes
	for _, claim := range []struct {
		name      string
		got, want string
		required  bool
	}{
		{"ServiceAccount", c.Subject, "system:serviceaccount:" + subject.Namespace + ":" + subject.ServiceAccount, true},
		{"namespace", k.Namespace, subject.Namespace, false},
		{"ServiceAccount", k.ServiceAccount.Name, subject.ServiceAccount, false},
		{"ServiceAccount UID", k.ServiceAccount.UID, uid, false},
		{"pod", k.Pod.Name, subject.Pod, false},
		{"pod UID", k.Pod.UID, subject.PodUID, false},
	} {
		missing := claim.got == "" && !claim.required
		if !missing && claim.want != "" && claim.got != claim.want {
			return claim.name
		}
	}
	return ""
}

// earliest returns the end that comes first; zero times do not count.
func earliest(stated time.Time, claimed *jwt.NumericDate) time.Time {
	if claimed != nil && (stated.IsZero() || claimed.Before(stated)) {
		return claimed.Time
	}
	return stated
}
