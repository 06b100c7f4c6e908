package issuers

import (
	"encoding/json"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// maxQuote is how much of an answer an error may carry, in characters.
const maxQuote = 200

// tokenLike is text that could be a credential: long runs without a space.
// Messages are in words, so nothing that explains is lost.
var tokenLike = regexp.MustCompile(`[A-Za-z0-9+/=_.~-]{32,}`)

// Documented quotes from an answer the fields of the provider's documented
// error shape, and no others: without this limit a Connector's author could
// read internal services through the driver's errors. A field is a path such
// as error_description or errors.message; a list on the way means its first
// item. What is quoted has at most 200 characters and one line, and secrets
// and what looks like a token are masked. Without any such field the text is
// status, content type and length.
func (a *Answer) Documented(fields ...string) string {
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || (kind != "application/json" && !strings.HasSuffix(kind, "+json")) {
		return a.outline()
	}
	var body any
	if json.Unmarshal(a.body, &body) != nil {
		return a.outline()
	}
	var found []string
	for _, field := range fields {
		if text := fieldText(body, strings.Split(field, ".")); text != "" {
			found = append(found, text)
		}
	}
	if len(found) == 0 {
		return a.outline()
	}
	// Masked again once it is tidy: what is left out, such as a zero-width
	// space, may have stood within a secret.
	text := mask(tidy(mask(strings.Join(found, ": "), a.secrets)), a.secrets)
	return clean(tokenLike.ReplaceAllString(text, "[masked]"), maxQuote)
}

// fieldText walks to a text. Numbers and objects are never quoted.
func fieldText(value any, path []string) string {
	switch v := value.(type) {
	case string:
		if len(path) == 0 {
			return v
		}
	case []any:
		if len(v) > 0 {
			return fieldText(v[0], path)
		}
	case map[string]any:
		if len(path) > 0 {
			return fieldText(v[path[0]], path[1:])
		}
	}
	return ""
}

// mask hides the request's own secrets where a provider echoes them, as they
// are or as they were sent in a form or a URL.
func mask(text string, secrets []connector.Secret) string {
	var sent []string
	for _, s := range secrets {
		if plain := s.Reveal(); plain != "" {
			form := url.QueryEscape(plain)
			sent = append(sent, regexp.QuoteMeta(plain), escaped(form), escaped(strings.ReplaceAll(form, "+", "%20")), escaped(url.PathEscape(plain)))
		}
	}
	if len(sent) == 0 {
		return text
	}
	// The longest first: one secret may begin another.
	slices.SortFunc(sent, func(a, b string) int { return len(b) - len(a) })
	forms, err := regexp.Compile(strings.Join(sent, "|"))
	if err != nil {
		return "[masked]" // cannot be: every part is quoted
	}
	return forms.ReplaceAllString(text, "[masked]")
}

// escaped matches a percent-encoded text in either case of its digits.
func escaped(text string) string { return "(?i:" + regexp.QuoteMeta(text) + ")" }

// clean makes text of others one printable line of at most limit characters.
func clean(text string, limit int) string {
	text = tidy(text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// tidy makes text of others one printable line.
func tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
