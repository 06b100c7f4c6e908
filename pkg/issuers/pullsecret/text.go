package pullsecret

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckText refuses what no client could send. The error reads on after the
// name of the text.
func CheckText(text string) error {
	switch {
	case strings.TrimRight(text, "\r\n") != text:
		return errors.New("ends with a line break, which no registry login can carry: store it without (echo adds one, printf %s does not)")
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("holds a control character or is not UTF-8, which no registry login can carry")
	default:
		return nil
	}
}

// CheckToken is CheckText for bearer tokens, which a space ends (RFC 6750
// §2.1).
func CheckToken(token string) error {
	if err := CheckText(token); err != nil {
		return err
	}
	if strings.ContainsFunc(token, unicode.IsSpace) {
		return errors.New("holds a space, which no bearer token can have")
	}
	return nil
}

// CheckUser is CheckText for user names, which a colon ends (RFC 7617 §2).
func CheckUser(name string) error {
	if strings.Contains(name, ":") {
		return errors.New("holds a colon, which no registry login can carry")
	}
	return CheckText(name)
}
