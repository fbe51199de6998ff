package iam

import (
	"strings"
	"unicode/utf8"
)

// pattern is a text with * for any characters, ? for one, and ${key} for a value
// of the request.
type pattern struct {
	text  string
	parts []part
	// variable says that a part is one.
	variable bool
}

// part is a piece of a pattern: glyphs, or a variable.
type part struct {
	glyphs []glyph
	key    string // of a variable
	// fallback is what stands for a variable that has no value, if there is one.
	fallback    string
	hasFallback bool
}

// glyph is a character, or one of the two that stand for others.
type glyph rune

const (
	anything glyph = -1
	anyOne   glyph = -2
)

func literal(s string) []glyph {
	g := make([]glyph, 0, len(s))
	for _, r := range s {
		g = append(g, glyph(r))
	}
	return g
}

// compile reads a pattern; wild says whether * and ? mean more than themselves.
// ok is false where a variable is not closed or has no name.
func compile(text string, wild, variables bool) (p pattern, ok bool) {
	p.text = text
	var run []glyph
	for i := 0; i < len(text); {
		rest := text[i:]
		if variables && strings.HasPrefix(rest, "${") {
			name, _, closed := strings.Cut(rest[2:], "}")
			if !closed || name == "" {
				return p, false
			}
			i += len(name) + 3
			if name == "*" || name == "?" || name == "$" { // how they are written as themselves
				run = append(run, literal(name)...)
				continue
			}
			v, ok := variable(name)
			if !ok {
				return p, false
			}
			if len(run) > 0 {
				p.parts = append(p.parts, part{glyphs: run})
				run = nil
			}
			p.parts, p.variable = append(p.parts, v), true
			continue
		}
		r, size := utf8.DecodeRuneInString(rest)
		i += size
		switch {
		case wild && r == '*':
			run = append(run, anything)
		case wild && r == '?':
			run = append(run, anyOne)
		default:
			run = append(run, glyph(r))
		}
	}
	if len(run) > 0 {
		p.parts = append(p.parts, part{glyphs: run})
	}
	return p, true
}

// variable reads what is between the braces: a key, and maybe a default in single
// quotes behind a comma.
func variable(text string) (part, bool) {
	name, fallback, has := strings.Cut(text, ",")
	if name = strings.TrimSpace(name); name == "" {
		return part{}, false
	}
	v := part{key: keyName(name), hasFallback: has}
	if has {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return part{}, false
		}
		v.fallback = fallback[1 : len(fallback)-1]
	}
	return v, true
}

// glyphs is the pattern with its variables filled in, as themselves: what a value
// holds stands for nothing else. ok is false where one has no single value.
func (p *pattern) glyphs(c Context) (g []glyph, ok bool) {
	if !p.variable {
		if len(p.parts) == 0 {
			return nil, true
		}
		return p.parts[0].glyphs, true
	}
	for i := range p.parts {
		switch x := &p.parts[i]; {
		case x.key == "":
			g = append(g, x.glyphs...)
		case len(c[x.key]) == 1:
			g = append(g, literal(c[x.key][0])...)
		case x.hasFallback && len(c[x.key]) == 0:
			g = append(g, literal(x.fallback)...)
		default:
			return nil, false
		}
	}
	return g, true
}

// match says whether s is what the pattern describes; known is false where a
// variable has no value.
func (p *pattern) match(s string, c Context) (ok, known bool) {
	g, known := p.glyphs(c)
	return known && matchGlyphs(g, s), known
}

func (p *pattern) uses(prefix string) bool {
	for i := range p.parts {
		if p.parts[i].key != "" && strings.HasPrefix(p.parts[i].key, prefix) {
			return true
		}
	}
	return false
}

// matchGlyphs goes back to the last * only, which is enough.
func matchGlyphs(g []glyph, s string) bool {
	at, star, from := 0, -1, 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case at < len(g) && g[at] == anything:
			star, from = at, i
			at++
			continue
		case at < len(g) && (g[at] == anyOne || g[at] == glyph(r)):
			at++
			i += size
			continue
		case star < 0:
			return false
		}
		_, size = utf8.DecodeRuneInString(s[from:])
		from += size
		i, at = from, star+1
	}
	for at < len(g) && g[at] == anything {
		at++
	}
	return at == len(g)
}

// mayBegin says whether the pattern describes any text that begins so and goes
// on. Variables may be anything.
func (p *pattern) mayBegin(prefix string) bool {
	g := p.loose()
	at := map[int]bool{0: true}
	skip := func() {
		for i := range g {
			if at[i] && g[i] == anything {
				at[i+1] = true
			}
		}
	}
	skip()
	for _, r := range prefix {
		next := map[int]bool{}
		for i := range at {
			switch {
			case i == len(g):
			case g[i] == anything:
				next[i] = true
			case g[i] == anyOne || g[i] == glyph(r):
				next[i+1] = true
			}
		}
		at = next
		skip()
	}
	for i := range at {
		if i < len(g) {
			return true
		}
	}
	return false
}

// loose is the pattern with * for each variable.
func (p *pattern) loose() (g []glyph) {
	for i := range p.parts {
		if p.parts[i].key != "" {
			g = append(g, anything)
		}
		g = append(g, p.parts[i].glyphs...)
	}
	return g
}

// coversAllUnder says whether the pattern describes every text that begins so.
func (p *pattern) coversAllUnder(prefix string) bool {
	if p.variable || !strings.HasSuffix(p.text, "*") || len(p.parts) != 1 {
		return false
	}
	g := p.parts[0].glyphs
	if g[len(g)-1] != anything {
		return false
	}
	// What ends in * and describes the prefix alone describes all that follows it.
	return matchGlyphs(g, prefix)
}
