package issuers

import (
	"net/http"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Challenge is one way to log in that a server offers in WWW-Authenticate.
type Challenge struct {
	Scheme string            // lower case: bearer, basic, …
	Params map[string]string // names in lower case
}

// ParseChallenges reads every challenge of the WWW-Authenticate headers, of
// which there may be several, each holding several (RFC 9110 §11.6.1). What
// does not follow the grammar is an error that wraps connector.ErrInvalid and
// quotes nothing.
func ParseChallenges(header http.Header) ([]Challenge, error) {
	var all []Challenge
	for _, value := range header.Values("WWW-Authenticate") {
		challenges, err := parseChallenges(value)
		if err != nil {
			return nil, err
		}
		all = append(all, challenges...)
	}
	return all, nil
}

// FindChallenge returns the first challenge of a scheme.
func FindChallenge(challenges []Challenge, scheme string) (Challenge, bool) {
	for _, c := range challenges {
		if c.Scheme == scheme {
			return c, true
		}
	}
	return Challenge{}, false
}

func parseChallenges(value string) ([]Challenge, error) {
	s := challengeScanner{rest: value}
	var all []Challenge
	for s.skipCommas(); s.rest != ""; s.skipCommas() {
		scheme := s.token()
		if scheme == "" || (s.rest != "" && !strings.ContainsRune(" \t,", rune(s.rest[0]))) {
			return nil, badChallenge("a scheme is missing")
		}
		c := Challenge{Scheme: strings.ToLower(scheme), Params: map[string]string{}}
		if err := s.params(c.Params); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func badChallenge(what string) error {
	return connector.Errorf(connector.ErrInvalid, "WWW-Authenticate header: %s", what)
}

// challengeScanner walks over one header value.
type challengeScanner struct{ rest string }

// params reads the parameters of one challenge and stops before the next
// scheme, which is a token that no equals sign follows.
func (s *challengeScanner) params(into map[string]string) error {
	if s.token68() {
		return nil
	}
	for first := true; ; first = false {
		before := s.rest
		if separated := s.skipCommas(); s.rest == "" {
			return nil
		} else if !first && !separated {
			return badChallenge("a comma is missing between parameters")
		}
		name := strings.ToLower(s.token())
		s.skipSpace()
		if name == "" || !strings.HasPrefix(s.rest, "=") {
			s.rest = before
			return nil
		}
		s.rest = s.rest[1:]
		s.skipSpace()
		value, ok := s.value()
		if !ok {
			return badChallenge("a parameter has no complete value")
		}
		if _, twice := into[name]; twice {
			return badChallenge("a parameter is given twice")
		}
		into[name] = value
	}
}

// token68 skips the form that some schemes have instead of parameters.
func (s *challengeScanner) token68() bool {
	text := strings.TrimLeft(s.rest, " \t")
	if text == s.rest {
		return false
	}
	body := strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/")
	after := strings.TrimLeft(body, "=")
	// Without padding it must end the challenge, or it is a parameter's name.
	if len(body) == len(text) || (after != "" && !strings.HasPrefix(strings.TrimLeft(after, " \t"), ",")) {
		return false
	}
	s.rest = after
	return true
}

func (s *challengeScanner) value() (string, bool) {
	if !strings.HasPrefix(s.rest, `"`) {
		value := s.token()
		return value, value != ""
	}
	var value strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return value.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			value.WriteByte(s.rest[i])
		default:
			value.WriteByte(c)
		}
	}
	return "", false
}

func (s *challengeScanner) token() string {
	end := strings.IndexFunc(s.rest, func(r rune) bool { return !isTokenChar(r) })
	if end < 0 {
		end = len(s.rest)
	}
	token := s.rest[:end]
	s.rest = s.rest[end:]
	return token
}

// isTokenChar is RFC 9110 §5.6.2.
func isTokenChar(r rune) bool {
	return r > 0x20 && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func (s *challengeScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t") }

// skipCommas reports whether there was a comma.
func (s *challengeScanner) skipCommas() bool {
	trimmed := strings.TrimLeft(s.rest, " \t,")
	had := strings.Contains(s.rest[:len(s.rest)-len(trimmed)], ",")
	s.rest = trimmed
	return had
}
