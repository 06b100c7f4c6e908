package model

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// inForce names the content to which the names of a volume lead.
func (s *slot) inForce() string {
	data, err := os.Readlink(filepath.Join(s.target, "..data"))
	if err != nil {
		return ""
	}
	return data
}

// agree compares the other files with the passwords of config.json: all are of
// one moment.
func (s *slot) agree(passwords map[string]string) error {
	if !slices.Contains(s.formats, "fields") {
		return nil
	}
	var wished, found []string
	for _, password := range passwords {
		wished = append(wished, password)
	}
	for _, pattern := range []string{"password", "*/password"} {
		files, err := filepath.Glob(filepath.Join(s.target, "..data", pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			password, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			found = append(found, string(password))
		}
	}
	slices.Sort(wished)
	slices.Sort(found)
	if !slices.Equal(wished, found) {
		return fmt.Errorf("config.json has %q and the fields %q", wished, found)
	}
	return nil
}

var mirrorName = regexp.MustCompile(`[a-z]+-mirror-[0-9]+\.test`)

// trust: beside the entries a volume shows the mirrors and the CA that its
// Connectors name, when nothing was wrong with any of them lately.
func (r *run) trust(s *slot, now time.Time) *violation {
	if s.adrift || !r.quiet(now) || (!s.suspect.IsZero() && now.Sub(later(s.suspect, r.up)) <= grace+recovery) {
		return nil
	}
	var mirrors []string
	ca := ""
	for _, i := range s.wish.uses {
		if ill := r.world.ill[i][s.account]; !ill.IsZero() && now.Sub(ill) <= recovery {
			return nil
		}
		d := r.world.declared[i]
		if d.revision > 0 && slices.Contains(s.formats, "buildkitd") {
			mirrors = append(mirrors, links[i].mirror(d.revision))
		}
		if d.trusts {
			ca = authority(r.world.ca)
		}
	}
	file := func(name string) (string, error) {
		content, err := os.ReadFile(filepath.Join(s.target, name))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return string(content), err
	}
	shownCA, err := file("ca.crt")
	toml, errToml := file("buildkitd.toml")
	if err = errors.Join(err, errToml); err != nil {
		return wrong("torn", "%s: %v", s.id, err)
	}
	shown := mirrorName.FindAllString(toml, -1)
	slices.Sort(mirrors)
	slices.Sort(shown)
	if !slices.Equal(mirrors, slices.Compact(shown)) {
		return wrong("mirrors", "%s names the mirrors %v instead of %v", s.id, shown, mirrors)
	}
	if shownCA != ca {
		return wrong("trust", "%s shows a CA of %d bytes; right is version %d, which has %d", s.id, len(shownCA), r.world.ca, len(ca))
	}
	return nil
}

// authorities are the versions of the private CA so far.
var authorities struct {
	sync.Mutex
	made []string
}

// authority is the certificate of one version of the private CA.
func authority(version int) string {
	authorities.Lock()
	defer authorities.Unlock()
	for len(authorities.made) <= version {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(len(authorities.made) + 1)), NotAfter: time.Unix(1<<33, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		authorities.made = append(authorities.made, strings.Clone(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))))
	}
	return authorities.made[version]
}
