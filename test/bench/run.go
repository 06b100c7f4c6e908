package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// part is one group of measurements. Each starts and ends its own processes.
type part struct {
	name string
	run  func(context.Context, plan, *budget) error
}

var parts = []part{
	{"calls", compareCalls},
	{"rest", atRest},
	{"restart", restart},
	{"renewal", renewal},
	{"cold", coldStart},
	{"simulated", simulated},
}

func partNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// run measures all parts, or those that only names.
func run(ctx context.Context, p plan, only string, b *budget) error {
	wanted := partNames()
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("there is no part %q: choose from %s", name, strings.Join(partNames(), ", "))
		}
	}
	for _, part := range parts {
		if !slices.Contains(wanted, part.name) {
			continue
		}
		if err := part.run(ctx, p, b); err != nil {
			return fmt.Errorf("measuring %s: %w", part.name, err)
		}
	}
	return nil
}
