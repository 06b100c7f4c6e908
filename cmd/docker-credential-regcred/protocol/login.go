package protocol

import "strings"

// login is the content of an answer.
type login struct{ user, secret string }

// state is what a look for a login found.
type state int

const (
	absent state = iota
	torn
	whole
)

// tries is how often a torn file is read: the driver cuts a file only when it
// is superseded, so the second look finds its successor or nothing.
const tries = 5

func (h Helper) login(volume, host string) (login, state) {
	if host == "" {
		return login{}, absent
	}
	for range tries {
		text, err := h.Read(volume + "/.answers/" + host)
		if err != nil {
			return login{}, absent
		}
		if l, ok := parse(string(text)); ok {
			return l, whole
		}
	}
	return login{}, torn
}

// parse reads two lines. The start of an answer is none: it lacks the end of
// the second line.
func parse(text string) (l login, ok bool) {
	l.user, text, ok = strings.Cut(text, "\n")
	if !ok {
		return login{}, false
	}
	secret, rest, ok := strings.Cut(text, "\n")
	l.secret = secret
	if !ok || rest != "" || l.user == "" || l.secret == "" || hasControl(l.user) || hasControl(l.secret) {
		return login{}, false
	}
	return l, true
}

// hostOf is the name under which a registry's answer lies, empty when none
// can: the address without scheme and path, Docker Hub under one name.
func hostOf(url string) string {
	host := lower(url)
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	if strings.HasPrefix(host, ".") || strings.Contains(host, "@") || hasControl(host) {
		return ""
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
