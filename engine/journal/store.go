package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Store is a state folder. Opening one touches nothing; the folder is made when the first run is.
type Store struct {
	path string
	open func(create bool) (Disk, error)
	disk Disk
	keys Keys
}

// OpenStore names the state folder at an absolute path.
func OpenStore(path string) *Store {
	return &Store{path: path, open: func(create bool) (Disk, error) {
		if create {
			if err := makeFolder(path); err != nil {
				return nil, err
			}
		}
		return openFolder(path)
	}}
}

// StoreOn is a state folder on a disk of the caller's, for tests that break it.
func StoreOn(disk Disk) *Store {
	return &Store{path: "state", open: func(bool) (Disk, error) { return disk, nil }}
}

// Path is where the state folder is.
func (s *Store) Path() string { return s.path }

func (s *Store) use(create bool) (Disk, error) {
	if s.disk != nil {
		return s.disk, nil
	}
	d, err := s.open(create)
	if err != nil {
		return nil, err
	}
	s.disk = d
	return d, nil
}

const (
	runsFolder    = "runs"
	journalFile   = "journal.jsonl"
	playbookFile  = "playbook.yaml"
	envFile       = "environment.yaml"
	inputsFile    = "inputs.json"
	originFile    = "origin.json"
	ownerFile     = "owner.json"
	inboxFolder   = "inbox"
	logsFolder    = "logs"
	scratchFolder = "scratch"
)

