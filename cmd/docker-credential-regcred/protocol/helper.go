package protocol

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// name is how users know the program.
const name = "docker-credential-regcred"

// These texts are the protocol's: clients compare them.
const (
	notFound         = "credentials not found in native keychain"
	missingServerURL = "no credentials server URL"
)

// longestQuestion is more than any URL that a client asks for.
const longestQuestion = 64 << 10

// Helper answers from the files of one volume.
type Helper struct {
	Version string
	// Volumes are directories to look for a volume in, the first one counts.
	Volumes []string
	// Read returns the content of a file.
	Read func(path string) ([]byte, error)
	// Generation names what is in force in a volume, by another name after each
	// change; empty where there is no volume.
	Generation func(volume string) string
}

// Run does what the arguments ask for and returns the exit code. As the
// protocol wants it, errors are printed on out.
func (h Helper) Run(args []string, in io.Reader, out io.Writer) int {
	answer, ok := usage, false
	if len(args) == 1 {
		answer, ok = h.answer(args[0], in)
	}
	if _, err := io.WriteString(out, answer+"\n"); err != nil || !ok {
		return 1
	}
	return 0
}

const usage = "Usage: " + name + " <get|list|version>"

func (h Helper) answer(action string, in io.Reader) (answer string, ok bool) {
	switch action {
	case "get":
		return h.get(in)
	case "list":
		return h.list()
	case "version", "--version", "-v":
		return name + " (github.com/regcred/csi-driver-regcred) " + h.Version, true
	case "--help", "-h":
		return usage, true
	case "store":
		drain(in)
		return name + " cannot store a login: those of this registry come from a volume of csi.regcred.dev, which keeps them fresh. To use another login, point DOCKER_CONFIG to another directory", false
	case "erase":
		drain(in)
		return name + " cannot erase a login: it comes from a volume of csi.regcred.dev and goes with it", false
	}
	return name + ": unknown action: " + printable(action), false
}

// drain takes the client's writing off its hands.
func drain(in io.Reader) { _, _ = io.ReadAll(io.LimitReader(in, longestQuestion)) } // nobody needs it

func (h Helper) get(in io.Reader) (answer string, ok bool) {
	question, err := io.ReadAll(io.LimitReader(in, longestQuestion))
	if err != nil {
		return name + ": the registry could not be read from standard input", false
	}
	url := strings.Trim(string(question), " \t\r\n")
	if url == "" {
		return missingServerURL, false
	}
	volume, _, lost := h.volume()
	if lost != "" {
		return lost, false
	}
	host := hostOf(url)
	login, state := h.login(volume, host)
	switch state {
	case whole:
		return `{"ServerURL":` + quote(url) + `,"Username":` + quote(login.user) + `,"Secret":` + quote(login.secret) + `}`, true
	case unreadable:
		return closedTo(volume, host), false
	case torn:
		return damaged(url), false
	default:
		return notFound, false
	}
}

// list tells who logs in where.
func (h Helper) list() (answer string, ok bool) {
	volume, urls, lost := h.volume()
	if lost != "" {
		return lost, false
	}
	var users []string
	for url := range strings.SplitSeq(urls, "\n") {
		host := hostOf(url)
		switch login, state := h.login(volume, host); state {
		case absent: // emptied
		case whole:
			users = append(users, quote(url)+":"+quote(login.user))
		case unreadable:
			return closedTo(volume, host), false
		case torn:
			return damaged(url), false
		}
	}
	return "{" + strings.Join(users, ",") + "}", true
}

// volume finds the volume, and the registries that it has a helper for; else
// it tells why there is none.
func (h Helper) volume() (dir, urls, lost string) {
	var looked []string
	for _, dir := range h.Volumes {
		dir = strings.TrimRight(dir, "/")
		if slices.Contains(looked, dir) {
			continue
		}
		looked = append(looked, dir)
		text, err := h.read(dir, ".urls", func([]byte) bool { return false }) // any cut is a list, too
		switch {
		case err == nil:
			return dir, string(text), ""
		case lost == "" && errors.Is(err, fs.ErrPermission):
			lost = closedTo(dir, ".urls")
		}
	}
	if lost == "" {
		lost = name + ": no volume with docker-helper in " + printable(strings.Join(looked, " or ")) + ": run the program where the volume is mounted, or point DOCKER_CONFIG to it"
	}
	return "", "", lost
}

func damaged(url string) string {
	return name + ": the volume's answer for " + printable(url) + " is damaged; ask again"
}

// closedTo tells of a file that the driver gave to others.
func closedTo(volume, file string) string {
	return name + ": " + printable(volume+answers+file) + " cannot be read by this user: set the pod's fsGroup, or file.mode of the volume"
}
