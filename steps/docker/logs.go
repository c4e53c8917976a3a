package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	defaultTail = 200
	maxTail     = 1000
	// logBytes bounds what is kept of the lines; it stays below what a result may hold.
	logBytes = 256 << 10
)

type logsParams struct {
	Logs  string        `param:"logs" need:"yes" doc:"The container, by name or id."`
	Tail  *int64        `param:"tail" default:"200" doc:"How many of the last lines; 1 to 1000."`
	Since time.Duration `param:"since" doc:"Only lines that are younger than this."`
}

func defineLogs() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "logs", Key: "logs", Class: engine.ClassRead, Risk: engine.RiskReads,
		Doc:    "Reads the last lines that a container has written.",
		Params: steps.Params[logsParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "text", Shape: text, Doc: "The lines as one text."},
			engine.Field{Name: "lines", Doc: "The lines, oldest first.", Shape: engine.ListOf(engine.RecordOf(
				engine.Field{Name: "at", Shape: engine.Of(engine.TypeTime), Doc: "When it was written."},
				engine.Field{Name: "stream", Shape: text, Doc: "stdout or stderr."},
				engine.Field{Name: "text", Shape: text, Doc: "The line."}))},
			engine.Field{Name: "truncated", Shape: engine.Of(engine.TypeBool), Doc: "Older lines among those asked for were dropped, because there was more than 256 KiB."}),
		Example: "{id: log, docker: {logs: api-1, tail: 50, since: 10m}, expect: \"not (text contains 'panic')\"}",
		Judge:   judge(checkLogs, engine.RiskReads),
	}
}

func checkLogs(params engine.Record) []engine.Problem {
	out := checkNames("logs", params["logs"])
	if n, ok := params["tail"].(int64); ok && (n < 1 || n > maxTail) {
		out = append(out, engine.Problem{Path: "tail", Message: fmt.Sprintf("must be from 1 to %d, not %d", maxTail, n)})
	}
	return out
}

type logs struct{ logsParams }

func decodeLogs(params engine.Record) (steps.Operation, error) {
	var op logs
	if err := steps.Bind(params, &op.logsParams); err != nil {
		return nil, err
	}
	return op, first(checkLogs(params))
}

func (op logs) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, all, err := lookAll(ctx, env, []string{op.Logs})
	if err != nil {
		return failure(err)
	}
	if gone := absent(all); len(gone) > 0 {
		return engine.Failure(noContainer(gone))
	}
	tail := int64(defaultTail)
	if op.Tail != nil {
		tail = *op.Tail
	}
	var since time.Time
	if op.Since > 0 {
		since = env.Now().Add(-op.Since)
	}
	lines, truncated, err := c.lines(ctx, all[0], tail, since)
	if err != nil {
		return failure(err)
	}
	list, text := make(engine.List, len(lines)), make([]string, len(lines))
	for i, l := range lines {
		list[i] = engine.Record{"at": timeOrNull(l.at), "stream": l.stream, "text": l.text}
		text[i] = l.text
	}
	return engine.Outcome{Result: engine.Record{"text": strings.Join(text, "\n"), "lines": list, "truncated": truncated}}
}

func (op logs) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	_, all, err := lookAll(ctx, env, []string{op.Logs})
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Would: "read the log of " + op.Logs, Risk: engine.RiskReads,
		Facts: []engine.Fact{all[0].fact(env.Now())}}
	if gone := absent(all); len(gone) > 0 {
		i.Warnings = append(i.Warnings, noContainer(gone).Error())
	}
	return i, nil
}

// line is one line of a container's log.
type line struct {
	at     time.Time
	stream string
	text   string
}

// lines reads the end of a container's log.
func (c *connection) lines(ctx context.Context, s shown, tail int64, since time.Time) ([]line, bool, error) {
	o := apicontainer.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: strconv.FormatInt(tail, 10)}
	if !since.IsZero() {
		o.Since = since.Format(time.RFC3339Nano)
	}
	body, err := c.ContainerLogs(ctx, s.id, o)
	if err != nil {
		return nil, false, fmt.Errorf("read the log of %s: %w", s.name, c.explain(ctx, err))
	}
	defer body.Close()
	var k keeper
	out, errs := &splitter{stream: "stdout", keep: &k}, &splitter{stream: "stderr", keep: &k}
	if s.tty {
		_, err = io.Copy(out, body)
	} else {
		_, err = stdcopy.StdCopy(out, errs, body)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the log of %s: %w", s.name, c.explain(ctx, err))
	}
	out.flush()
	errs.flush()
	return k.lines, k.dropped, nil
}

// lastLines is the end of a container's log for a message about its failure. That it could not be
// read is said in its place: the failure matters more.
func (c *connection) lastLines(ctx context.Context, s shown) string {
	const few = 20
	lines, _, err := c.lines(ctx, s, few, time.Time{})
	if err != nil {
		return "(" + err.Error() + ")"
	}
	text := make([]string, len(lines))
	for i, l := range lines {
		text[i] = l.text
	}
	t := strings.Join(text, "\n")
	if len(t) > 2048 {
		t = "…" + strings.ToValidUTF8(t[len(t)-2048:], "")
	}
	return t
}

// keeper keeps the last lines up to logBytes.
type keeper struct {
	lines   []line
	bytes   int
	dropped bool
}

func (k *keeper) add(l line) {
	k.lines = append(k.lines, l)
	k.bytes += len(l.text)
	for k.bytes > logBytes && len(k.lines) > 1 {
		k.bytes -= len(k.lines[0].text)
		k.lines, k.dropped = k.lines[1:], true
	}
}

// splitter makes lines of a stream. A line longer than logBytes is cut.
type splitter struct {
	stream string
	keep   *keeper
	part   []byte
}

func (w *splitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.grow(p)
			break
		}
		w.grow(p[:i])
		w.flushLine()
		p = p[i+1:]
	}
	return n, nil
}

func (w *splitter) grow(p []byte) {
	if room := logBytes - len(w.part); len(p) > room {
		p, w.keep.dropped = p[:room], true
	}
	w.part = append(w.part, p...)
}

func (w *splitter) flush() {
	if len(w.part) > 0 {
		w.flushLine()
	}
}

func (w *splitter) flushLine() {
	s := strings.TrimSuffix(string(w.part), "\r")
	w.part = w.part[:0]
	l := line{stream: w.stream}
	if stamp, rest, ok := strings.Cut(s, " "); ok || s != "" {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			l.at, s = at, rest
		}
	}
	l.text = strings.ToValidUTF8(s, "\uFFFD")
	w.keep.add(l)
}
