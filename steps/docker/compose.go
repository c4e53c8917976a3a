package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker/compose"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// composePrefix is how the labels begin by which Compose knows its containers again.
const composePrefix = "com.docker.compose."

const (
	labelProject = composePrefix + "project"
	labelService = composePrefix + "service"
	labelOneOff  = composePrefix + "oneoff"
	labelHash    = composePrefix + "config-hash"
)

// What compose does with a project.
const (
	composeUp      = "up"
	composeDown    = "down"
	composeStart   = "start"
	composeStop    = "stop"
	composeRestart = "restart"
)

type composeParams struct {
	Compose   string                  `param:"compose" enum:"up,down,start,stop,restart" need:"yes" doc:"What to do with the project."`
	File      steps.Texts             `param:"file" doc:"The Compose file, or several, of which later ones override. Without it compose.yaml, compose.yml, docker-compose.yml or docker-compose.yaml in the folder."`
	Dir       steps.Path              `param:"dir" doc:"The project's folder. Without it that of the first file, else that of the playbook."`
	Project   string                  `param:"project" doc:"The project's name. Without it the one in the file, else the folder's."`
	Services  steps.Texts             `param:"services" doc:"Only these services; up takes in those that they depend on. Not for down."`
	Profiles  []string                `param:"profiles" doc:"Profiles whose services take part."`
	EnvFile   steps.Path              `param:"env_file" doc:"Variables for the file. Without it .env in the project's folder, if there is one."`
	Env       map[string]engine.Value `param:"env" doc:"Variables for the file, which win over env_file. Secrets may stand here. Of Handrail's own environment the file sees PATH, HOME, LANG, TZ, USER and TMPDIR only."`
	Healthy   time.Duration           `param:"healthy" doc:"How long all of it may take to become healthy, or to run steadily where there is no health check."`
	Grace     *time.Duration          `param:"grace" doc:"How long each container may take to end by itself before it is killed."`
	Recreate  string                  `param:"recreate" enum:"changed,always,never" default:"changed" doc:"Of up: which containers are made anew."`
	Build     bool                    `param:"build" default:"false" doc:"Of up: images with a build section are built; otherwise they must be there."`
	Orphans   string                  `param:"orphans" enum:"keep,remove" default:"keep" doc:"Of up and down: what becomes of containers of the project that belong to no service of the file any more."`
	Volumes   bool                    `param:"volumes" default:"false" doc:"Of down: the volumes of the project are removed, too, with what is in them."`
	KillAfter *time.Duration          `param:"kill_after" default:"30s" doc:"When the step is cut short the command is asked to end (SIGTERM), and ended this long after (SIGKILL)."`
}

func defineCompose() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "compose", Key: "compose", Class: engine.ClassIdempotent, Risk: engine.RiskIrreversible, Prepares: true,
		Doc: "Brings a Compose project up or down, or starts, stops or restarts its services, by the Compose command of this machine " +
			"(docker compose, else docker-compose), and proves it by the containers. The command outlives a crash; it is waited for then.",
		Params: steps.Params[composeParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "project", Shape: text, Doc: "The project's name."},
			engine.Field{Name: "changed", Shape: engine.ListOf(text), Doc: "The containers that were made, started, stopped or removed."},
			engine.Field{Name: "containers", Shape: engine.ListOf(containerShape()), Doc: "Those of the project, or of the services that were named, as they are afterwards, by name."}),
		Example: "{id: up, docker: {compose: up, file: /srv/app/compose.yaml, services: [api], healthy: 60s}}",
		Judge:   engine.ByParams(judgeCompose),
	}
}

func judgeCompose(params engine.Record) engine.Judgement {
	j := engine.Judgement{Risk: engine.RiskIrreversible, Problems: checkCompose(params)}
	volumes, given := params["volumes"]
	switch params["compose"] {
	case composeUp, composeStart, composeStop, composeRestart:
		j.Risk = engine.RiskChanges
	case composeDown:
		if !given || volumes == false {
			j.Risk = engine.RiskDestroys
		}
	}
	return j
}

// composeOnly are parameters that mean something to some verbs only.
var composeOnly = map[string][]string{
	"services": {composeUp, composeStart, composeStop, composeRestart}, "healthy": {composeUp, composeStart, composeRestart},
	"grace":    {composeUp, composeDown, composeStop, composeRestart},
	"recreate": {composeUp}, "build": {composeUp}, "orphans": {composeUp, composeDown}, "volumes": {composeDown},
}

func checkCompose(params engine.Record) []engine.Problem {
	out := checkEnv("env", params["env"])
	verb, known := params["compose"].(string)
	for _, name := range engine.Keys(params) {
		if verbs, limited := composeOnly[name]; limited && known && !slices.Contains(verbs, verb) {
			out = append(out, engine.Problem{Path: name, Message: fmt.Sprintf("goes with %s, not with %s", strings.Join(verbs, ", "), verb)})
		}
	}
	for _, name := range []string{"grace", "healthy", "kill_after"} {
		d, isTime := durationOf(params[name])
		if isTime && (d < 0 || d == 0 && name == "healthy") {
			out = append(out, engine.Problem{Path: name, Message: "must be longer than 0s; leave it out to not wait"})
		}
	}
	if s, ok := params["project"].(string); ok && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "_") {
		out = append(out, engine.Problem{Path: "project", Message: fmt.Sprintf("%q is not the name of a project: small letters and digits, and _ - after the first", s)})
	}
	return append(out, checkEach(params, "services", checkService)...)
}

