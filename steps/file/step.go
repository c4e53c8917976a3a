package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// work is an operation: it looks at the site, and either reads or changes.
type work interface {
	preview(ctx context.Context, s site) (engine.Impact, error)
}

type reader interface {
	work
	read(ctx context.Context, s site) (engine.Record, error)
}

type changer interface {
	work
	change(ctx context.Context, s site, w *disk.Writer) (engine.Record, error)
}

// site is where an operation acts, for looking. The way to changes is the Writer beside it, which only a
// change gets, and only with full access.
type site struct {
	disk.Reader
	env *steps.Env
}

// path is a parameter as an absolute path.
func (s site) path(p steps.Path) (string, error) {
	path := string(p)
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.env.Dir, path)
	}
	return filepath.Abs(path)
}

// key tells the temporary names of this step from those of others. It is the same for each attempt.
func (s site) key() string { return engine.Digest(s.env.Call.Token)[:12] }

// step is an operation as the contract wants it.
type step struct {
	name string
	raw  engine.Record
	work work
}

// partial is a failure AFTER a part of the effect.
type partial struct{ error }

func (p partial) Unwrap() error { return p.error }

// Execute does it.
func (o *step) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if err := ctx.Err(); err != nil {
		return engine.Failure(fmt.Errorf("cancelled before it began: %w", err))
	}
	s := site{env: env}
	var result engine.Record
	var err error
	switch w := o.work.(type) {
	case reader:
		result, err = w.read(ctx, s)
	case changer:
		var writer *disk.Writer
		if writer, err = disk.ForChanges(env.Access); err == nil {
			result, err = w.change(ctx, s, writer)
		}
	default:
		err = fmt.Errorf("file.%s neither reads nor changes", o.name)
	}
	if err == nil {
		return engine.Outcome{Result: result}
	}
	out := engine.Failure(err)
	if p := (partial{}); errors.As(err, &p) {
		out.Effect = engine.EffectStands
	}
	out.Transient = errors.Is(err, disk.ErrChanged)
	if disk.Full(err) {
		out.Err += "; nothing unfinished is left behind: make room, then try again"
	}
	return out
}

// Preview says what it would do now. What is in the way may be put right by an earlier step: so that is not
// known, rather than known to fail.
func (o *step) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	risk := engine.RiskReads
	if _, changes := o.work.(changer); changes {
		risk = engine.RiskChanges
	}
	if u, ok := engine.FirstUnknown(o.raw); ok {
		return engine.Impact{Standing: engine.StandingUnknown, Would: o.shown(), Risk: risk, Why: "part of it is " + u.Error()}, nil
	}
	impact, err := o.work.preview(ctx, site{env: env})
	if ctx.Err() != nil {
		return engine.Impact{}, ctx.Err()
	}
	impact.Risk = max(impact.Risk, risk)
	if impact.Would == "" {
		impact.Would = o.shown()
	}
	if err != nil {
		impact.Standing, impact.Why = engine.StandingUnknown, err.Error()
		impact.Warnings = append(impact.Warnings, err.Error()+": the run would fail here, unless an earlier step puts it right")
	}
	return impact, nil
}

// shown is the operation in one line, as far as it is known.
func (o *step) shown() string {
	switch v := o.raw[o.name].(type) {
	case engine.Record:
		var parts []string
		for _, name := range []string{"from", "to", "as", "folder", "file"} {
			if e, ok := v[name]; ok {
				parts = append(parts, name+" "+shownValue(e))
			}
		}
		return o.name + " " + strings.Join(parts, " ")
	default:
		return o.name + " " + shownValue(v)
	}
}

func shownValue(v engine.Value) string {
	switch x := v.(type) {
	case engine.Unknown:
		return "<" + x.Error() + ">"
	case engine.List:
		all := make([]string, len(x))
		for i, e := range x {
			all[i] = shownValue(e)
		}
		return strings.Join(all, ", ")
	}
	return engine.Text(v)
}

// finder collects what is wrong with parameters.
type finder struct {
	r     engine.Record
	at    string
	found []engine.Problem
}

func (f *finder) add(name, format string, args ...any) {
	f.found = append(f.found, engine.Problem{Path: strings.TrimSuffix(f.at+name, "."), Message: fmt.Sprintf(format, args...)})
}

// path: a parameter that must name something.
func (f *finder) path(name string) {
	if text, ok := f.text(name); !ok {
		return
	} else if text == "" {
		f.add(name, "names no file")
	} else if strings.ContainsRune(text, 0) {
		f.add(name, "a path cannot hold a NUL byte")
	}
}

// text is a parameter as far as it is known; one that is missing is empty.
func (f *finder) text(name string) (string, bool) {
	switch v := f.r[name].(type) {
	case engine.Unknown, engine.List, engine.Record, engine.Secret:
		return "", false
	case nil:
		return "", true
	default:
		return engine.Text(v), true
	}
}

// destination looks at where a new file shall stand. was is nil if nothing is there.
func (s site) destination(path string) (was fs.FileInfo, err error) {
	folder := filepath.Dir(path)
	info, err := s.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the folder %s does not exist; make it, or mount what should be there", folder)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a folder", folder)
	}
	was, err = s.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case was.IsDir():
		return nil, fmt.Errorf("%s is a folder; name the file in it", path)
	case was.Mode().Type() == fs.ModeSymlink:
		return nil, fmt.Errorf("%s is a symbolic link; name the file itself", path)
	case !was.Mode().IsRegular():
		return nil, fmt.Errorf("%s %w", path, disk.ErrNotRegular)
	}
	return was, nil
}

// room refuses what is known not to fit.
func (s site) room(folder string, need int64) error {
	free, err := s.Free(folder)
	if err != nil {
		return err
	}
	if need > free {
		return fmt.Errorf("%s has room for %s, and this needs %s", folder, size(free), size(need))
	}
	return nil
}

func exact(name string, n int64) engine.Figure {
	return engine.Figure{Name: name, Value: n, Certainty: engine.FigureExact}
}

// freeFact says how much room there is, where that can be said.
func (s site) freeFact(folder string) []engine.Fact {
	free, err := s.Free(folder)
	if err != nil {
		return nil
	}
	return []engine.Fact{{Name: "free in " + folder, Value: size(free)}}
}
