package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Live shows one line per step under way below the lines of [Plain], and draws it anew as time passes.
// A goroutine of its own does that; Close waits for it.
type Live struct {
	mu      sync.Mutex
	plain   *Plain
	w       io.Writer
	style   Style
	width   func() int
	now     func() time.Time
	started time.Time
	rto     time.Duration
	half    time.Time // when the run will be done, by half of the runs before; zero: not known
	most    time.Time // the same, by nineteen of twenty
	order   []string
	lines   map[string]*liveLine
	drawn   int
	held    bool
	frame   int

	stop chan struct{}
	done chan struct{}
}

type liveLine struct {
	text  string
	since time.Time
	count string
}

// redrawEvery is how often the lines are drawn anew.
const redrawEvery = 120 * time.Millisecond

var spinner = [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// NewLive draws on a terminal. width tells its width in columns; started is when the run did.
func NewLive(w io.Writer, style Style, pb *engine.Playbook, started time.Time, now func() time.Time, width func() int) *Live {
	l := &Live{
		plain: NewPlain(w, style, pb), w: w, style: style, width: width, now: now, started: started,
		rto: pb.Objectives.RTO, lines: map[string]*liveLine{}, stop: make(chan struct{}), done: make(chan struct{}),
	}
	go l.tick()
	return l
}

func (l *Live) tick() {
	defer close(l.done)
	t := time.NewTicker(redrawEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.mu.Lock()
			l.frame++
			l.draw("")
			l.mu.Unlock()
		case <-l.stop:
			return
		}
	}
}

// draw writes what stays, and then the lines that move, in one write.
func (l *Live) draw(stays string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	b.WriteString(stays)
	l.drawn = 0
	if !l.held && len(l.order) > 0 {
		width := max(20, l.width())
		for i, step := range l.order {
			if i == 8 && len(l.order) > 9 {
				b.WriteString(fit(fmt.Sprintf("  … and %d more", len(l.order)-i), width) + "\n")
				l.drawn++
				break
			}
			b.WriteString(fit(l.moving(step), width) + "\n")
			l.drawn++
		}
		b.WriteString(l.style.mark(dim, fit(l.footer(), width)) + "\n")
		l.drawn++
	}
	if b.Len() > 0 {
		_, _ = io.WriteString(l.w, b.String()) // a screen that is gone does not stop a run
	}
}

func (l *Live) moving(step string) string {
	x := l.lines[step]
	s := fmt.Sprintf("%s %-*s  %s  %s", spinner[l.frame%len(spinner)], l.plain.width, step, Duration(l.now().Sub(x.since)), oneLine(x.text))
	if x.count != "" {
		s = fmt.Sprintf("%s %-*s  %s  %s  %s", spinner[l.frame%len(spinner)], l.plain.width, step, Duration(l.now().Sub(x.since)), x.count, oneLine(x.text))
	}
	return s
}

func (l *Live) footer() string {
	now := l.now()
	s := "  " + Duration(now.Sub(l.started))
	if l.rto > 0 {
		if left := l.rto - now.Sub(l.started); left > 0 {
			s += ", " + Duration(left) + " left of the RTO of " + Duration(l.rto)
		} else {
			s += ", " + Duration(-left) + " over the RTO of " + Duration(l.rto)
		}
	}
	if l.half.After(now) {
		s += ", " + Duration(l.half.Sub(now)) + " to go by the runs before"
		if l.most.Sub(l.half) >= time.Second {
			s += " (up to " + Duration(l.most.Sub(now)) + ")"
		}
	}
	return s
}

// fit cuts a line to a width in characters.
func fit(s string, width int) string {
	r := []rune(s)
	if len(r) < width {
		return s
	}
	return string(r[:max(0, width-2)]) + "…"
}

// Event shows what stays of it.
func (l *Live) Event(s engine.Stamped) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s.Event.(type) {
	case engine.StepFinished, engine.Settled, engine.DoneIfAsked, engine.Prepared, engine.RetryDue,
		engine.ApprovalGiven, engine.ApprovalRefused, engine.AskedAgain:
		l.drop(engine.EventStep(s.Event))
	case engine.MemoryChecked:
		l.drop("")
	case engine.RetryScheduled:
		l.drop(engine.EventStep(s.Event))
	}
	if lines := l.plain.lines(s); len(lines) > 0 {
		l.draw(strings.Join(lines, "\n") + "\n")
	}
}

func (l *Live) drop(step string) {
	if _, ok := l.lines[step]; !ok {
		return
	}
	delete(l.lines, step)
	for i, s := range l.order {
		if s == step {
			l.order = append(l.order[:i], l.order[i+1:]...)
			return
		}
	}
}

// Begun adds a line that moves.
func (l *Live) Begun(c engine.Command, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := ""
	switch c := c.(type) {
	case engine.Execute:
		text = describe(c.Call)
		l.plain.begun[c.Step] = at
	case engine.AskDoneIf:
		text = "is it done already?"
	case engine.Prepare:
		text = "looking at the target"
	case engine.Settle:
		text = "what became of the attempt that was cut off?"
	case engine.Pause:
		text = "waits for the next attempt"
	case engine.AskPerson:
		text = "waits for an approval"
	case engine.CheckMemory:
		text = "do the targets remember what was done?"
	}
	step := engine.CommandStep(c)
	if _, ok := l.lines[step]; !ok {
		l.order = append(l.order, step)
	}
	l.lines[step] = &liveLine{text: text, since: at}
}

// Done shows a count in the step's line.
func (l *Live) Done(step string, done, total int64, unit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.lines[step]
	if x == nil {
		return
	}
	x.count = count(done, unit)
	if total > 0 {
		x.count = fmt.Sprintf("%d %% of %s", done*100/total, count(total, unit))
	}
}

// Warn adds a line that stays.
func (l *Live) Warn(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(l.plain.warning(text) + "\n")
}

// Expect shows in the last line how long it may still take.
func (l *Live) Expect(half, most time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.half, l.most = half, most
}

// Hold takes the moving lines away.
func (l *Live) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
	l.draw("")
}

// Release brings them back.
func (l *Live) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
}

// Close takes the moving lines away for good.
func (l *Live) Close() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = nil
	l.draw("")
}
