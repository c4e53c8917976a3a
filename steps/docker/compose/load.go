package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
)

// Source says which project is meant.
type Source struct {
	Files    []string // absolute; without any, the usual names are looked for in Dir
	Dir      string   // absolute; empty: that of the first file
	Project  string   // its name; empty: the file's, else the folder's
	EnvFile  string   // absolute; empty: .env in Dir, if there is one
	Env      []string // name=value, for the variables in the file; they win over EnvFile
	Profiles []string
}

// Project is what the files say.
type Project struct {
	Name  string
	Dir   string
	Files []string
	// VariablesFrom is the file with the variables; empty: there is none.
	VariablesFrom string
	// Unset are the variables that the files name and that have no value.
	Unset []string

	all   *types.Project // with the services of every profile
	texts []text
}

// Service is one service of a project.
type Service struct {
	Name      string
	Image     string
	Builds    bool
	Scale     int
	Container string // the name that the file gives to its container
	Hash      string // of its configuration, as the Compose command in Go makes it; empty: not known
}

// usualNames are where the command looks when it is told no file.
func usualNames() []string {
	return []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
}

// silence keeps the library's warnings, which go to stderr by themselves, from the screen. Those that
// matter are found out here.
var silence = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) }) //nolint:gochecknoglobals // it guards what is global in the library

// Load reads the files of a project.
func Load(ctx context.Context, s Source) (*Project, error) {
	silence()
	if err := s.locate(); err != nil {
		return nil, err
	}
	p := &Project{Dir: s.Dir, Files: s.Files, VariablesFrom: s.EnvFile}
	for _, f := range s.Files {
		t, err := read(f)
		if err != nil {
			return nil, err
		}
		p.texts = append(p.texts, t)
	}
	unset := map[string]bool{}
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(s.Dir), cli.WithEnv(s.Env),
		cli.WithResolvedPaths(true), cli.WithLoadOptions(noting(unset))}
	if s.EnvFile != "" {
		options = append(options, cli.WithEnvFiles(s.EnvFile), cli.WithDotEnv)
	}
	options = append(options, cli.WithDefaultProfiles(s.Profiles...)) // AFTER the variables, which may name some
	if s.Project != "" {
		options = append(options, cli.WithName(s.Project))
	}
	o, err := cli.NewProjectOptions(s.Files, options...)
	if err != nil {
		return nil, p.explain(err)
	}
	if p.all, err = o.LoadProject(ctx); err != nil {
		return nil, p.explain(err)
	}
	p.Name = p.all.Name
	for name := range unset {
		p.Unset = append(p.Unset, name)
	}
	sort.Strings(p.Unset)
	return p, nil
}

// noting remembers the variables that have no value and no default, which the command replaces by nothing.
func noting(unset map[string]bool) func(*loader.Options) {
	return func(o *loader.Options) {
		if o.Interpolate == nil {
			return
		}
		o.Interpolate.Substitute = func(text string, values template.Mapping) (string, error) {
			return template.SubstituteWithOptions(text, func(name string) (string, bool) {
				v, ok := values(name)
				if !ok && bare(text, name) {
					unset[name] = true
				}
				return v, ok
			}, template.WithoutLogging)
		}
	}
}

// bare: the variable stands there without a word on what holds when it has no value.
func bare(text, name string) bool {
	return strings.Contains(text, "${"+name+"}") || strings.Contains(text, "$"+name)
}

// locate finds the files and the folder.
func (s *Source) locate() error {
	if len(s.Files) == 0 {
		for _, name := range usualNames() {
			if _, err := os.Stat(filepath.Join(s.Dir, name)); err == nil {
				s.Files = []string{filepath.Join(s.Dir, name)}
				break
			}
		}
		if len(s.Files) == 0 {
			return fmt.Errorf("there is no Compose file in %s (%s); say where it is by file", s.Dir, strings.Join(usualNames(), ", "))
		}
	}
	if s.Dir == "" {
		s.Dir = filepath.Dir(s.Files[0])
	}
	if s.EnvFile == "" {
		if _, err := os.Stat(filepath.Join(s.Dir, ".env")); err == nil {
			s.EnvFile = filepath.Join(s.Dir, ".env")
		}
	} else if _, err := os.Stat(s.EnvFile); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s, which env_file names", s.EnvFile)
	}
	return nil
}

// Chosen are the services that a command about these names acts on: those named with what they depend on, or
// all whose profile is active.
func (p *Project) Chosen(names []string, dependencies bool) ([]Service, error) {
	if err := p.known(names); err != nil {
		return nil, err
	}
	project, err := p.all, error(nil)
	if len(names) > 0 {
		how := types.IgnoreDependencies
		if dependencies {
			how = types.IncludeDependencies
		}
		if project, err = p.all.WithServicesEnabled(names...); err == nil {
			project, err = project.WithSelectedServices(names, how)
		}
	}
	if err != nil {
		return nil, p.explain(err)
	}
	out := make([]Service, 0, len(project.Services))
	for _, name := range project.ServiceNames() {
		out = append(out, service(project.Services[name]))
	}
	return out, nil
}

func service(s types.ServiceConfig) Service {
	out := Service{Name: s.Name, Image: s.Image, Builds: s.Build != nil, Scale: s.GetScale(), Container: s.ContainerName}
	out.Hash = hash(s)
	return out
}

// known refuses a name that no service has, in any profile.
func (p *Project) known(names []string) error {
	all := append(p.all.ServiceNames(), p.all.DisabledServiceNames()...)
	sort.Strings(all)
	for _, name := range names {
		if slices.Contains(all, name) {
			continue
		}
		t, line := p.texts[0], 0
		for _, candidate := range p.texts {
			if n, ok := candidate.line([]string{"services"}); ok {
				t, line = candidate, n
			}
		}
		message := fmt.Sprintf("there is no service %s; there are %s", name, strings.Join(all, ", "))
		return t.at(line, message)
	}
	return nil
}

// Volumes are the volumes that belong to the project, by their names on the engine.
func (p *Project) Volumes() []string {
	var out []string
	for _, v := range p.all.Volumes {
		if !v.External {
			out = append(out, v.Name)
		}
	}
	sort.Strings(out)
	return out
}

// External are the networks and volumes that must be there BEFORE the project is brought up.
func (p *Project) External() (networks, volumes []string) {
	for _, n := range p.all.Networks {
		if n.External {
			networks = append(networks, n.Name)
		}
	}
	for _, v := range p.all.Volumes {
		if v.External {
			volumes = append(volumes, v.Name)
		}
	}
	sort.Strings(networks)
	sort.Strings(volumes)
	return networks, volumes
}

// Has says whether the files know a service, in any profile.
func (p *Project) Has(service string) bool {
	return slices.Contains(p.all.ServiceNames(), service) || slices.Contains(p.all.DisabledServiceNames(), service)
}
