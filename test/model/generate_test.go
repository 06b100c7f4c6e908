package model

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes scripts; one seed always gives the same.
type generator struct{ *rand.Rand }

func generate(seed uint64, steps int) []step {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	var script []step
	for size(script) < steps {
		script = append(script, g.step())
	}
	return script
}

// choice is one of several, weighted.
type choice struct {
	weight int
	make   func() step
}

func (g generator) choose(choices []choice) step {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := g.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.make()
		}
	}
	panic("unreachable")
}

// of picks a word; those that stand there twice come twice as often.
func (g generator) of(words string) string {
	all := strings.Fields(words)
	return all[g.IntN(len(all))]
}

func (g generator) volume() string { return fmt.Sprintf("v%d", g.IntN(volumeCount)) }

func (g generator) link() string { return links[g.IntN(len(links))].name }

// call is what may run at once with others.
func (g generator) call() []choice {
	return []choice{
		{24, g.publish},
		{6, func() step { return say("republish", g.volume()) }},
		{14, func() step { return say("unpublish", g.volume()) }},
		{9, func() step {
			return say("provider", g.of("object object token team/pods cluster:shared"),
				g.of("up up up up up up down denied terminal slow stuck lost lost ended"))
		}},
		{8, func() step {
			return say("connector", g.link(), g.of("touch touch change change change mirror mirror trust trust delete restore restore restore restore recreate invalid break"))
		}},
		{7, func() step { return say("access", g.link(), g.of("all all all none a b")) }},
		{4, func() step {
			return say("permit", g.of("team/pods cluster:shared"), g.of("a b"), g.of("allowed allowed allowed denied denied unknown"))
		}},
		{4, func() step { return say("secret", g.of("change change delete")) }},
		{3, func() step { return say("ca", g.of("change change change delete")) }},
		{8, func() step { return say("hold", g.volume()) }},
	}
}

func (g generator) step() step {
	return g.choose(append(g.call(), []choice{
		{18, func() step { return say("pass", g.span()) }},
		{3, func() step { return say("idle", g.span()) }},
		{3, func() step { return say("stop", g.downtime()) }},
		{8, func() step { return g.batch(true, "kill", fmt.Sprint(1+g.IntN(14)), g.downtime()) }},
		{3, func() step { return g.batch(true, "fault", fmt.Sprint(1+g.IntN(10))) }},
		{9, func() step { return g.batch(false, "together") }},
		{1, func() step { return say("reboot", g.downtime()) }},
		{1, func() step { return say("lose", g.downtime()) }},
		{1, func() step { return say("vanish", g.volume()) }},
	}...))
}

func (g generator) publish() step {
	var names []string
	for _, i := range g.Perm(len(links))[:1+g.IntN(3)] {
		names = append(names, links[i].name)
	}
	s := say("publish", g.volume(), strings.Join(names, ","))
	if g.IntN(4) == 0 {
		s.words = append(s.words, "narrow")
	}
	if g.IntN(4) == 0 {
		s.words = append(s.words, [][]string{
			{"ttl=4m"}, {"ttl=20m"}, {"ttl=4m", "minimum=2m"}, {"ttl=20m", "minimum=7m"}, {"minimum=2m"}, {"minimum=45m"}, {"minimum=3h"},
		}[g.IntN(7)]...)
	}
	return s
}

// batch is steps that run at once; with passing, time goes by meanwhile.
func (g generator) batch(passing bool, words ...string) step {
	s := step{words: words, with: []step{}}
	for range 1 + g.IntN(5) {
		s.with = append(s.with, g.choose(g.call()))
	}
	if passing && g.IntN(4) > 0 {
		s.with = append(s.with, say("pass", g.of("10s 10s 10s "+spans)))
	}
	return s
}

const spans = "1s 10s 10s 45s 45s 2m10s 2m10s 6m 6m 12m 12m 35m 35m 1h10m 3h"

func (g generator) span() string { return g.of(spans) }

func (g generator) downtime() string { return g.of("1s 1s 1s 30s 4m 40m") }