func checkService(s string) error {
	if message := badName("service", s); message != "" {
		return errors.New(message)
	}
	return nil
}

type composing struct {
	composeParams
	yard *host.Yard
}

func (k *Kind) decodeCompose(params engine.Record) (steps.Operation, error) {
	op := composing{yard: &k.yard}
	if err := steps.Bind(params, &op.composeParams); err != nil {
		return nil, err
	}
	return op, first(checkCompose(params))
}

// passedToCompose are the variables of Handrail's environment that the command gets.
func passedToCompose() []string {
	return []string{"PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR", "DOCKER_CONFIG"}
}

// variables are all that the file and the command see, sorted.
func (op composing) variables() []string {
	all := map[string]engine.Value{}
	for _, name := range passedToCompose() {
		if v, ok := os.LookupEnv(name); ok {
			all[name] = v
		}
	}
	for name, v := range op.Env {
		all[name] = v
	}
	return environ(all)
}

func (op composing) source(env *steps.Env) (compose.Source, error) {
	s := compose.Source{Project: op.Project, Profiles: op.Profiles, Env: op.variables()}
	base, err := filepath.Abs(env.Dir)
	if err != nil {
		return s, fmt.Errorf("the folder of the playbook: %w", err)
	}
	from := func(p steps.Path) string {
		if filepath.IsAbs(string(p)) {
			return filepath.Clean(string(p))
		}
		return filepath.Join(base, string(p))
	}
	for _, f := range op.File {
		s.Files = append(s.Files, from(steps.Path(f)))
	}
	if op.Dir != "" || len(op.File) == 0 {
		s.Dir = from(op.Dir)
	}
	if op.EnvFile != "" {
		s.EnvFile = from(op.EnvFile)
	}
	return s, nil
}

// stack is a project as the files and the engine say.
type stack struct {
	project  *compose.Project
	services []compose.Service
	// containers are those of the services that the step is about; orphans belong to no service of the file.
	containers, orphans []shown
}

// of are the containers of a service.
func (s stack) of(service string) []shown {
	var out []shown
	for _, c := range s.containers {
		if c.labels[labelService] == service {
			out = append(out, c)
		}
	}
	return out
}

func (s stack) names() string {
	var out []string
	for _, c := range s.services {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

// load reads the files, and looks at what there is of the project. mistake is one in the files.
func (op composing) load(ctx context.Context, c *connection, env *steps.Env) (s stack, mistake, err error) {
	source, err := op.source(env)
	if err != nil {
		return s, nil, err
	}
	if s.project, err = compose.Load(ctx, source); err != nil {
		return s, err, nil
	}
	if s.services, err = s.project.Chosen(op.Services, op.Compose == composeUp); err != nil {
		return s, err, nil
	}
	return s, nil, op.look(ctx, c, &s)
}

// look takes in the containers of the project.
func (op composing) look(ctx context.Context, c *connection, s *stack) error {
	all, err := c.ContainerList(ctx, apicontainer.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelProject+"="+s.project.Name))})
	if err != nil {
		return fmt.Errorf("look for the containers of project %s: %w", s.project.Name, c.explain(ctx, err))
	}
	s.containers, s.orphans = nil, nil
	for _, e := range all {
		if strings.EqualFold(e.Labels[labelOneOff], "true") {
			continue
		}
		one, found, err := c.look(ctx, e.ID)
		if err != nil {
			return err
		}
		named := slices.ContainsFunc(s.services, func(v compose.Service) bool { return v.Name == one.labels[labelService] })
		switch {
		case !found:
		case named || op.Compose == composeDown:
			s.containers = append(s.containers, one)
		case !s.project.Has(one.labels[labelService]):
			s.orphans = append(s.orphans, one)
		}
	}
	sort.Slice(s.containers, func(i, j int) bool { return s.containers[i].name < s.containers[j].name })
	return nil
}

// seen is how the containers are, for the journal.
func (s stack) seen() prior {
	p := prior{was: map[string]seen{}}
	for _, c := range s.containers {
		p.was[c.name] = seen{name: c.name, id: c.id, state: c.state, started: c.started}
	}
	return p
}

// changedSince names the containers that are not as they were.
func (s stack) changedSince(p prior) []string {
	var out []string
	now := map[string]bool{}
	for _, c := range s.containers {
		now[c.name] = true
		was, known := p.was[c.name]
		if !known || was.id != c.id || was.state != c.state || c.started.After(was.started) {
			out = append(out, c.name)
		}
	}
	for name := range p.was {
		if !now[name] {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}
