package render

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Form says what a client gets for an entry.
type Form string

// The forms of an entry.
const (
	FormBasic         Form = "basic"         // username and password
	FormIdentityToken Form = "identityToken" // an OAuth2 refresh token
	FormRegistryToken Form = "registryToken" // a ready-made bearer
	FormAnonymous     Form = "anonymous"
)

// formOf tells the form of an entry, empty when it has none or several.
func formOf(e connector.Entry) Form {
	var forms []Form
	if e.Anonymous {
		forms = append(forms, FormAnonymous)
	}
	if !e.Password.IsZero() {
		forms = append(forms, FormBasic)
	}
	if !e.IdentityToken.IsZero() {
		forms = append(forms, FormIdentityToken)
	}
	if !e.RegistryToken.IsZero() {
		forms = append(forms, FormRegistryToken)
	}
	named := e.Username != ""
	switch {
	case len(forms) != 1,
		forms[0] == FormBasic && !named,
		named && (forms[0] == FormRegistryToken || forms[0] == FormAnonymous):
		return ""
	}
	return forms[0]
}

// checkText refuses values that a client cannot send, or that would cost it
// the whole file. The error names the field, not the value.
func checkText(e connector.Entry) error {
	switch {
	case strings.Contains(e.Username, ":"):
		return errors.New("the username holds a colon, which basic authentication cannot carry (RFC 7617): use an account without one")
	case !sendable(e.Username):
		return errors.New("the username holds a control character or is not UTF-8: remove it where the username is stored")
	case !sendable(e.Password.Reveal()):
		return errors.New("the password holds a control character (a final newline?) or is not UTF-8: remove it where the password is stored")
	case !sendable(e.IdentityToken.Reveal()):
		return errors.New("the identity token holds a control character (a final newline?) or is not UTF-8: remove it where the token is stored")
	case !sendable(e.RegistryToken.Reveal()):
		return errors.New("the registry token holds a control character (a final newline?) or is not UTF-8: remove it where the token is stored")
	}
	return nil
}

func sendable(s string) bool { return utf8.ValidString(s) && !hasControl(s) }

// sameSecret reports whether two entries differ in nothing but their key.
func sameSecret(a, b connector.Entry) bool {
	a.Key, b.Key = connector.Key{}, connector.Key{}
	return a.Equal(b)
}

// basicAuth is the padded base64 of user:password: docker ignores the whole
// file when the padding is missing.
func basicAuth(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}
