package issuers

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Claims are what a registry's token says of itself. The signature is not
// checked: the registry does that, here the claims only make a schedule.
type Claims struct {
	jwt.RegisteredClaims
	// Access is nil when the token does not tell.
	Access *[]Access `json:"access,omitempty"`
}

// Access is one item of a registry token's access claim
// (https://distribution.github.io/distribution/spec/auth/jwt/).
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// ParseClaims reads a JWT's claims, unverified. False means that the text is
// no JWT, which is no mistake: registries may issue opaque tokens.
func ParseClaims(token connector.Secret) (Claims, bool) {
	var claims Claims
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithPaddingAllowed())
	_, _, err := parser.ParseUnverified(token.Reveal(), &claims)
	// An algorithm that the library does not know hinders verification only.
	if err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable) {
		return Claims{}, false
	}
	return claims, true
}

// UnmarshalJSON tells "access": null, which grants nothing, from no access
// claim at all.
func (c *Claims) UnmarshalJSON(data []byte) error {
	type plain Claims
	var raw struct {
		Access json.RawMessage `json:"access"`
	}
	if err := json.Unmarshal(data, (*plain)(c)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if c.Access == nil && raw.Access != nil {
		c.Access = &[]Access{}
	}
	return nil
}

// Expiry is the exp claim, or zero when there is none.
func (c Claims) Expiry() time.Time {
	if c.ExpiresAt == nil {
		return time.Time{}
	}
	return c.ExpiresAt.Time
}

// TokenExpiry is the exp of a secret that is a JWT, else zero.
func TokenExpiry(token connector.Secret) time.Time {
	claims, _ := ParseClaims(token)
	return claims.Expiry()
}
