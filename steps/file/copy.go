package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

type copyParams struct {
	Copy copying `param:"copy" need:"yes" doc:"What to copy where."`
}

type copying struct {
	From steps.Path `param:"from" need:"yes" doc:"The file. A symbolic link is followed."`
	To   steps.Path `param:"to" need:"yes" doc:"The file that it becomes; not a folder, and not a symbolic link."`
	Mode string     `param:"mode" doc:"The permissions in octal, such as 640. Without it, those of the file that is replaced; else those of from."`
}

func judgeCopy(f *finder) {
	f.path("from")
	f.path("to")
	if text, ok := f.text("mode"); ok && f.r["mode"] != nil {
		if _, err := modeOf(text); err != nil {
			f.add("mode", "%v", err)
		}
	}
}

func modeOf(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 || len(text) < 3 {
		return 0, fmt.Errorf("%q is not a mode in octal, such as 640", text)
	}
	return fs.FileMode(n), nil
}

// pair is a source and what stands at its destination.
type pair struct {
	from, to string
	info     fs.FileInfo // of from
	was      fs.FileInfo // of to; nil: nothing is there
}

func (c *copying) look(s site) (p pair, err error) {
	if p.from, err = s.path(c.From); err != nil {
		return p, err
	}
	if p.to, err = s.path(c.To); err != nil {
		return p, err
	}
	if p.info, err = s.Stat(p.from); err != nil {
		return p, err
	}
	if p.info.IsDir() {
		return p, fmt.Errorf("%s is a folder; `archive` packs folders", p.from)
	}
	if p.was, err = s.destination(p.to); err != nil {
		return p, err
	}
	if p.was != nil && disk.Same(p.info, p.was) {
		return p, fmt.Errorf("%s and %s are the same file", p.from, p.to)
	}
	return p, nil
}

// mode is what the destination shall have.
func (c *copying) mode(p pair) fs.FileMode {
	switch {
	case c.Mode != "":
		mode, _ := modeOf(c.Mode) // it was looked at when it was decoded
		return mode
	case p.was != nil:
		return p.was.Mode()
	}
	return p.info.Mode().Perm()
}

// already says whether the destination is as wanted, and if so the SHA-256 of both.
func (c *copying) already(m *meter, s site, p pair) (string, bool, error) {
	if p.was == nil || p.was.Size() != p.info.Size() || c.Mode != "" && p.was.Mode() != c.mode(p) {
		return "", false, nil
	}
	to, err := s.sumOf(m, p.to)
	if err != nil {
		return "", false, err
	}
	from, err := s.sumOf(m, p.from)
	return from, from == to, err
}

func (c *copying) preview(ctx context.Context, s site) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Would: fmt.Sprintf("copy %s to %s", c.From, c.To)}
	p, err := c.look(s)
	if err != nil {
		return i, err
	}
	i.Figures = []engine.Figure{exact("bytes", p.info.Size())}
	i.Facts = s.freeFact(filepath.Dir(p.to))
	if p.was != nil {
		i.Risk = engine.RiskDestroys
		i.Facts = append(i.Facts, engine.Fact{Name: p.to, Value: "is there, " + size(p.was.Size()) + ", and would be replaced"})
	}
	_, same, err := c.already(newMeter(ctx, s.env, 0), s, p)
	if err != nil {
		return i, err
	}
	if same {
		i.Standing, i.Risk, i.Facts = engine.StandingAlready, engine.RiskChanges, nil
		i.Facts = []engine.Fact{{Name: p.to, Value: "has the same content"}}
		return i, nil
	}
	return i, s.room(filepath.Dir(p.to), p.info.Size())
}

func (c *copying) change(ctx context.Context, s site, w *disk.Writer) (engine.Record, error) {
	p, err := c.look(s)
	if err != nil {
		return nil, err
	}
	if err := w.Clear(disk.TempName(p.to, s.key())); err != nil {
		return nil, err
	}
	sum, same, err := c.already(newMeter(ctx, s.env, 2*p.info.Size()), s, p)
	if err != nil {
		return nil, err
	}
	if !same {
		if sum, err = put(ctx, s, w, p, c.mode(p)); err != nil {
			return nil, fmt.Errorf("copy %s to %s: %w", p.from, p.to, err)
		}
	} else if err := w.SyncFolder(filepath.Dir(p.to)); err != nil {
		// An attempt that was cut off may have come as far as the rename.
		return nil, err
	}
	return engine.Record{"path": p.to, "size": p.info.Size(), "sha256": sum, "changed": !same}, nil
}

// put writes a copy of a file and publishes it.
func put(ctx context.Context, s site, w *disk.Writer, p pair, mode fs.FileMode) (sum string, err error) {
	if err := s.room(filepath.Dir(p.to), p.info.Size()); err != nil {
		return "", err
	}
	f, err := s.Open(p.from)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	d, err := w.Draft(p.to, s.key(), mode)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Discard()) }()
	h := sha256.New()
	m := newMeter(ctx, s.env, f.Info().Size())
	if _, err := pass(io.MultiWriter(d, h), m.reader(f)); err != nil {
		return "", err
	}
	if err := f.Unchanged(); err != nil {
		return "", err
	}
	if p.was != nil {
		if err := d.Like(p.was, mode); err != nil {
			return "", err
		}
	}
	return hexOf(h), publish(ctx, w, p.to, d)
}

// publish makes drafts durable and gives them their names, in their order.
func publish(ctx context.Context, w *disk.Writer, to string, drafts ...*disk.Draft) error {
	for _, d := range drafts {
		if err := d.Sync(); err != nil {
			return err
		}
	}
	// The last moment at which a cancelled step has no effect.
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, d := range drafts {
		if err := d.Publish(); err != nil && i > 0 {
			return partial{err}
		} else if err != nil {
			return err
		}
	}
	if err := w.SyncFolder(filepath.Dir(to)); err != nil {
		return partial{err}
	}
	return nil
}