// runID: 20261121-101512-k3f9; it sorts by time and can be typed.
var runID = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}-[a-z0-9]{4}$`)

// idLetters leaves out what is easily taken for something else.
const idLetters = "abcdefghjkmnpqrstuvwxyz23456789"

// NewID makes the id of a run that starts now, from four random numbers.
func NewID(now time.Time, random [4]byte) string {
	id := []byte(now.UTC().Format("20060102-150405-"))
	for _, b := range random {
		id = append(id, idLetters[int(b)%len(idLetters)])
	}
	return string(id)
}

// ValidID tells whether a text has the form of a run's id.
func ValidID(id string) bool { return runID.MatchString(id) }

func inRun(id, name string) string { return path.Join(runsFolder, id, name) }

// Folder is the path of a run's folder, or of something in it.
func (s *Store) Folder(id string, names ...string) string {
	return filepath.Join(append([]string{s.path, runsFolder, id}, names...)...)
}

// List gives the ids of the runs, newest first.
func (s *Store) List() ([]string, error) {
	d, err := s.use(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Fault{Doing: "read the state folder", Path: s.path, Err: err}
	}
	all, err := names(d, runsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Fault{Doing: "read", Path: s.Folder(""), Err: err}
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

// Resolve finds the run that a person means: its id, the beginning of it, or its last four letters, as
// long as only one run fits.
func (s *Store) Resolve(typed string) (string, error) {
	ids, err := s.List()
	if err != nil {
		return "", err
	}
	var found []string
	for _, id := range ids {
		if id == typed {
			return id, nil
		}
		if typed != "" && (strings.HasPrefix(id, typed) || strings.HasSuffix(id, "-"+typed)) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("%w: %s in %s; see them with: handrail runs", ErrNoRun, typed, s.path)
	}
	return "", fmt.Errorf("%w is meant by %s alone: it fits %s", ErrNoRun, typed, strings.Join(found, ", "))
}

// Create makes the folder of a new run, with its pinned copies, and opens its journal. Everything is on
// the medium when it returns. An id that is taken is an error for which errors.Is(err, fs.ErrExist).
func (s *Store) Create(id string, by engine.Person, p Pinned) (*Journal, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%q is not the id of a run", id)
	}
	d, err := s.use(true)
	if err == nil {
		err = s.makeRun(d, id, p)
	}
	if err != nil {
		return nil, &Fault{Doing: "make the folder of the run", Path: s.Folder(id), Err: err, Remedy: "nothing was begun"}
	}
	return s.take(d, id, by, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL)
}

func (s *Store) makeRun(d Disk, id string, p Pinned) error {
	made := false
	if err := d.Mkdir(runsFolder, folderMode); err == nil {
		made = true
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder := inRun(id, "")
	if err := d.Mkdir(folder, folderMode); err != nil {
		return err
	}
	for _, sub := range []string{inboxFolder, logsFolder, scratchFolder} {
		if err := d.Mkdir(inRun(id, sub), folderMode); err != nil {
			return err
		}
	}
	if err := p.write(d, id); err != nil {
		return err
	}
	if err := syncFolder(d, runsFolder); err != nil {
		return err
	}
	if made {
		return syncFolder(d, ".")
	}
	return nil
}

// Discard removes a run that never began, because its locks could not be had.
func (s *Store) Discard(j *Journal) error {
	if j.at.n > 0 {
		return fmt.Errorf("run %s has begun; its journal stays", j.id)
	}
	err := j.Close()
	all, e := names(s.disk, inRun(j.id, ""))
	err = errors.Join(err, e)
	for _, name := range all {
		if strings.HasPrefix(name, nestedPrefix) {
			err = errors.Join(err, s.disk.Remove(inRun(j.id, name)))
		}
	}
	for _, name := range []string{journalFile, headFile, playbookFile, envFile, inputsFile, originFile, inboxFolder, logsFolder, scratchFolder, ""} {
		if e := s.disk.Remove(inRun(j.id, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Open takes the journal of a run over: its lines are checked, and a torn end is kept aside and cut off
// (see [Journal.Repaired]). While another process has it, the error is an [OwnedError].
func (s *Store) Open(id string, by engine.Person) (*Journal, error) {
	d, err := s.existing(id)
	if err != nil {
		return nil, err
	}
	j, err := s.take(d, id, by, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	if err := j.recover(); err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

func (s *Store) existing(id string) (Disk, error) {
	d, err := s.use(false)
	if err == nil {
		var ids []string
		if ids, err = names(d, runsFolder); err == nil && !contains(ids, id) {
			err = fs.ErrNotExist
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s; see them with: handrail runs", ErrNoRun, id, s.path)
	}
	if err != nil {
		return nil, &Fault{Doing: "read the state folder", Path: s.path, Err: err}
	}
	return d, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// take opens and locks the journal file.
func (s *Store) take(d Disk, id string, by engine.Person, flag int) (*Journal, error) {
	where := s.Folder(id, journalFile)
	f, err := d.OpenFile(inRun(id, journalFile), flag, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("run %s: %w", id, ErrNotBegun)
	}
	if err != nil {
		return nil, &Fault{Doing: "open the journal", Path: where, Err: err}
	}
	had, err := lockFirmly(f)
	if err != nil {
		return nil, errors.Join(&Fault{Doing: "lock the journal", Path: where, Err: err}, f.Close())
	}
	if !had {
		return nil, errors.Join(&OwnedError{Run: id, Owner: s.Owner(id)}, f.Close())
	}
	j := &Journal{id: id, path: where, disk: d, file: f, at: chain{format: Format}, keys: s.keys}
	if flag&os.O_CREATE != 0 {
		if err := syncFolder(d, inRun(id, "")); err != nil {
			return nil, errors.Join(&Fault{Doing: "make the journal", Path: where, Err: err}, f.Close())
		}
	}
	j.announce(by)
	return j, nil
}

// Owner is who has, or last had, the journal open, as far as that is known.
func (s *Store) Owner(id string) engine.Person {
	var p engine.Person
	if d, err := s.use(false); err == nil {
		if b, err := readFile(d, inRun(id, ownerFile), 1<<16); err == nil {
			_ = json.Unmarshal(b, &p) // a hint only; an unreadable one names nobody
		}
	}
	return p
}

// Alive tells whether a process has the journal open.
func (s *Store) Alive(id string) (bool, error) {
	d, err := s.use(false)
	if err != nil {
		return false, err
	}
	f, err := d.OpenFile(inRun(id, journalFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	free, err := f.Lock(false)
	return !free, errors.Join(err, f.Close())
}

// Read opens a journal for reading, whoever owns it.
func (s *Store) Read(id string) (*Reader, error) {
	d, err := s.existing(id)
	if err != nil {
		return nil, err
	}
	f, err := d.OpenFile(inRun(id, journalFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("run %s: %w", id, ErrNotBegun)
	}
	if err != nil {
		return nil, &Fault{Doing: "open the journal", Path: s.Folder(id, journalFile), Err: err}
	}
	return &Reader{path: s.Folder(id, journalFile), file: f}, nil
}
