package journal

import (
	"errors"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// What is remembered of finished runs lies beside their journals, by playbook, one small file a run. So a question about the last runs of one
// playbook reads a bounded number of small files, however many journals of however many playbooks there are. It is no more than
// an index: it is made from journals, nothing of a run depends on it, and it is never looked at when a run goes on.

const (
	memoryFolder = "history"
	memoryMost   = 100     // of a playbook; the oldest make room
	memoryLimit  = 1 << 20 // bytes of one
)

// Remembered is what was remembered of one run.
type Remembered struct {
	Run  string
	Data []byte
}

func inMemory(playbook string, name ...string) string {
	return path.Join(append([]string{memoryFolder, playbook}, name...)...)
}

// Remember keeps something about a finished run of a playbook. It is there as a whole or not at all. What is not
// on the medium when the power fails is lost, and can be had from the journal again.
func (s *Store) Remember(playbook, id string, data []byte) error {
	d, err := s.existing(id)
	if err != nil {
		return err
	}
	fault := func(err error) error {
		return &Fault{Doing: "remember how long the run took", Path: s.path + "/" + inMemory(playbook, id), Err: err,
			Remedy: "the run itself is not touched by this"}
	}
	for _, folder := range []string{memoryFolder, inMemory(playbook)} {
		if err := d.Mkdir(folder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return fault(err)
		}
	}
	temp := inMemory(playbook, "."+id)
	if err := d.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault(err)
	}
	err = writeFile(d, temp, data)
	if err == nil {
		err = d.Rename(temp, inMemory(playbook, id))
	}
	if err == nil {
		err = s.forget(d, playbook)
	}
	if err != nil {
		return fault(err)
	}
	return nil
}

// forget makes room. Another process may do the same at this moment.
func (s *Store) forget(d Disk, playbook string) error {
	ids, err := remembered(d, playbook)
	if err != nil {
		return err
	}
	for _, id := range ids[min(len(ids), memoryMost):] {
		if err := d.Remove(inMemory(playbook, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remembered are the ids of the runs of which something is kept, newest first.
func remembered(d Disk, playbook string) ([]string, error) {
	all, err := names(d, inMemory(playbook))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range all {
		if ValidID(name) {
			ids = append(ids, name)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(ids)))
	return ids, nil
}

// Recall gives what is remembered of the runs of a playbook, newest first. It changes nothing.
func (s *Store) Recall(playbook string) ([]Remembered, error) {
	if playbook == "" || strings.ContainsAny(playbook, "/\\") || playbook[0] == '.' {
		return nil, nil
	}
	d, err := s.use(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Fault{Doing: "read the state folder", Path: s.path, Err: err}
	}
	ids, err := remembered(d, playbook)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Fault{Doing: "read", Path: s.path + "/" + inMemory(playbook), Err: err}
	}
	var out []Remembered
	for _, id := range ids[:min(len(ids), memoryMost)] {
		data, err := readFile(d, inMemory(playbook, id), memoryLimit)
		if errors.Is(err, fs.ErrNotExist) { // somebody made room
			continue
		}
		if err != nil {
			return nil, &Fault{Doing: "read", Path: s.path + "/" + inMemory(playbook, id), Err: err}
		}
		out = append(out, Remembered{Run: id, Data: data})
	}
	return out, nil
}
