package abuse

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// jwtOf makes an unsigned token with the canary in its claims and in the place
// of its signature.
func jwtOf(c canary, namespace, serviceAccount, audience string) string {
	part := func(value any) string {
		text, _ := json.Marshal(value) // of maps of strings it cannot fail
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(map[string]any{
		"aud": []string{audience}, "sub": "system:serviceaccount:" + namespace + ":" + serviceAccount, "jti": c.core,
		"exp": time.Now().Add(time.Hour).Unix(),
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte(c.core))
}

// podTokens is what the kubelet sends for one audience.
func podTokens(audience, token string) string {
	text, _ := json.Marshal(map[string]any{audience: map[string]string{ // of strings it cannot fail
		"token": token, "expirationTimestamp": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	}})
	return string(text)
}
