package client

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// ArchiveName is the image's name inside an archive.
const ArchiveName = "regcred.test/tiny:latest"

// WriteArchive writes an image in docker save's format: one layer with one
// file that holds content. Other content gives another image.
func WriteArchive(path, content string) error {
	return writeImage(path, entry{"hello.txt", 0o644, []byte(content)})
}

// WriteBase writes an image on which a Dockerfile can build: a static /bin/sh.
func WriteBase(path string) error {
	program, err := exec.LookPath("base-shell")
	if err != nil {
		return err
	}
	shell, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return writeImage(path, entry{"bin/sh", 0o755, shell})
}

func writeImage(path string, file entry) error {
	layer, err := tarball(file)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": digest(config) + ".json", "RepoTags": []string{ArchiveName}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	image, err := tarball(entry{"manifest.json", 0o644, manifest}, entry{digest(config) + ".json", 0o644, config}, entry{"layer.tar", 0o644, layer})
	if err != nil {
		return err
	}
	return os.WriteFile(path, image, 0o644)
}

type entry struct {
	name string
	mode int64
	data []byte
}

func tarball(entries ...entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("writing %s: %w", e.name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", e.name, err)
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
