package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Unlock frees the locks of a run that nobody drives, whatever its journal says, and gives what it freed. It
// is for a run whose files are lost or damaged: any other is resumed or cancelled. While a process has the
// run in hand, or where that cannot be told, nothing is freed.
func (l *Locks) Unlock(ctx context.Context, run, host string) ([]Holder, error) {
	var found []Holder
	for _, f := range l.folders {
		held, err := heldIn(ctx, f, run)
		if err != nil {
			return nil, err
		}
		found = append(found, held...)
	}
	for i, h := range found {
		if h.Host != host {
			return nil, fmt.Errorf("run %s took the lock %s on %s, and this is %s: type it there", run, h.Lock, h.Host, host)
		}
		if i > 0 && found[i-1].State == h.State {
			continue
		}
		// The journal is held until the locks are gone, so that nobody can go on with the run in between.
		letGo, err := HoldRun(h)
		if err != nil {
			return nil, err
		}
		defer letGo()
	}
	for _, h := range found {
		if err := l.Release(ctx, h.Run, h.State); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// heldIn lists the locks of a run in a folder.
func heldIn(ctx context.Context, f LockFolder, run string) ([]Holder, error) {
	var found []Holder
	err := f.guarded(ctx, func(root *os.Root, _ File) error {
		all, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return err
		}
		for _, e := range all {
			if held, err := readLock(root, e.Name()); err == nil && held.Run == run {
				found = append(found, held)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the locks in %s: %w", f.Path, err)
	}
	return found, nil
}

// HoldRun keeps others from going on with the run of a holder, until letGo is called. A run that is not
// there any more needs nothing.
func HoldRun(h Holder) (letGo func(), err error) {
	nothing := func() {}
	if !filepath.IsAbs(h.State) || !ValidID(h.Run) {
		return nothing, nil
	}
	s := OpenStore(h.State)
	d, err := s.use(false)
	var f File
	if err == nil {
		f, err = d.OpenFile(inRun(h.Run, journalFile), os.O_RDONLY, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil
	}
	if err != nil {
		return nil, fmt.Errorf("whether somebody has run %s in hand cannot be told, so its locks stay: %w; it was started by %s@%s", h.Run, err, h.User, h.Host)
	}
	had, err := lockFirmly(f)
	if err == nil && !had {
		err = &OwnedError{Run: h.Run, Owner: s.Owner(h.Run)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // it was only held
}
