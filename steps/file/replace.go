package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// settingsCap is how large a settings file may be.
const settingsCap = 16 << 20

type replaceParams struct {
	Replace replacing `param:"replace" need:"yes" doc:"What to set in which file."`
}

type replacing struct {
	File      steps.Path   `param:"file" need:"yes" doc:"The settings file. A symbolic link is followed, and stays."`
	Key       string       `param:"key" doc:"The key whose value is set. Lines that begin with # or ; are comments. All behind the separator, to the end of the line, is the value."`
	Value     engine.Value `param:"value" doc:"The new value of the key: a text of one line, a number, true or false, or a secret. Put it into quotes where its spelling matters."`
	Section   string       `param:"section" doc:"The section of the key, as in [mysqld], where a file has sections. Without it, the whole file is searched."`
	Separator string       `param:"separator" default:"=" doc:"What stands between key and value, such as = or : or a blank. Blanks around it stay as they are."`
	Missing   string       `param:"missing" enum:"error,add" default:"error" doc:"add: a key that is not there is added at the end of the file, or of its section."`
	Text      string       `param:"text" doc:"In place of key: a text that must stand in the file exactly once."`
	With      engine.Value `param:"with" doc:"What takes the place of the text; a text or a secret."`
}

func judgeReplace(f *finder) {
	f.path("file")
	_, key := f.r["key"]
	_, text := f.r["text"]
	switch {
	case key == text:
		f.add("", "give key and value, or text and with")
	case key:
		f.keyed()
	default:
		f.only("text", "value", "section", "separator", "missing")
		if t, ok := f.text("text"); ok && t == "" {
			f.add("text", "is empty")
		}
		f.value("with", false)
	}
}

func (f *finder) keyed() {
	f.only("key", "with")
	if key, ok := f.text("key"); ok && (strings.TrimSpace(key) != key || key == "" || strings.ContainsAny(key, "\r\n\x00")) {
		f.add("key", "%q cannot be a key", key)
	}
	if sep, given := f.r["separator"]; given {
		if text, ok := sep.(string); ok && (text == "" || strings.ContainsAny(text, "\r\n\x00")) {
			f.add("separator", "%q cannot stand between a key and its value", text)
		}
	}
	f.value("value", true)
}

// only refuses parameters that have no meaning beside another.
func (f *finder) only(beside string, names ...string) {
	for _, name := range names {
		if _, given := f.r[name]; given {
			f.add(name, "has no meaning beside %s", beside)
		}
	}
}

// value: one that has a text form, of one line where it is that of a key.
func (f *finder) value(name string, line bool) {
	v, given := f.r[name]
	switch v.(type) {
	case engine.Unknown:
		return
	case nil, engine.List, engine.Record, engine.Bytes:
		if !given {
			f.add(name, "is missing")
			return
		}
		f.add(name, "must be a text, a number, true or false, not %s", engine.TypeName(v))
		return
	}
	text := plainText(v)
	if line && strings.ContainsAny(text, "\r\n") {
		f.add(name, "a value has one line")
	}
	if strings.ContainsRune(text, 0) {
		f.add(name, "a settings file holds no NUL byte")
	}
}

func plainText(v engine.Value) string {
	if text, ok := engine.Reveal(v); ok {
		return text
	}
	return engine.Text(v)
}

// edit is what would become of a file.
type edit struct {
	path     string // with all links followed
	info     fs.FileInfo
	before   []byte
	after    []byte
	line     int64
	old, new engine.Value // as they may be shown
}

func (e edit) changed() bool { return !bytes.Equal(e.before, e.after) }

func (p *replacing) look(s site) (e edit, err error) {
	path, err := s.path(p.File)
	if err != nil {
		return e, err
	}
	if e.path, err = s.Real(path); err != nil {
		return e, err
	}
	if e.info, err = s.Lstat(e.path); err != nil {
		return e, err
	}
	if e.before, err = s.Slurp(e.path, settingsCap); err != nil {
		return e, err
	}
	value := p.Value
	if p.Text != "" {
		value = p.With
		err = p.text(&e, plainText(value))
	} else {
		err = p.key(&e, plainText(value))
	}
	if _, secret := value.(engine.Secret); secret {
		// The old value of a secret is a secret as well.
		e.old, e.new = nil, nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", e.path, err)
	}
	return e, err
}

// text exchanges the one place where a text stands. Where the new text holds the old one, what stands inside
// it was exchanged before.
func (p *replacing) text(e *edit, with string) error {
	content := string(e.before)
	e.old, e.new, e.after = p.Text, with, e.before
	var found []int
	for at := 0; at <= len(content)-len(p.Text); {
		if with != "" && strings.Contains(with, p.Text) && strings.HasPrefix(content[at:], with) {
			at += len(with)
			continue
		}
		if strings.HasPrefix(content[at:], p.Text) {
			found = append(found, at)
			at += len(p.Text)
			continue
		}
		at++
	}
	lineOf := func(at int) int64 { return int64(strings.Count(content[:at], "\n") + 1) }
	switch len(found) {
	case 1:
		at := found[0]
		e.after = []byte(content[:at] + with + content[at+len(p.Text):])
		e.line = lineOf(at)
		return nil
	case 0:
		at := strings.Index(content, with)
		if at < 0 {
			return errors.New("neither the text nor what shall take its place is there")
		}
		e.line, e.old = lineOf(at), with
		return nil
	}
	return fmt.Errorf("the text stands there %d times, in lines %d and %d first; make it longer, so that it is one place", len(found), lineOf(found[0]), lineOf(found[1]))
}

