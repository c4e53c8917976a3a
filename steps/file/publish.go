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
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

type publishParams struct {
	Publish publishing `param:"publish" need:"yes" doc:"What to publish under which name."`
}

type publishing struct {
	From steps.Path `param:"from" need:"yes" doc:"The file or folder."`
	As   steps.Path `param:"as" need:"yes" doc:"The name that shall lead to it."`
	How  string     `param:"how" enum:"link,copy" default:"link" doc:"link: the name becomes a symbolic link. copy: a file of its own, for places that know no links."`
}

func (p *publishing) copies() bool { return p.How == "copy" }

// goal is what publishing aims at.
type goal struct {
	from, as string
	target   string      // what the link shall say
	old      string      // what it says now
	linked   bool        // there is a link now
	info     fs.FileInfo // of from
}

func (p *publishing) look(s site) (g goal, err error) {
	if g.from, err = s.path(p.From); err != nil {
		return g, err
	}
	if g.as, err = s.path(p.As); err != nil {
		return g, err
	}
	if g.info, err = s.Stat(g.from); err != nil {
		return g, err
	}
	if g.from == g.as {
		return g, fmt.Errorf("%s cannot lead to itself", g.as)
	}
	was, err := s.Lstat(g.as)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return g, err
	case was.Mode().Type() == fs.ModeSymlink:
		g.linked = true
		if g.old, err = s.Readlink(g.as); err != nil {
			return g, err
		}
	default:
		return g, fmt.Errorf("%s is no symbolic link, and is not replaced by one; move it away first", g.as)
	}
	// Below the link's own folder the link is relative, so that the folder can be moved or mounted elsewhere.
	g.target = g.from
	if rel, err := filepath.Rel(filepath.Dir(g.as), g.from); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		g.target = rel
	}
	if inside, err := filepath.Rel(g.from, g.as); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
		return g, fmt.Errorf("%s lies in %s, and cannot lead to it", g.as, g.from)
	}
	return g, nil
}

// sound refuses a file that does not agree with what stands beside it.
func (p *publishing) sound(m *meter, s site, from string, info fs.FileInfo) error {
	if info.IsDir() {
		return nil
	}
	real, err := s.Real(from)
	if err != nil {
		return err
	}
	claims, err := proof.Claims(s.Reader, real)
	if err != nil || len(claims) == 0 {
		return err
	}
	if ok, why, err := s.proven(m, real); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("%s is not published: %s", from, why)
	}
	return nil
}

func (p *publishing) preview(ctx context.Context, s site) (engine.Impact, error) {
	if p.copies() {
		c := copying{From: p.From, To: p.As}
		i, err := c.preview(ctx, s)
		i.Would = fmt.Sprintf("publish a copy of %s as %s", p.From, p.As)
		return i, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Would: fmt.Sprintf("publish %s as %s", p.From, p.As)}
	g, err := p.look(s)
	if err != nil {
		return i, err
	}
	switch {
	case g.linked && g.old == g.target:
		i.Standing = engine.StandingAlready
	case g.linked:
		i.Facts = []engine.Fact{{Name: g.as, Value: "leads to " + g.old + ", and would lead to " + g.target}}
	default:
		i.Facts = []engine.Fact{{Name: g.as, Value: "is not there, and would lead to " + g.target}}
	}
	return i, p.sound(newMeter(ctx, s.env, 0), s, g.from, g.info)
}

func (p *publishing) change(ctx context.Context, s site, w *disk.Writer) (engine.Record, error) {
	if p.copies() {
		return p.copy(ctx, s, w)
	}
	g, err := p.look(s)
	if err != nil {
		return nil, err
	}
	if err := w.Clear(disk.TempName(g.as, s.key())); err != nil {
		return nil, err
	}
	if err := p.sound(newMeter(ctx, s.env, g.info.Size()), s, g.from, g.info); err != nil {
		return nil, err
	}
	changed := !g.linked || g.old != g.target
	if changed {
		// What a name leads to must be durable BEFORE the name leads there.
		if err := w.SyncFolder(filepath.Dir(g.from)); err != nil {
			return nil, err
		}
		if err := w.Symlink(g.target, g.as, s.key()); err != nil {
			return nil, err
		}
	}
	if err := w.SyncFolder(filepath.Dir(g.as)); err != nil {
		return nil, partial{err}
	}
	r := engine.Record{"path": g.as, "target": g.from, "old": nil, "changed": changed}
	if g.linked {
		r["old"] = g.old
	}
	return r, nil
}

func (p *publishing) copy(ctx context.Context, s site, w *disk.Writer) (engine.Record, error) {
	c := copying{From: p.From, To: p.As}
	at, err := c.look(s)
	if err != nil {
		return nil, err
	}
	if err := p.sound(newMeter(ctx, s.env, at.info.Size()), s, at.from, at.info); err != nil {
		return nil, err
	}
	r, err := c.change(ctx, s, w)
	if err != nil {
		return nil, err
	}
	return engine.Record{"path": at.to, "target": at.from, "old": nil, "changed": r["changed"]}, nil
}
