// Package secrets gets the values of declared secrets from the environment, a file, a command or an
// age-encrypted file, and masks them in everything that is written.
//
// It guarantees that a value leaves the package only as an [engine.Secret] that is registered with
// the [Masker], and that no error or warning contains one. In a plan it runs no command that the
// environment file does not allow there. It never stores a value and never asks a person.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
)

// Masker masks secrets in texts, streams and values.
type Masker = mask.Set

// maxBytes bounds the value of a secret.
const maxBytes = 1 << 20

// commandTime is how long a secret's command may take.
const commandTime = 30 * time.Second

// Source declares where a secret comes from. Exactly one of Env, File, Command, Shell and Age is set.
type Source struct {
	Name     string
	Env      string   // the name of an environment variable
	File     string   // a file that holds nothing else
	Command  []string // what it prints is the secret
	Shell    string   // the same, as a text for /bin/sh
	Age      string   // a file encrypted with age, armored or not
	Identity string   // the file with the age identity that opens it
	InPlan   bool     // the command may also be run in a plan
}

// Options are what the sources are read with.
type Options struct {
	// InPlan: this is a dry-run. A command is run only if its source allows that; otherwise the
	// secret is an [engine.Unknown].
	InPlan bool
	// Dir is where relative paths begin and commands run: the folder of the environment file.
	Dir string
	// LookupEnv reads the environment; os.LookupEnv unless a test says otherwise.
	LookupEnv func(string) (string, bool)
	// Masker learns each value BEFORE it is handed out.
	Masker *Masker
}

// Found is what came of resolving secrets.
type Found struct {
	// Values holds an [engine.Secret] for each name, or an [engine.Unknown] where a plan must not ask.
	Values engine.Record
	// Warnings are sentences for the person who runs Handrail.
	Warnings []string
}

// Resolve gets the value of every source. All errors come together.
func Resolve(ctx context.Context, sources []Source, o Options) (Found, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	r := resolver{Options: o}
	found := Found{Values: engine.Record{}}
	var errs []error
	for _, s := range sources {
		if o.InPlan && !s.InPlan && (len(s.Command) > 0 || s.Shell != "") {
			found.Values[s.Name] = engine.Unknown{}
			r.warn("secret %s comes from a command, which a plan does not run; `in_plan: true` beside it allows it", s.Name)
			continue
		}
		value, err := r.read(ctx, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("secret %s: %w", s.Name, err))
			continue
		}
		if o.Masker != nil {
			if w := o.Masker.Add(s.Name, value); w != "" {
				r.warnings = append(r.warnings, w)
			}
		}
		found.Values[s.Name] = engine.NewSecret(s.Name, value)
	}
	found.Warnings = r.warnings
	return found, errors.Join(errs...)
}

type resolver struct {
	Options
	warnings []string
}

func (r *resolver) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *resolver) read(ctx context.Context, s Source) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	value, err := r.readSource(ctx, s)
	if err != nil {
		return "", err
	}
	if len(value) > maxBytes {
		return "", fmt.Errorf("it is longer than %d bytes", maxBytes)
	}
	if value = withoutNewline(value); value == "" {
		return "", fmt.Errorf("%s is empty", s.place())
	}
	return value, nil
}

func (r *resolver) readSource(ctx context.Context, s Source) (string, error) {
	switch {
	case s.Env != "":
		value, ok := r.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set; set it, or name another source in the environment file", s.Env)
		}
		return value, nil
	case s.File != "":
		return r.readFile(s.Name, s.File)
	case s.Age != "":
		return r.readAge(s)
	}
	return r.runCommand(ctx, s)
}

// place says in words where the secret was looked for.
func (s Source) place() string {
	switch {
	case s.Env != "":
		return "the environment variable " + s.Env
	case s.File != "":
		return "the file " + s.File
	case s.Age != "":
		return "what the file " + s.Age + " holds"
	case len(s.Command) > 0:
		return "what the command " + s.Command[0] + " printed"
	}
	return "what the command printed"
}

func (s Source) check() error {
	n := 0
	for _, set := range []bool{s.Env != "", s.File != "", len(s.Command) > 0, s.Shell != "", s.Age != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("exactly one of env, file, command and age says where it comes from")
	case s.Age != "" && s.Identity == "":
		return errors.New("age needs `identity:`, the file with the identity that opens it")
	case s.Age == "" && s.Identity != "":
		return errors.New("`identity:` goes with age only")
	}
	return nil
}

func (r *resolver) path(file string) string {
	if filepath.IsAbs(file) || r.Dir == "" {
		return file
	}
	return filepath.Join(r.Dir, file)
}

// readFile reads a file that holds a secret, and warns when others may read it too.
func (r *resolver) readFile(name, file string) (string, error) {
	f, err := os.Open(r.path(file))
	if err != nil {
		return "", readable(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", readable(err)
	}
	if info.IsDir() {
		return "", fmt.Errorf("%s is a folder, not a file", file)
	}
	if wide := info.Mode().Perm() &^ 0o600; info.Mode().IsRegular() && wide != 0 {
		r.warn("secret %s: %s has permissions %04o, so that others may read or change it; `chmod 600 %s` ends that",
			name, file, info.Mode().Perm(), file)
	}
	b, err := readAtMost(f)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return string(b), nil
}

// readable leaves the system call out of a path error.
func readable(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// withoutNewline cuts off the one line end that editors and commands add.
func withoutNewline(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}
