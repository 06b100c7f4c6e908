package issuers

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Claims are what a registry's token says of itself. The signature is not
// checked: the registry does that, here the claims only make a schedule. A
// claim that cannot be read hides no other.
type Claims struct {
	IssuedAt  time.Time // zero when the token does not tell
	ExpiresAt time.Time // zero when the token has no end
	// Access is nil when the token does not tell. One that cannot be read
	// grants nothing.
	Access *[]Access
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
	members := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithPaddingAllowed())
	_, _, err := parser.ParseUnverified(token.Reveal(), members)
	// An algorithm that the library does not know hinders verification only.
	if err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable) {
		return Claims{}, false
	}
	claims := Claims{IssuedAt: numericDate(members["iat"]), ExpiresAt: numericDate(members["exp"])}
	if access, told := members["access"]; told {
		claims.Access = readAccess(access)
	}
	return claims, true
}

// numericDate is RFC 7519 §2; text with a number is taken as well.
func numericDate(claim any) time.Time {
	if text, ok := claim.(string); ok {
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			claim = number
		}
	}
	seconds, ok := claim.(float64)
	switch {
	case !ok, math.IsNaN(seconds), seconds > lastSecond:
		return time.Time{}
	default:
		return Believable(time.Unix(int64(max(0, seconds)), 0))
	}
}

// lastSecond ends the year 9999.
const lastSecond = 253402300799

func readAccess(claim any) *[]Access {
	items := []Access{}
	text, err := json.Marshal(claim)
	if err != nil || json.Unmarshal(text, &items) != nil || items == nil {
		return &[]Access{}
	}
	return &items
}

// TokenExpiry is the exp of a secret that is a JWT, else zero.
func TokenExpiry(token connector.Secret) time.Time {
	claims, _ := ParseClaims(token)
	return claims.ExpiresAt
}
