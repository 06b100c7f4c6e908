package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// printer writes what the reader of the demo sees.
type printer struct {
	out     io.Writer
	began   time.Time
	steps   int
	skipped []string
}

// step begins a numbered step.
func (p *printer) step(format string, args ...any) {
	p.steps++
	fmt.Fprintf(p.out, "\n%d. %s  (at %.0f s)\n", p.steps, fmt.Sprintf(format, args...), time.Since(p.began).Seconds())
}

// checked tells what was found to be so.
func (p *printer) checked(format string, args ...any) {
	fmt.Fprintf(p.out, "   ✓ %s\n", fmt.Sprintf(format, args...))
}

func (p *printer) note(format string, args ...any) {
	fmt.Fprintf(p.out, "   %s\n", fmt.Sprintf(format, args...))
}

// skip names what cannot be shown here.
func (p *printer) skip(what, why string) {
	p.skipped = append(p.skipped, what)
	fmt.Fprintf(p.out, "   – skipped: %s (%s)\n", what, why)
}

func (p *printer) show(title, text string) {
	fmt.Fprintf(p.out, "   ┌ %s\n", title)
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		fmt.Fprintf(p.out, "   │ %s", line)
	}
}

func (p *printer) failed(err error, log string) {
	if log != "" {
		p.show("the driver's log", log)
	}
	fmt.Fprintf(p.out, "\nFAILED in step %d: %v\n", p.steps, err)
}

func (p *printer) done() {
	fmt.Fprintf(p.out, "\nEverything held, in %.0f s.", time.Since(p.began).Seconds())
	if len(p.skipped) > 0 {
		fmt.Fprintf(p.out, " Skipped: %s.", strings.Join(p.skipped, "; "))
	}
	fmt.Fprintln(p.out)
}

var secretField = regexp.MustCompile(`("(?:auth|password|identitytoken|registrytoken)": ")([^"]*)"`)

// masked hides the secrets of a config.json.
func masked(text string) string {
	return secretField.ReplaceAllStringFunc(text, func(field string) string {
		m := secretField.FindStringSubmatch(field)
		return fmt.Sprintf(`%s•••••• %d characters ••••••"`, m[1], len(m[2]))
	})
}

// showVolume prints a volume as a container sees it.
func (p *printer) showVolume(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // how files are switched is the driver's own business
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // what the link leads to
		if err != nil {
			return err
		}
		if info.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		title := fmt.Sprintf("%s  %s, %d bytes", e.Name(), info.Mode(), len(text))
		if !json.Valid(text) {
			first, _, _ := strings.Cut(string(text), "\n")
			text = []byte(first + " …")
		}
		p.show(title, masked(string(text)))
	}
	return nil
}
