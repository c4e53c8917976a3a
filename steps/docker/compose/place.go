package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// text is a file as it is written, to find the line of a mistake.
type text struct {
	file string
	root *yaml.Node // nil: it is not YAML
}

func read(file string) (text, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return text{}, fmt.Errorf("there is no Compose file %s", file)
	}
	if err != nil {
		return text{}, fmt.Errorf("read Compose file: %w", err)
	}
	t := text{file: file}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return t, t.syntax(err)
	}
	if len(root.Content) > 0 {
		t.root = root.Content[0]
	}
	if t.root == nil || t.root.Kind != yaml.MappingNode {
		return t, t.at(1, "a Compose file is a mapping with services in it")
	}
	return t, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax is an error of the YAML parser with its place.
func (t text) syntax(err error) error {
	message, line := err.Error(), 0
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1]) // empty: the parser does not know
		message = message[len(m[0]):]
	}
	return t.at(line, message)
}

func (t text) at(line int, message string) error {
	if line == 0 {
		return fmt.Errorf("%s: %s", t.file, message)
	}
	return fmt.Errorf("%s:%d: %s", t.file, line, message)
}

// line is where a path stands; of one that is not there as a whole, the part that is.
func (t text) line(path []string) (line int, whole bool) {
	node, line := t.root, 0
	for i := 0; i < len(path) && node != nil; i++ {
		var next *yaml.Node
		switch node.Kind {
		case yaml.MappingNode:
			for k := 0; k+1 < len(node.Content); k += 2 {
				if node.Content[k].Value == path[i] {
					line, next = node.Content[k].Line, node.Content[k+1]
				}
			}
		case yaml.SequenceNode:
			if n, err := strconv.Atoi(path[i]); err == nil && n >= 0 && n < len(node.Content) {
				next = node.Content[n]
				line = next.Line
			}
		case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
		}
		if next == nil {
			return line, false
		}
		node = next
	}
	return line, node != nil
}

// named finds paths such as services.web.ports.0 and words in quotes in an error of the library.
var named = regexp.MustCompile(`\b(services|networks|volumes|configs|secrets)((?:[.\[][\w-]+\]?)+)|["'](\w[\w.-]*)["']`)

// explain adds file and line to an error of the library, which has a path in it at best.
func (p *Project) explain(err error) error {
	message := err.Error()
	if len(p.texts) == 0 {
		return err
	}
	for _, t := range p.texts {
		message = strings.TrimPrefix(strings.TrimPrefix(message, "validating "+t.file+": "), t.file+": ")
	}
	best, at := p.texts[0], 0
	depth := 0
	for _, m := range named.FindAllStringSubmatch(message, -1) {
		path := strings.FieldsFunc(m[1]+m[2], func(r rune) bool { return strings.ContainsRune(".[]", r) })
		if m[3] != "" {
			path = []string{"services", m[3]}
		}
		path = append(path, lastQuoted(message)...)
		for _, t := range p.texts {
			for n := len(path); n > depth; n-- {
				if line, whole := t.line(path[:n]); whole {
					best, at, depth = t, line, n
				}
			}
		}
	}
	return best.at(at, message)
}

var quoted = regexp.MustCompile(`'([\w.-]+)'`)

// lastQuoted is the key that an error names beside a path: additional properties 'imagee' not allowed.
func lastQuoted(message string) []string {
	if m := quoted.FindAllStringSubmatch(message, -1); len(m) > 0 {
		return []string{m[len(m)-1][1]}
	}
	return nil
}
