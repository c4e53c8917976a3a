package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// Pinned is what a run was started with. A resume uses these copies, whatever has become of the files.
type Pinned struct {
	Playbook    []byte
	Nested      []NestedFile  // the playbooks that it runs
	Environment []byte        // nil: none
	Inputs      engine.Record // secrets by name only
	Origin      Origin
}

// NestedFile is the text of a playbook that another one runs.
type NestedFile struct {
	Name string // of the playbook
	File string // where it was found, for messages
	Text []byte
}

// Origin says where the pinned copies come from, for messages and relative paths.
type Origin struct {
	Playbook    string            `json:"playbook"`              // the file
	Nested      map[string]string `json:"nested,omitempty"`      // the files of the playbooks that it runs, by name
	Environment string            `json:"environment,omitempty"` // its name
	EnvFile     string            `json:"environment_file,omitempty"`
	Dir         string            `json:"dir"` // relative paths are taken against it
}

// maxPinned bounds a pinned file; the loader reads no more than 1 MiB.
const maxPinned = 64 << 20

// write writes the copies. Their names are on the medium AFTER the journal, made behind them, has had its
// folder synced.
func (p Pinned) write(d Disk, id string) error {
	inputs := p.Inputs
	if inputs == nil {
		inputs = engine.Record{}
	}
	typed, err := engine.AppendValue(nil, inputs)
	if err != nil {
		return fmt.Errorf("inputs: %w", err)
	}
	for _, n := range p.Nested {
		if p.Origin.Nested == nil {
			p.Origin.Nested = map[string]string{}
		}
		p.Origin.Nested[n.Name] = n.File
	}
	origin, err := json.Marshal(p.Origin)
	if err != nil {
		return err
	}
	for _, n := range p.Nested {
		if err := writeFile(d, inRun(id, nestedFile(n.Name, engine.Digest(string(n.Text)))), n.Text); err != nil {
			return err
		}
	}
	files := []struct {
		name string
		data []byte
	}{{playbookFile, p.Playbook}, {inputsFile, typed}, {originFile, origin}, {envFile, p.Environment}}
	for _, f := range files {
		if f.data == nil {
			continue
		}
		if err := writeFile(d, inRun(id, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// Pinned reads the copies of a run. digest names the playbook that is meant, since a corrected one may
// have been adopted; empty: the first. nested are the digests of the playbooks that it runs. A copy that was
// changed is a [Fault].
func (s *Store) Pinned(id, digest string, nested map[string]string) (Pinned, error) {
	d, err := s.existing(id)
	if err != nil {
		return Pinned{}, err
	}
	bad := func(name string, err error) (Pinned, error) {
		return Pinned{}, &Fault{Doing: "read the pinned copy", Path: s.Folder(id, name), Err: err}
	}
	var p Pinned
	name := playbookFile
	if p.Playbook, err = readFile(d, inRun(id, name), maxPinned); err != nil {
		return bad(name, err)
	}
	if digest != "" && engine.Digest(string(p.Playbook)) != digest {
		name = adoptedFile(digest)
		if p.Playbook, err = readFile(d, inRun(id, name), maxPinned); err != nil {
			return bad(playbookFile, fmt.Errorf("it is not the playbook that the run was started with: %w", err))
		}
		if engine.Digest(string(p.Playbook)) != digest {
			return bad(name, errors.New("it is not the playbook that the run has adopted: it was changed"))
		}
	}
	if p.Environment, err = readFile(d, inRun(id, envFile), maxPinned); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bad(envFile, err)
	}
	inputs, err := readFile(d, inRun(id, inputsFile), maxPinned)
	if err != nil {
		return bad(inputsFile, err)
	}
	v, err := engine.DecodeValue(inputs)
	if err != nil {
		return bad(inputsFile, err)
	}
	p.Inputs, _ = v.(engine.Record)
	origin, err := readFile(d, inRun(id, originFile), maxPinned)
	if err == nil {
		err = json.Unmarshal(origin, &p.Origin)
	}
	if err != nil {
		return bad(originFile, err)
	}
	names := make([]string, 0, len(nested))
	for n := range nested {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		file := nestedFile(n, nested[n])
		if strings.ContainsAny(file, "/\\\x00") { // no loader has made such a name
			return bad(originFile, fmt.Errorf("%q cannot be the name of a playbook", n))
		}
		text, err := readFile(d, inRun(id, file), maxPinned)
		if err == nil && engine.Digest(string(text)) != nested[n] {
			err = errors.New("it is not the playbook that the run has: it was changed")
		}
		if err != nil {
			return bad(file, err)
		}
		p.Nested = append(p.Nested, NestedFile{Name: n, File: p.Origin.Nested[n], Text: text})
	}
	return p, nil
}

const nestedPrefix = "nested."

// nestedFile is where a nested playbook is pinned. The digest is a part of the name, so that a corrected one stands
// beside the first.
func nestedFile(name, digest string) string {
	return nestedPrefix + name + "." + digest[:min(12, len(digest))] + ".yaml"
}

func adoptedFile(digest string) string { return "playbook." + digest[:min(12, len(digest))] + ".yaml" }

// Adopt pins a corrected playbook, with those that it runs, beside the first one. They are on the medium BEFORE
// the event that adopts them is appended.
func (j *Journal) Adopt(playbook []byte, nested []NestedFile) error {
	fault := func(name string, err error) error {
		return &Fault{Doing: "pin the corrected playbook", Path: name, Err: err}
	}
	name := inRun(j.id, adoptedFile(engine.Digest(string(playbook))))
	if err := j.pin(name, playbook); err != nil {
		return fault(name, err)
	}
	for _, n := range nested {
		digest := engine.Digest(string(n.Text))
		name := inRun(j.id, nestedFile(n.Name, digest))
		if b, err := readFile(j.disk, name, maxPinned); err == nil && engine.Digest(string(b)) == digest {
			continue // this one is the same as before
		}
		if err := j.pin(name, n.Text); err != nil {
			return fault(name, err)
		}
	}
	if err := syncFolder(j.disk, inRun(j.id, "")); err != nil {
		return fault(name, err)
	}
	return nil
}

func (j *Journal) pin(name string, text []byte) error {
	err := writeFile(j.disk, name, text)
	if errors.Is(err, fs.ErrExist) { // a process before this one died on the way; its copy may be torn
		if err = j.disk.Remove(name); err == nil {
			err = writeFile(j.disk, name, text)
		}
	}
	return err
}

// logName turns the path of a step into the name of a file that a person can find: every byte that is
// not plain becomes %XX.
func logName(step string) string {
	var b strings.Builder
	for i := range len(step) {
		c := step[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.[]", c) >= 0 && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	if len(name) > 200 {
		name = name[:160] + "~" + engine.Digest(step)[:32]
	}
	return name + ".log"
}

// Log opens the log of a step for appending.
func (j *Journal) Log(step string) (File, error) {
	f, err := j.disk.OpenFile(inRun(j.id, path.Join(logsFolder, logName(step))), os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("open the log of step %s: %w", step, err)
	}
	return f, nil
}

// LogPath is where the log of a step is, whether there is one or not.
func (s *Store) LogPath(id, step string) string { return s.Folder(id, logsFolder, logName(step)) }

// Logs lists the files with the output of a run's steps, sorted.
func (s *Store) Logs(id string) ([]string, error) {
	d, err := s.existing(id)
	if err != nil {
		return nil, err
	}
	all, err := names(d, inRun(id, logsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sort.Strings(all)
	return all, nil
}
