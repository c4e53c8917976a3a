package playbook

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// The bounds of a file.
const (
	MaxFile  = 1 << 20 // bytes
	maxDepth = 64
	maxNodes = 250_000
)

// document is a file that has been read as one strict YAML document.
type document struct {
	*report
	root *yaml.Node
}

// read reads a file. What it finds wrong is in the report; root is nil if nothing can be looked at.
func read(file string, text []byte) *document {
	d := &document{report: &report{src: newSource(file, "")}}
	switch {
	case len(text) > MaxFile:
		d.whole("a playbook is written by people; take data out of it", "the file is larger than %d MiB", MaxFile>>20)
		return d
	case !utf8.Valid(text):
		d.src = newSource(file, strings.ToValidUTF8(string(text), "\uFFFD"))
		bad := 0
		for bad < len(text) {
			r, size := utf8.DecodeRune(text[bad:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			bad += size
		}
		d.at(bad, 1, "save the file as UTF-8", "the file is not UTF-8")
		return d
	}
	d.src = newSource(file, string(text))
	d.decode()
	if d.root != nil {
		nodes := 0
		d.checkNode(d.root, 0, &nodes)
	}
	return d
}

func (d *document) decode() {
	dec := yaml.NewDecoder(strings.NewReader(d.src.text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		d.whole("", "the file is empty")
		return
	case err != nil:
		d.syntax(err)
		return
	}
	if err := dec.Decode(&second); err == nil {
		d.at(d.src.start(&second), 3, "give each its own file", "the file holds more than one document")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return
	}
	if len(doc.Content) == 1 {
		d.root = doc.Content[0]
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax reports what the YAML parser says. The line that it names can be another than the one with the
// mistake, so the place is found anew: it is where the text stops being the beginning of a document.
func (d *document) syntax(err error) {
	message := yamlLine.ReplaceAllString(err.Error(), "")
	line := d.firstBadLine()
	text := d.src.line(line)
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	at := d.src.lines[line-1] + indent
	if strings.Contains(text[:indent], "\t") {
		d.at(d.src.lines[line-1]+strings.IndexByte(text, '\t'), 1, "indent with spaces", "a tab cannot indent a line in YAML")
		return
	}
	remedy := ""
	for _, hint := range syntaxHints() {
		if hint.line.MatchString(text) {
			remedy = hint.remedy
			break
		}
	}
	d.at(at, len([]rune(text[indent:])), remedy, "this is not YAML: %s", message)
}

// syntaxHint is a mistake, by the look of its line.
type syntaxHint struct {
	line   *regexp.Regexp
	remedy string
}

// syntaxHints are the mistakes that writers of playbooks make most. They are made at their first use.
var syntaxHints = sync.OnceValue(func() []syntaxHint {
	return []syntaxHint{
		{regexp.MustCompile(`[\[{,]\s*(?:[\w-]+:\s*)?\$\{\{`), `inside of [ ] and { } a ${{ }} stands in quotes: "${{ … }}"`},
		{regexp.MustCompile(`:\s+("[^"]*"|'[^']*')\s*[^\s#,}\]]`), "a value that begins with a quote ends with it; put the whole value into quotes of the other sort"},
		{regexp.MustCompile(`:\s+[@` + "`" + `%]`), "put the value into quotes"},
		{regexp.MustCompile(`^[^\[{]*:\s+[^"'\[{|>].*:\s`), "a value with a colon and a blank in it stands in quotes"},
		{regexp.MustCompile(`[\[{].*[\]}]`), "inside of [ ] and { } a value with , ? [ ] { or } in it stands in quotes"},
	}
})

// firstBadLine is the line after the longest beginning of the text that is YAML. Each try costs a
// parse, so a long file is tried from its end as far as a budget goes, and then by halves.
func (d *document) firstBadLine() int {
	budget := 2 * MaxFile
	last := len(d.src.lines)
	good := 0
	for n := last - 1; n > 0; n-- {
		end := d.src.lines[n]
		if budget -= end; budget < 0 {
			good = d.halve(n)
			break
		}
		if parses(d.src.text[:end]) {
			good = n
			break
		}
	}
	for n := good + 1; n < last; n++ { // not on a blank line or comment
		if text := strings.TrimSpace(d.src.line(n)); text != "" && text[0] != '#' {
			return n
		}
	}
	return min(good+1, last)
}

// halve finds some n up to most so that n lines parse and n+1 do not.
func (d *document) halve(most int) int {
	low, high := 0, most
	for high-low > 1 {
		mid := (low + high) / 2
		if parses(d.src.text[:d.src.lines[mid]]) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

func parses(text string) bool {
	var n yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		if err := dec.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

var octal = regexp.MustCompile(`^[-+]?0[0-9]+$`)

// checkNode refuses what YAML can say and a playbook must not.
func (d *document) checkNode(n *yaml.Node, depth int, nodes *int) {
	if *nodes++; *nodes == maxNodes+1 {
		d.whole("take data out of it", "the file has more than %d values", maxNodes)
	}
	if *nodes > maxNodes {
		return
	}
	at := d.src.start(n)
	switch {
	case depth > maxDepth:
		d.at(at, 1, "", "values are nested more than %d deep", maxDepth)
		return
	case n.Kind == yaml.AliasNode:
		d.at(at, len(n.Value)+1, "write the value out, or give it a name under vars", "an alias cannot be used here")
		return
	case n.Anchor != "":
		d.at(at, len(n.Anchor)+1, "there are no aliases, so it has no use", "an anchor cannot be used here")
	case n.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(d.src.text[at:], "!"):
		word, _, _ := strings.Cut(strings.TrimSpace(strings.SplitN(d.src.text[at:], "\n", 2)[0]), " ")
		d.at(at, utf8.RuneCountInString(word), "to negate an expression write `not …`, or put it into quotes", "%s is a YAML tag; what follows ! is not part of the value", word)
		n.Tag, n.Style = "!tagged", 0
	case n.Tag == "!!int" || n.Tag == "!!float":
		if octal.MatchString(n.Value) {
			d.at(at, len(n.Value), fmt.Sprintf("write %s, or %q if it is text", decimalOf(n.Value), n.Value), "%s could be read as an octal number", n.Value)
		}
	case n.Kind == yaml.MappingNode:
		d.checkKeys(n)
	}
	for _, c := range n.Content {
		d.checkNode(c, depth+1, nodes)
	}
}

func decimalOf(text string) string {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign = "-"
	}
	text = strings.TrimLeft(text, "+-0")
	if text == "" {
		return "0"
	}
	return sign + text
}

func (d *document) checkKeys(n *yaml.Node) {
	var seen map[string]*yaml.Node
	if len(n.Content) > 16 {
		seen = make(map[string]*yaml.Node, len(n.Content)/2)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.at(d.src.start(k), 1, "", "a key is a word, not a list or mapping")
			continue
		case k.Tag == "!!merge":
			d.at(d.src.start(k), 2, "write the values out", "mappings cannot be merged here")
			continue
		}
		first := seen[k.Value]
		if seen == nil {
			for j := 0; j < i; j += 2 {
				if n.Content[j].Value == k.Value && n.Content[j].Kind == yaml.ScalarNode {
					first = n.Content[j]
				}
			}
		} else if first == nil {
			seen[k.Value] = k
		}
		if first != nil {
			d.at(d.src.start(k), utf8.RuneCountInString(k.Value), fmt.Sprintf("it stands in line %d already", first.Line), "the key %s is given twice", k.Value)
		}
	}
}

// node notes a mistake at a value.
func (d *document) node(n *yaml.Node, remedy, format string, args ...any) {
	width := 1
	if n.Kind == yaml.ScalarNode {
		line, _, _ := strings.Cut(n.Value, "\n")
		width = utf8.RuneCountInString(line)
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			width += 2
		}
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			width = 1
		}
	}
	d.at(d.src.start(n), width, remedy, format, args...)
}

// within notes a mistake inside a text, at a byte of its value.
func (d *document) within(n *yaml.Node, offset, width int, remedy, format string, args ...any) {
	back := d.src.scalarMap(n)
	if back == nil || offset < 0 || offset >= len(back) {
		d.node(n, remedy, format, args...)
		return
	}
	if width > 0 && offset+width < len(back) {
		width = max(1, utf8.RuneCountInString(d.src.text[back[offset]:max(back[offset], back[offset+width])]))
	}
	d.at(back[offset], width, remedy, format, args...)
}

// field is one entry of a mapping.
type field struct {
	key, value *yaml.Node
}

// fields are the entries of a mapping by name.
type fields struct {
	node *yaml.Node
	list []field
}

func (f fields) get(name string) *yaml.Node {
	for _, e := range f.list {
		if e.key.Value == name {
			return e.value
		}
	}
	return nil
}

// mapping reads a mapping with these keys and no others.
func (d *document) mapping(n *yaml.Node, what string, allowed []string) (fields, bool) {
	out, ok := d.entries(n, what)
	if !ok {
		return out, false
	}
	kept := out.list[:0]
	for _, e := range out.list {
		if contains(allowed, e.key.Value) {
			kept = append(kept, e)
			continue
		}
		d.unknownKey(e.key, what, allowed)
	}
	out.list = kept
	return out, true
}

func (d *document) unknownKey(key *yaml.Node, what string, allowed []string) {
	d.node(key, nearestOf(key.Value, allowed, "it takes"), "%s has no key %s", what, key.Value)
}

// entries reads a mapping with any keys. Of a key that is given twice the first one counts.
func (d *document) entries(n *yaml.Node, what string) (fields, bool) {
	out := fields{node: n}
	if n.Kind == yaml.AliasNode || n.Tag == "!tagged" { // reported already
		return out, false
	}
	if n.Kind != yaml.MappingNode {
		d.node(n, "", "%s must be a mapping, not %s", what, wordFor(n))
		return out, false
	}
	out.list = make([]field, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Tag != "!!merge" && (len(n.Content) > 64 || out.get(k.Value) == nil) {
			out.list = append(out.list, field{k, n.Content[i+1]})
		}
	}
	return out, true
}

// sequence reads a list.
func (d *document) sequence(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	if n.Kind == yaml.AliasNode || n.Tag == "!tagged" { // reported already
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		d.node(n, "", "%s must be a list, not %s", what, wordFor(n))
		return nil, false
	}
	return n.Content, true
}

// wordFor is what a node is, in messages.
func wordFor(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "empty"
	case "!!bool":
		return "a boolean"
	case "!!int":
		return "an integer"
	case "!!float":
		return "a number"
	}
	return "a string"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// canonical writes a node so that two that say the same are the same text: without comments, styles
// and the order of keys. Keys in without are left out of the mapping itself.
func canonical(b []byte, n *yaml.Node, without ...string) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for _, i := range keyOrder(n) {
			if contains(without, n.Content[i].Value) {
				continue
			}
			b = append(canonical(b, n.Content[i]), ':')
			b = append(canonical(b, n.Content[i+1]), ',')
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for _, c := range n.Content {
			b = append(canonical(b, c), ',')
		}
		return append(b, ']')
	default:
		return strconv.AppendQuote(append(b, n.Tag...), n.Value)
	}
}

// keyOrder gives the places of a mapping's keys in the order of the alphabet.
func keyOrder(n *yaml.Node) []int {
	order := make([]int, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		at := len(order)
		for at > 0 && n.Content[order[at-1]].Value > n.Content[i].Value {
			at--
		}
		order = append(order, 0)
		copy(order[at+1:], order[at:])
		order[at] = i
	}
	return order
}