// key sets the value of a key.
func (p *replacing) key(e *edit, value string) error {
	lines := strings.SplitAfter(string(e.before), "\n")
	at, end, err := p.find(lines)
	if err != nil {
		return err
	}
	e.new = value
	if at < 0 {
		if p.Missing != "add" {
			return fmt.Errorf("there is no key %s%s; `missing: add` adds it", p.Key, p.where())
		}
		e.after, e.line = added(lines, end, p.Key+p.separator()+value), int64(end+1)
		return nil
	}
	body := strings.TrimRight(lines[at], "\r\n")
	start := p.valueIn(body)
	old := strings.TrimRight(body[start:], " \t")
	e.old, e.line = old, int64(at+1)
	if old != value {
		lines[at] = body[:start] + value + lines[at][len(body):]
	}
	e.after = []byte(strings.Join(lines, ""))
	return nil
}

// added puts a line at a place among lines.
func added(lines []string, at int, line string) []byte {
	ending := "\n"
	if strings.HasSuffix(lines[0], "\r\n") {
		ending = "\r\n"
	}
	head, tail := strings.Join(lines[:at], ""), strings.Join(lines[at:], "")
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += ending
	}
	return []byte(head + line + ending + tail)
}

func (p *replacing) separator() string {
	if p.Separator == "" {
		return "="
	}
	return p.Separator
}

func (p *replacing) where() string {
	if p.Section == "" {
		return ""
	}
	return " in section [" + p.Section + "]"
}

// find is the line of the key, -1 if it has none, and where a new one would stand.
func (p *replacing) find(lines []string) (at, end int, err error) {
	at, end = -1, len(lines)
	if lines[end-1] == "" {
		end-- // behind the last line's end
	}
	last := end
	inside, entered := p.Section == "", p.Section == ""
	for i, line := range lines {
		text := strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(text, "["); ok && p.Section != "" && strings.HasSuffix(name, "]") {
			inside = strings.TrimSpace(strings.TrimSuffix(name, "]")) == p.Section
			if inside {
				entered, end = true, i+1
			}
			continue
		}
		if !inside || text == "" {
			continue
		}
		if p.Section != "" {
			end = i + 1 // behind its last line that is not empty
		}
		if p.valueIn(strings.TrimRight(line, "\r\n")) < 0 {
			continue
		}
		if at >= 0 {
			return 0, 0, fmt.Errorf("the key %s stands there twice, in lines %d and %d; say its section, or change it by text", p.Key, at+1, i+1)
		}
		at = i
	}
	if !entered {
		return 0, last, fmt.Errorf("there is no section [%s]", p.Section)
	}
	return at, end, nil
}

// valueIn is where in a line the value of the key begins; -1 if the line is not that of the key.
func (p *replacing) valueIn(line string) int {
	rest := strings.TrimLeft(line, " \t")
	rest, ok := strings.CutPrefix(rest, p.Key)
	if !ok {
		return -1
	}
	trimmed := strings.TrimLeft(rest, " \t")
	if mark := strings.TrimSpace(p.separator()); mark != "" {
		if trimmed, ok = strings.CutPrefix(trimmed, mark); !ok {
			return -1
		}
		trimmed = strings.TrimLeft(trimmed, " \t")
	} else if len(trimmed) == len(rest) {
		return -1 // another key that begins alike, or one without a value
	}
	return len(line) - len(trimmed)
}

func (p *replacing) preview(_ context.Context, s site) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Would: "change a text in " + string(p.File)}
	if p.Key != "" {
		i.Would = fmt.Sprintf("set %s in %s", p.Key, p.File)
	}
	e, err := p.look(s)
	if err != nil {
		return i, err
	}
	if !e.changed() {
		i.Standing = engine.StandingAlready
		return i, nil
	}
	where := fmt.Sprintf("%s line %d", e.path, e.line)
	switch {
	case e.new == nil:
		i.Facts = []engine.Fact{{Name: where, Value: "another value, which is a secret"}}
	case e.old == nil:
		i.Facts = []engine.Fact{{Name: where, Value: fmt.Sprintf("would be added with %q", e.new)}}
	default:
		i.Facts = []engine.Fact{{Name: where, Value: fmt.Sprintf("%q would become %q", e.old, e.new)}}
	}
	if n := disk.Links(e.info); n > 1 {
		i.Warnings = append(i.Warnings, fmt.Sprintf("%s has %d names; the others keep the old content", e.path, n))
	}
	return i, nil
}

func (p *replacing) change(ctx context.Context, s site, w *disk.Writer) (r engine.Record, err error) {
	e, err := p.look(s)
	if err != nil {
		return nil, err
	}
	if err := w.Clear(disk.TempName(e.path, s.key())); err != nil {
		return nil, err
	}
	h := sha256.Sum256(e.after)
	r = engine.Record{"path": e.path, "line": e.line, "old": e.old, "new": e.new, "sha256": hex.EncodeToString(h[:]), "changed": e.changed()}
	if !e.changed() {
		return r, w.SyncFolder(filepath.Dir(e.path))
	}
	d, err := w.Draft(e.path, s.key(), 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Discard()) }()
	if _, err := d.Write(e.after); err != nil {
		return nil, err
	}
	if err := d.Like(e.info, e.info.Mode()); err != nil {
		return nil, fmt.Errorf("%s: %w", e.path, err)
	}
	if now, err := s.Lstat(e.path); err != nil || !disk.Alike(e.info, now) {
		return nil, errors.Join(fmt.Errorf("%s %w", e.path, disk.ErrChanged), err)
	}
	return r, publish(ctx, w, e.path, d)
}
