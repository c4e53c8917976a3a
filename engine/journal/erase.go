package journal

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// goneMark begins the name of a run's folder that is being taken away.
const goneMark = ".gone-"

// Erase takes the folder of a run away, whose journal is in hand. Its name goes first, and is gone on the medium
// BEFORE anything in it is: a crash leaves the whole run, or none; [Store.Sweep] finishes it.
func (s *Store) Erase(j *Journal) error {
	gone := path.Join(runsFolder, goneMark+j.id)
	err := s.disk.Rename(inRun(j.id, ""), gone)
	if err == nil {
		err = syncFolder(s.disk, runsFolder)
	}
	if err == nil {
		err = removeAll(s.disk, gone)
	}
	if err != nil {
		err = &Fault{Doing: "remove", Path: s.Folder(j.id), Err: err, Remedy: "type the same again"}
	}
	return errors.Join(err, j.Close())
}

// Sweep takes away what was left of runs when [Store.Erase] was cut off.
func (s *Store) Sweep() error {
	d, err := s.use(false)
	if err == nil {
		var all []string
		all, err = names(d, runsFolder)
		for _, name := range all {
			if strings.HasPrefix(name, goneMark) {
				err = errors.Join(err, removeAll(d, path.Join(runsFolder, name)))
			}
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &Fault{Doing: "remove what is left of old runs in", Path: s.Folder(""), Err: err}
}

// removeAll follows no link: what can be removed as it is, is. Another process may do the same at this moment.
func removeAll(d Disk, name string) error {
	err := d.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	inside, unreadable := names(d, name)
	switch {
	case errors.Is(unreadable, fs.ErrNotExist):
		return nil
	case unreadable != nil:
		return err
	}
	var errs []error
	for _, x := range inside {
		errs = append(errs, removeAll(d, path.Join(name, x)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := d.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
