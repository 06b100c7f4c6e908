package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// explain prints where everything comes from; when something failed, what was
// asked for and what was got.
func (p Program) explain(w io.Writer, r renderRequest, got renderAnswer, written bool) error {
	if err := table(w, "Asked:", []string{"CONNECTOR", "ISSUER", "CALLS", "AUDIENCES", "FOR"}, p.callRows(r, got.calls)); err != nil {
		return err
	}
	if !written {
		return explainGot(w, got.input)
	}
	e, err := render.Explain(got.input)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		title  string
		header []string
		rows   [][]string
	}{
		{gotTitle, gotHeader(), credentialRows(e.Report.Entries)},
		{"Written:", []string{"FILE", "ENTRY", "CONNECTOR", "FROM", "DECIDED BY"}, placementRows(e.Placements)},
		{"Stood back:", []string{"REGISTRY", "WHAT", "CONNECTOR", "BEHIND", "DECIDED BY"}, append(shadowedRows(e.Shadowed), lossRows(e.Report.Lost)...)},
		{"Left out:", []string{"CONFIGURATION", "REGISTRY", "CONNECTOR", "WHAT", "WHY"}, omissionRows(e.Report.Omitted)},
		{"Found:", []string{"CONNECTOR", "FINDING"}, warningRows(e.Report.Warnings)},
	} {
		if len(t.rows) > 0 {
			fmt.Fprintln(w)
		}
		if err := table(w, t.title, t.header, t.rows); err != nil {
			return err
		}
	}
	return nil
}

const gotTitle = "Got:"

func gotHeader() []string {
	return []string{"REGISTRY", "CONNECTOR", "FORM", "GRAIN", "GRANTED", "EXPIRES", "A VOLUME RENEWS"}
}

// explainGot prints what connectors gave that no file could hold.
func explainGot(w io.Writer, in render.Input) error {
	in.Configurations, in.Exclude = []string{"dockerd"}, nil // it holds no logins, so that all of them fit
	e, err := render.Explain(in)
	if err != nil || len(in.Sources) == 0 {
		return nil //nolint:nilerr // the failure that is explained tells it
	}
	fmt.Fprintln(w)
	return table(w, gotTitle, gotHeader(), credentialRows(e.Report.Entries))
}

// callRows are in the order of the volume's connectors.
func (p Program) callRows(r renderRequest, calls []call) (rows [][]string) {
	place := func(c call) int {
		return slices.IndexFunc(r.spec.Attributes.Uses, func(u volume.Use) bool { return u.Ref == c.connector.Ref })
	}
	for _, c := range slices.SortedFunc(slices.Values(calls), func(a, b call) int { return cmp.Compare(place(a), place(b)) }) {
		kind := c.connector.Issuer.Kind
		hosts := "nobody: hands out what is stored"
		if !slices.ContainsFunc(p.Issuers, func(d issuers.Definition) bool { return d.Kind == kind && d.Static }) {
			hosts = origins(c.connector.Registries)
		}
		rows = append(rows, []string{c.connector.Ref.String(), kind, hosts, audiences(c.audiences, r.policy.Audiences), scope(c.scope)})
	}
	return rows
}

// origins are the registries as they are called. Token servers that they name
// come later, and are checked then.
func origins(registries []connector.Registry) string {
	var all []string
	for _, r := range registries {
		scheme := "https://"
		if r.PlainHTTP {
			scheme = "http://"
		}
		all = append(all, scheme+r.Host)
	}
	return strings.Join(all, ", ")
}

func audiences(asked []string, bound map[string][]string) string {
	var all []string
	for _, audience := range asked {
		all = append(all, audience+" (to "+cmp.Or(strings.Join(bound[audience], ", "), "no host: --audience")+")")
	}
	return cmp.Or(strings.Join(all, ", "), "none")
}

func scope(s connector.Scope) string {
	actions := make([]string, len(s.Actions))
	for i, action := range s.Actions {
		actions[i] = string(action)
	}
	return cmp.Or(strings.Join(actions, ","), "all actions") + " on " + cmp.Or(strings.Join(s.Repositories, ", "), "all repositories")
}

func credentialRows(entries []render.ReportEntry) (rows [][]string) {
	for _, e := range entries {
		ends := instant(e.ExpiresAt, "no end is stated")
		if e.LongLived {
			ends += " (long-lived)"
		}
		registry := connector.Key{Host: e.Host, Path: e.Path}.String()
		rows = append(rows, []string{
			registry, e.Connector.String(), string(e.Form), string(e.Grain), scope(e.Granted), ends, instant(e.RenewAt, "when its source changes"),
		})
	}
	return rows
}

// instant gives a time as the files have it.
func instant(t time.Time, unknown string) string {
	if t.IsZero() {
		return unknown
	}
	return t.Format(time.RFC3339)
}

func placementRows(placements []render.Placement) (rows [][]string) {
	for _, at := range placements {
		var from, rules []string
		for _, key := range at.From {
			from = append(from, key.String())
		}
		for _, rule := range at.Rules {
			rules = append(rules, rule.String())
		}
		rows = append(rows, []string{
			at.File, at.Entry, at.Connector.String(), cmp.Or(strings.Join(from, ", "), "spec.registries"), cmp.Or(strings.Join(rules, "; "), "the only one"),
		})
	}
	return rows
}

func shadowedRows(all []render.Shadowed) (rows [][]string) {
	for _, s := range all {
		rows = append(rows, []string{s.Host, "entry " + s.Key.String(), s.Connector.String(), s.By.String() + " of " + s.ByConnector.String(), s.Rule.String()})
	}
	return rows
}

// lossRows are about what is no entry: those are shadowed.
func lossRows(lost []render.Loss) (rows [][]string) {
	for _, l := range lost {
		what := slices.DeleteFunc(slices.Clone(l.What), func(what string) bool { return what == "credential" })
		if len(what) > 0 {
			rows = append(rows, []string{l.Host, strings.Join(what, ", "), l.Connector.String(), l.To.String(), "one connector speaks for a host: whose entry wins, else the first"})
		}
	}
	return rows
}

func omissionRows(omitted []render.Omission) (rows [][]string) {
	for _, o := range omitted {
		rows = append(rows, []string{o.Configuration, o.Host, o.Connector.String(), strings.TrimSpace(o.What + " " + o.Value), o.Why})
	}
	return rows
}

func warningRows(warnings []render.Warning) (rows [][]string) {
	for _, w := range warnings {
		rows = append(rows, []string{w.Connector.String(), w.Text})
	}
	return rows
}
