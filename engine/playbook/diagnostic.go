package playbook

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/handrail-dev/handrail/engine"
)

// Diagnostic is one mistake in a file.
type Diagnostic struct {
	Pos     engine.Pos // without a line: the file as a whole
	Message string
	Remedy  string // what to do about it; may be empty
	Source  string // the line
	Width   int    // how many characters of it are meant; at least 1
}

// Error is file:line:column: message.
func (d *Diagnostic) Error() string {
	switch {
	case d.Pos.File == "":
		return d.Message
	case d.Pos.Line == 0:
		return d.Pos.File + ": " + d.Message
	}
	return d.Pos.String() + ": " + d.Message
}

// Render is the error, the line with a caret below it, and the remedy. It ends without a line break.
func (d *Diagnostic) Render() string {
	var b strings.Builder
	b.WriteString(d.Error())
	if d.Pos.Line > 0 && d.Source != "" {
		number := fmt.Sprint(d.Pos.Line)
		blank := strings.Repeat(" ", len(number))
		source, before, width := window([]rune(d.Source), d.Pos.Column-1, d.Width)
		fmt.Fprintf(&b, "\n  %s | %s\n  %s | %s%s", number, source, blank, before, strings.Repeat("^", width))
	}
	if d.Remedy != "" {
		fmt.Fprintf(&b, "\n  %s", d.Remedy)
	}
	return b.String()
}

// window cuts a long line to what is around the place, and gives what leads to the caret: tabs stay
// tabs, so that the caret stands where the eye sees it.
func window(line []rune, at, width int) (shown, before string, carets int) {
	const most = 110
	at = max(0, min(at, len(line)))
	from := 0
	if len(line) > most && at > most*2/3 {
		from = at - most/2
	}
	to := min(len(line), from+most)
	lead, tail := "", ""
	if from > 0 {
		lead = "…"
	}
	if to < len(line) {
		tail = "…"
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", len([]rune(lead))))
	for _, r := range line[from:at] {
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return lead + string(line[from:to]) + tail, b.String(), max(1, min(width, to-at))
}

// Diagnostics are the mistakes that an error holds, in the order of the file.
func Diagnostics(err error) []*Diagnostic {
	var many *multierror.Error
	if !errors.As(err, &many) {
		var one *Diagnostic
		if errors.As(err, &one) {
			return []*Diagnostic{one}
		}
		return nil
	}
	var out []*Diagnostic
	for _, e := range many.Errors {
		out = append(out, Diagnostics(e)...)
	}
	return out
}

// maxDiagnostics bounds a report: a file of another language would otherwise fill the screen.
const maxDiagnostics = 100

// report collects the mistakes of one file, and of those that it leads to.
type report struct {
	src   *source
	found []*Diagnostic
	more  int
}

func (r *report) failed() bool { return len(r.found) > 0 }

// at notes a mistake at a byte of the file.
func (r *report) at(offset, width int, remedy, format string, args ...any) {
	line, column := r.src.place(offset)
	d := &Diagnostic{
		Pos:     engine.Pos{File: r.src.file, Line: line, Column: column},
		Message: fmt.Sprintf(format, args...), Remedy: remedy, Source: r.src.line(line), Width: max(1, width),
	}
	r.add(d)
}

// whole notes a mistake of the file as a whole.
func (r *report) whole(remedy, format string, args ...any) {
	r.add(&Diagnostic{Pos: engine.Pos{File: r.src.file}, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (r *report) add(d *Diagnostic) {
	for _, x := range r.found {
		if x.Pos == d.Pos && x.Message == d.Message {
			return
		}
	}
	if len(r.found) >= maxDiagnostics {
		r.more++
		return
	}
	r.found = append(r.found, d)
}

// err is everything that was noted, or nil.
func (r *report) err() error {
	if len(r.found) == 0 {
		return nil
	}
	files := map[string]int{r.src.file: -1} // its own mistakes first, then file by file
	for i, d := range r.found {
		if _, ok := files[d.Pos.File]; !ok {
			files[d.Pos.File] = i
		}
	}
	sort.SliceStable(r.found, func(i, j int) bool {
		a, b := r.found[i].Pos, r.found[j].Pos
		if a.File != b.File {
			return files[a.File] < files[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	all := &multierror.Error{ErrorFormat: format}
	for _, d := range r.found {
		all.Errors = append(all.Errors, d)
	}
	if r.more > 0 {
		all.Errors = append(all.Errors, &Diagnostic{Pos: engine.Pos{File: r.src.file}, Message: fmt.Sprintf("and %d more mistakes", r.more)})
	}
	return all
}

func format(errs []error) string {
	lines := make([]string, len(errs))
	for i, e := range errs {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}
