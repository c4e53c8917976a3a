package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/lint"
)

// LintFinding is a finding as it is shown.
type LintFinding struct {
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Column   int           `json:"column"`
	Code     string        `json:"code"`
	Rule     engine.Rule   `json:"rule"`
	Severity lint.Severity `json:"severity"`
	Step     string        `json:"step,omitempty"`
	Message  string        `json:"message"`
	Remedy   string        `json:"remedy"`
	// Because is why the author lets it stand; then it counts for nothing.
	Because string `json:"because,omitempty"`
}

// Finding makes a finding ready to be shown.
func Finding(f engine.Finding, about lint.About, because string) LintFinding {
	out := LintFinding{File: f.Pos.File, Line: f.Pos.Line, Column: f.Pos.Column, Code: about.Code, Rule: f.Rule,
		Severity: about.Severity, Message: f.Message, Remedy: about.Remedy, Because: because}
	if f.Step != nil {
		out.Step = f.Step.ID
	}
	return out
}

// LintText writes findings for a person.
func LintText(w io.Writer, all []LintFinding, files int) error {
	var b bytes.Buffer
	var counts [lint.Error + 1]int
	known := 0
	for _, f := range all {
		if f.Because != "" {
			known++
			continue
		}
		counts[f.Severity]++
		fmt.Fprintf(&b, "%s:%d:%d: %s %s %s: %s\n", f.File, f.Line, f.Column, f.Severity, f.Code, f.Rule, f.Message)
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s", plural(files, "playbook"), plural(counts[lint.Error], "error"),
		plural(counts[lint.Warning], "warning"), plural(counts[lint.Note], "note"))
	if known > 0 {
		fmt.Fprintf(&b, "; %d known to their authors", known)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// LintRules is the reference of the rules, in Markdown.
func LintRules(rules []lint.About) []byte {
	var b bytes.Buffer
	b.WriteString(`# Lint

Written by ` + "`make docs`" + ` from the rules themselves.

` + "`handrail lint`" + ` finds what is correct and still known to go wrong. It reads files and nothing else. It ends with exit code 1
if anything of severity *warning* or more was found (` + "`--fail-on`" + ` says what counts), and writes text, JSON or SARIF
(` + "`-o sarif`" + `), by which a forge shows findings on the lines of a pull request.

What is known and meant is said beside it, with the reason, which must not be empty:

` + "```yaml" + `
  # lint: destroys-unapproved because only keys without an expiry go, each checked as it is removed
  - id: sweep
` + "```" + `

Such a note stands at the end of the line that it is about, or on a line of its own before it. Before the first line of a step it
is about the whole step; before ` + "`playbook:`" + `, about the playbook. A note that finds nothing any more is a finding itself.

| code | rule | severity | |
|---|---|---|---|
`)
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %s | %s |\n", r.Code, r.Rule, r.Rule, r.Severity, r.Title)
	}
	for _, r := range rules {
		fmt.Fprintf(&b, "\n<a id=\"%s\"></a>\n\n## %s `%s`: %s\n\n*%s.* %s\n\n**Instead:** %s\n", r.Rule, r.Code, r.Rule, r.Title, capital(r.Severity.String()), r.Harm, r.Remedy)
	}
	return b.Bytes()
}

func capital(s string) string { return string(s[0]-'a'+'A') + s[1:] }

// LintSARIF writes findings as SARIF 2.1.0.
func LintSARIF(w io.Writer, all []LintFinding, version string) error {
	results := []map[string]any{}
	for _, f := range all {
		r := map[string]any{
			"ruleId": f.Code, "level": f.Severity.String(),
			"message": map[string]any{"text": f.Message + ". " + f.Remedy},
			"locations": []any{map[string]any{"physicalLocation": map[string]any{
				"artifactLocation": map[string]any{"uri": filepath.ToSlash(f.File)},
				"region":           map[string]any{"startLine": f.Line, "startColumn": f.Column},
			}}},
		}
		if f.Because != "" {
			r["suppressions"] = []any{map[string]any{"kind": "inSource", "justification": f.Because}}
		}
		results = append(results, r)
	}
	var rules []map[string]any
	for _, r := range lint.Rules() {
		rules = append(rules, map[string]any{
			"id": r.Code, "name": r.Rule, "shortDescription": map[string]any{"text": r.Title},
			"fullDescription":      map[string]any{"text": r.Harm},
			"help":                 map[string]any{"text": r.Remedy},
			"defaultConfiguration": map[string]any{"level": r.Severity.String()},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":       map[string]any{"driver": map[string]any{"name": "handrail", "version": version, "rules": rules}},
			"columnKind": "unicodeCodePoints",
			"results":    results,
		}},
	})
}
