package command

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/driver"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// podTokens are the tokens of --token, found to be of the ServiceAccount.
type podTokens struct {
	byAudience map[string]issuers.Token
	uid        string // of the ServiceAccount, when a token tells
}

// maxToken is more than the API server lets a token grow to.
const maxToken = 64 << 10

// readTokens reads the files of --token. No error quotes their content.
func (r renderRequest) readTokens() (podTokens, error) {
	sent := map[string]connector.Secret{}
	for _, audience := range slices.Sorted(maps.Keys(r.tokens)) {
		text, err := readToken(r.tokens[audience])
		if err != nil {
			return podTokens{}, fmt.Errorf("--token for audience %q: %w", audience, err)
		}
		sent[audience] = text
	}
	tokens, uid, err := driver.CheckTokens(sent, r.spec.Subject)
	if err != nil {
		return podTokens{}, fmt.Errorf("--token: %w", err)
	}
	for audience, token := range tokens {
		if !token.ExpiresAt.IsZero() && !time.Now().Before(token.ExpiresAt) {
			return podTokens{}, fmt.Errorf("--token: the token for audience %q expired at %s: make a fresh one", audience, token.ExpiresAt.UTC().Format(time.RFC3339))
		}
	}
	return podTokens{byAudience: tokens, uid: uid}, nil
}

func readToken(path string) (connector.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return connector.Secret{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	switch {
	case err != nil:
		return connector.Secret{}, err
	case len(text) > maxToken:
		return connector.Secret{}, fmt.Errorf("%s is larger than any token: name the file that holds the token alone", path)
	}
	return connector.NewSecret(strings.TrimSpace(string(text))), nil
}
