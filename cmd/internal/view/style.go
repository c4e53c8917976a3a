package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Style says how texts are marked. The zero Style marks nothing.
type Style struct{ Colour bool }

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s Style) mark(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) state(st engine.State, text string) string {
	switch st {
	case engine.OK, engine.Already, engine.Resolved:
		return s.mark(green, text)
	case engine.Degraded, engine.InDoubt:
		return s.mark(yellow, text)
	case engine.Failed:
		return s.mark(red, text)
	case engine.Intended:
		return s.mark(cyan, text)
	case engine.Pending, engine.Skipped:
		return s.mark(dim, text)
	}
	return text
}

func (s Style) runState(st engine.RunState) string {
	switch st {
	case engine.RunOK:
		return s.mark(green, st.String())
	case engine.RunDegraded, engine.Waiting, engine.Interrupted, engine.RunCancelled, engine.RunUndone:
		return s.mark(yellow, st.String())
	case engine.RunFailed:
		return s.mark(red, st.String())
	case engine.Running:
		return s.mark(cyan, st.String())
	}
	return st.String()
}

// Duration is a duration as a person says it: 3 ms, 1.2 s, 4 min 10 s, 2 h 5 min.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	}
	return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
}

// count is a number of things, with bytes in units: 12 rows, 3.4 MiB.
func count(n int64, unit string) string {
	if unit != "bytes" {
		return strings.TrimSpace(fmt.Sprintf("%d %s", n, unit))
	}
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// indent puts a text below a line.
func indent(by, text string) string {
	return by + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+by)
}

// oneLine makes a text fit into a line.
func oneLine(s string) string {
	return printable(strings.Join(strings.Fields(s), " "))
}

// printable takes out what would move the cursor or change the terminal: the output of a step must not
// write over the screen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}
