package protocol_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/cmd/docker-credential-regcred/protocol"
)

const notFound = "credentials not found in native keychain\n"

// content is a volume's files by path.
type content map[string]string

func (c content) read(path string) ([]byte, error) {
	text, ok := c[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

var volume = content{
	"/v/.answers/.urls":                   "[fd00::1]:5000\nacr.example\nemptied.example\nharbor.example.com:5000\nhttps://index.docker.io/v1/\n",
	"/v/.answers/[fd00::1]:5000":          "six\nv6\n",
	"/v/.answers/acr.example":             "<token>\nrefresh\n",
	"/v/.answers/docker.io":               "hubber\nhub\n",
	"/v/.answers/harbor.example.com:5000": "rö<b>ot \"$\"\np:ä&ss \\ word\n",
	"/v/.answers/torn.example":            "robot\npass",
}

func helper(files content) protocol.Helper {
	return protocol.Helper{Version: "v1.2.3", Volumes: []string{"/elsewhere", "/v"}, Read: files.read, Generation: func(string) string { return "" }}
}

func ask(h protocol.Helper, question string, args ...string) (answer string, code int) {
	var out strings.Builder
	code = h.Run(args, strings.NewReader(question), &out)
	return out.String(), code
}

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		args, question, want string
		code                 int
	}{
		"host and port":       {"get", "harbor.example.com:5000", `{"ServerURL":"harbor.example.com:5000","Username":"rö<b>ot \"$\"","Secret":"p:ä&ss \\ word"}` + "\n", 0},
		"line end":            {"get", "acr.example\r\n", `{"ServerURL":"acr.example","Username":"<token>","Secret":"refresh"}` + "\n", 0},
		"URL":                 {"get", "https://acr.example/v2/", `{"ServerURL":"https://acr.example/v2/","Username":"<token>","Secret":"refresh"}` + "\n", 0},
		"upper case":          {"get", "HTTPS://ACR.example", `{"ServerURL":"HTTPS://ACR.example","Username":"<token>","Secret":"refresh"}` + "\n", 0},
		"query":               {"get", "acr.example?x", `{"ServerURL":"acr.example?x","Username":"<token>","Secret":"refresh"}` + "\n", 0},
		"address":             {"get", "https://[fd00::1]:5000/", `{"ServerURL":"https://[fd00::1]:5000/","Username":"six","Secret":"v6"}` + "\n", 0},
		"Docker Hub":          {"get", "https://index.docker.io/v1/", `{"ServerURL":"https://index.docker.io/v1/","Username":"hubber","Secret":"hub"}` + "\n", 0},
		"Docker Hub's name":   {"get", "docker.io", `{"ServerURL":"docker.io","Username":"hubber","Secret":"hub"}` + "\n", 0},
		"Docker Hub's server": {"get", "registry-1.docker.io", `{"ServerURL":"registry-1.docker.io","Username":"hubber","Secret":"hub"}` + "\n", 0},
		"unknown host":        {"get", "stranger.example", notFound, 1},
		"other port":          {"get", "acr.example:443", notFound, 1},
		"emptied":             {"get", "emptied.example", notFound, 1},
		"no host":             {"get", "https:///", notFound, 1},
		"user before host":    {"get", "https://acr.example@evil.example/", notFound, 1},
		"path out":            {"get", "..", notFound, 1},
		"the list":            {"get", ".urls", notFound, 1},
		"control":             {"get", "acr.example\x00", notFound, 1},
		"nothing asked":       {"get", " \n", "no credentials server URL\n", 1},
		"torn for good":       {"get", "torn.example", "docker-credential-regcred: the volume's answer for torn.example is damaged; ask again\n", 1},
		"list":                {"list", "", `{"[fd00::1]:5000":"six","acr.example":"<token>","harbor.example.com:5000":"rö<b>ot \"$\"","https://index.docker.io/v1/":"hubber"}` + "\n", 0},
		"store": {
			"store", `{"ServerURL":"acr.example","Username":"u","Secret":"s"}`,
			"docker-credential-regcred cannot store a login: those of this registry come from a volume of csi.regcred.dev, which keeps them fresh. To use another login, point DOCKER_CONFIG to another directory\n", 1,
		},
		"erase":          {"erase", "acr.example", "docker-credential-regcred cannot erase a login: it comes from a volume of csi.regcred.dev and goes with it\n", 1},
		"version":        {"version", "", "docker-credential-regcred (github.com/regcred/csi-driver-regcred) v1.2.3\n", 0},
		"-v":             {"-v", "", "docker-credential-regcred (github.com/regcred/csi-driver-regcred) v1.2.3\n", 0},
		"--help":         {"--help", "", "Usage: docker-credential-regcred <get|list|version>\n", 0},
		"nothing":        {"", "", "docker-credential-regcred: unknown action: \n", 1},
		"unknown action": {"forget\n", "", "docker-credential-regcred: unknown action: forget\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(volume)
			got, code := ask(helper(volume), test.question, test.args)
			if got != test.want || code != test.code {
				t.Errorf("%d %q, want %d %q", code, got, test.code, test.want)
			}
			if diff := cmp.Diff(before, volume); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, args := range [][]string{nil, {"get", "acr.example"}} {
		if got, code := ask(helper(volume), "", args...); got != "Usage: docker-credential-regcred <get|list|version>\n" || code != 1 {
			t.Errorf("%q: %d %q", args, code, got)
		}
	}
}

// An empty volume is one all the same: nothing is taken from another one.
func TestWhichVolume(t *testing.T) {
	files := maps.Clone(volume)
	files["/elsewhere/.answers/.urls"] = "\n"
	for action, want := range map[string]string{"get": notFound, "list": "{}\n"} {
		if got, _ := ask(helper(files), "acr.example", action); got != want {
			t.Errorf("%s: %q", action, got)
		}
	}
	for _, action := range []string{"get", "list"} {
		got, code := ask(helper(nil), "acr.example", action)
		want := "docker-credential-regcred: no volume with docker-helper in /elsewhere or /v: run the program where the volume is mounted, or point DOCKER_CONFIG to it\n"
		if got != want || code != 1 {
			t.Errorf("%s: %d %q", action, code, got)
		}
	}
}

// The driver empties a superseded file while it is read; then the next look
// finds its successor.
func TestRotationInMidFile(t *testing.T) {
	reads := 0
	h := helper(volume)
	h.Generation = func(string) string { return strconv.Itoa(reads) }
	h.Read = func(path string) ([]byte, error) {
		if path == "/v/.answers/acr.example" {
			if reads++; reads < 3 {
				return []byte("<token>\nold")[:reads*4], nil
			}
		}
		return volume.read(path)
	}
	if got, code := ask(h, "acr.example", "get"); got != `{"ServerURL":"acr.example","Username":"<token>","Secret":"refresh"}`+"\n" || code != 0 {
		t.Errorf("%d %q", code, got)
	}
}

// rotating is a volume whose generation changes: the first looks at a path fail
// as they do while the driver removes what it superseded.
func rotating(path string, looks int, failure error) protocol.Helper {
	h, generation := helper(volume), 0
	h.Generation = func(string) string { return strconv.Itoa(generation) }
	h.Read = func(asked string) ([]byte, error) {
		if asked == path && generation < looks {
			generation++
			return nil, failure
		}
		return volume.read(asked)
	}
	return h
}

// A login that lives is found while another one is emptied: its superseded
// file may be gone between the look at the volume and at the file.
func TestRotationRemovesFile(t *testing.T) {
	const answer = `{"ServerURL":"acr.example","Username":"<token>","Secret":"refresh"}` + "\n"
	all, _ := ask(helper(volume), "", "list")
	for _, path := range []string{"/v/.answers/acr.example", "/v/.answers/.urls"} {
		for _, looks := range []int{1, 4, 19} {
			if got, code := ask(rotating(path, looks, fs.ErrNotExist), "acr.example", "get"); got != answer || code != 0 {
				t.Errorf("%s, %d: %d %q", path, looks, code, got)
			}
			if got, code := ask(rotating(path, looks, fs.ErrNotExist), "", "list"); got != all || code != 0 {
				t.Errorf("%s, %d: %d %q", path, looks, code, got)
			}
		}
	}
	// The list that was cut is none.
	h, generation := helper(volume), 0
	h.Generation = func(string) string { return strconv.Itoa(generation) }
	h.Read = func(path string) ([]byte, error) {
		if path == "/v/.answers/.urls" && generation == 0 {
			generation++
			return nil, nil
		}
		return volume.read(path)
	}
	if got, code := ask(h, "", "list"); got != all || code != 0 {
		t.Errorf("%d %q", code, got)
	}
	// Nor does it try for ever, or call absent what it could not see.
	for _, action := range []string{"get", "list"} {
		got, code := ask(rotating("/v/.answers/acr.example", 1<<20, fs.ErrNotExist), "acr.example", action)
		if want := "docker-credential-regcred: the volume's answer for acr.example is damaged; ask again\n"; got != want || code != 1 {
			t.Errorf("%s: %d %q", action, code, got)
		}
	}
}

// What the user may not read is neither absent nor without a login.
func TestUnreadable(t *testing.T) {
	const advice = " cannot be read by this user: set the pod's fsGroup, or file.mode of the volume\n"
	for _, test := range []struct {
		file, action, want string
	}{
		{"/v/.answers/.urls", "get", "docker-credential-regcred: /v/.answers/.urls" + advice},
		{"/v/.answers/.urls", "list", "docker-credential-regcred: /v/.answers/.urls" + advice},
		{"/v/.answers/acr.example", "get", "docker-credential-regcred: /v/.answers/acr.example" + advice},
		{"/v/.answers/acr.example", "list", "docker-credential-regcred: /v/.answers/acr.example" + advice},
	} {
		h := helper(volume)
		h.Read = func(path string) ([]byte, error) {
			if path == test.file {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}
			return volume.read(path)
		}
		if got, code := ask(h, "acr.example", test.action); got != test.want || code != 1 {
			t.Errorf("%s %s: %d %q", test.action, test.file, code, got)
		}
	}
	// A directory that is no concern of the user's does not hide the volume.
	h := helper(volume)
	h.Read = func(path string) ([]byte, error) {
		if strings.HasPrefix(path, "/elsewhere/") {
			return nil, fs.ErrPermission
		}
		return volume.read(path)
	}
	if got, code := ask(h, "acr.example", "get"); code != 0 {
		t.Errorf("%d %q", code, got)
	}
}

// A place that is looked at for two reasons is told once.
func TestPlaceToldOnce(t *testing.T) {
	h := helper(nil)
	h.Volumes = []string{"/v/", "/v"}
	got, _ := ask(h, "acr.example", "get")
	if want := "docker-credential-regcred: no volume with docker-helper in /v: run the program where the volume is mounted, or point DOCKER_CONFIG to it\n"; got != want {
		t.Errorf("%q", got)
	}
}

// What cannot be asked or answered is no success.
func TestBrokenPipes(t *testing.T) {
	var out strings.Builder
	if code := helper(volume).Run([]string{"get"}, iotest.ErrReader(errors.New("broken")), &out); code != 1 || out.String() != "docker-credential-regcred: the registry could not be read from standard input\n" {
		t.Errorf("%d %q", code, out.String())
	}
	if code := helper(volume).Run([]string{"version"}, strings.NewReader(""), closed{}); code != 1 {
		t.Errorf("code %d", code)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, fs.ErrClosed }

// FuzzGet: whatever is asked and stored, the answer is one line, and either
// JSON that says exactly what is stored, or an error without the secret.
func FuzzGet(f *testing.F) {
	f.Add("https://index.docker.io/v1/", "user", "secret")
	f.Add("[::1]:5000", "<token>", "a\"b\\c\x01")
	f.Add("../x", "ü\xff", "line\nline")
	f.Add("HOST/", "", "s")
	f.Add("a.example", "a", "\u2028\u2029<>&")
	f.Fuzz(func(t *testing.T, url, user, secret string) {
		const urls = "/v/.answers/.urls"
		asked := ""
		h := helper(nil)
		h.Read = func(path string) ([]byte, error) {
			if path == urls {
				return []byte("a.example\n" + url), nil
			}
			if asked = path; filepath.Clean(path) != path && !strings.HasSuffix(path, "/") || filepath.Dir(path) != "/v/.answers" {
				if !strings.HasPrefix(path, "/elsewhere/") {
					t.Errorf("reads %q", path)
				}
				return nil, os.ErrNotExist
			}
			return []byte(user + "\n" + secret + "\n"), nil
		}
		answer, code := ask(h, url, "get")
		line, ended := strings.CutSuffix(answer, "\n")
		if !ended || strings.Contains(line, "\n") || !utf8.ValidString(line) {
			t.Fatalf("answer %q", answer)
		}
		plain := func(s string) bool {
			return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) < 0
		}
		if code != 0 {
			if plain(user) && plain(secret) && strings.HasPrefix(asked, "/v/.answers/") && line != notFound[:len(notFound)-1] {
				t.Errorf("refused: %q", answer)
			}
			if len(secret) > 8 && strings.Contains(answer, secret) && !strings.Contains(url, secret) {
				t.Errorf("the secret is in %q", answer)
			}
			return
		}
		if !plain(user) || !plain(secret) {
			t.Fatalf("accepted %q %q", user, secret)
		}
		var got struct{ ServerURL, Username, Secret string }
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		valid := func(s string) string { return string([]rune(s)) } // as encoding/json reads what is not UTF-8
		if got.Username != valid(user) || got.Secret != valid(secret) || got.ServerURL != valid(strings.Trim(url, " \t\r\n")) {
			t.Errorf("%+v", got)
		}
		var all map[string]string
		if list, code := ask(h, "", "list"); code != 0 || json.Unmarshal([]byte(list), &all) != nil || all["a.example"] != valid(user) {
			t.Errorf("list: %q", list)
		}
	})
}
