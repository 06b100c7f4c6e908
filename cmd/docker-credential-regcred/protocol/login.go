package protocol

import (
	"errors"
	"io/fs"
	"strings"
)

// login is the content of an answer.
type login struct{ user, secret string }

// state is what a look for a login found.
type state int

const (
	absent state = iota
	unreadable
	torn
	whole
)

const answers = "/.answers/"

// tries is how often a volume that changes is looked at.
const tries = 20

// read gives a file of the volume as it was at one moment. The driver cuts and
// removes a file when it is superseded, so what is no whole file is only
// believed if the volume has not changed meanwhile.
func (h Helper) read(volume, file string, isWhole func([]byte) bool) (text []byte, err error) {
	for range tries {
		before := h.Generation(volume)
		text, err = h.Read(volume + answers + file)
		if err == nil && isWhole(text) || h.Generation(volume) == before {
			return text, err
		}
	}
	return nil, errChanging
}

var errChanging = errors.New("the volume does not stand still")

func (h Helper) login(volume, host string) (l login, _ state) {
	if host == "" {
		return login{}, absent
	}
	_, err := h.read(volume, host, func(text []byte) (ok bool) {
		l, ok = parse(string(text))
		return ok
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return login{}, unreadable
	case err != nil && !errors.Is(err, errChanging):
		return login{}, absent
	case l == login{}:
		return login{}, torn
	}
	return l, whole
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
