package docker

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type copySpec struct {
	From    string `param:"from" need:"yes" doc:"What is copied: a path here, or container:/path. Exactly one of from and to is in a container."`
	To      string `param:"to" need:"yes" doc:"Where to, in the same form. A path that ends with / is the folder that the file goes into."`
	Archive bool   `param:"archive" default:"false" doc:"The side here is a tar archive of what is in the container: of a file, or of a folder with all that is in it. To a container, to names the folder in which it is unpacked."`
	Owner   string `param:"owner" doc:"Who owns the file in the container, as uid:gid; root if not given."`
}

type copyParams struct {
	Copy copySpec `param:"copy" need:"yes" doc:"What to copy, and where to."`
}

func defineCopy() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "copy", Key: "copy", Class: engine.ClassIdempotent, Risk: engine.RiskDestroys,
		Doc: "Copies a file into or out of a container, which need not run. A file that is copied here appears under its name " +
			"only when it is complete and on the disk.",
		Params: steps.Params[copyParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "to", Shape: text, Doc: "Where the copy is."},
			engine.Field{Name: "bytes", Shape: engine.Of(engine.TypeInteger), Doc: "How many bytes the file, or the archive, has."},
			engine.Field{Name: "sha256", Shape: text, Doc: "The SHA-256 of the file, or of the archive, in hexadecimal."}),
		Example: "{id: keep, docker: {copy: {from: \"redis-1:/data/dump.rdb\", to: backup/dump.rdb}}}",
		Judge:   judge(checkCopy, engine.RiskDestroys),
	}
}

// place is one side of a copy.
type place struct {
	container string // empty: here
	path      string
}

// parsePlace reads container:/path. A path here that has a colon in it begins with ./ or /.
func parsePlace(s string) place {
	name, p, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, ".") {
		return place{path: s}
	}
	return place{name, p}
}

func (p place) String() string {
	if p.container == "" {
		return p.path
	}
	return p.container + ":" + p.path
}

func checkCopy(params engine.Record) []engine.Problem {
	spec := part(params, "copy")
	var out []engine.Problem
	sides := map[string]place{}
	for _, name := range []string{"from", "to"} {
		s, ok := spec[name].(string)
		if !ok {
			continue
		}
		p := parsePlace(s)
		sides[name] = p
		switch {
		case p.container == "" && p.path == "":
			out = append(out, engine.Problem{Path: name, Message: "is empty"})
		case p.container != "" && !strings.HasPrefix(p.path, "/"):
			out = append(out, engine.Problem{Path: name, Message: fmt.Sprintf("%q: a path in a container begins with /", s)})
		case p.container != "":
			if bad := badName("container", p.container); bad != "" {
				out = append(out, engine.Problem{Path: name, Message: bad})
			}
		}
	}
	if len(sides) == 2 && (sides["from"].container == "") == (sides["to"].container == "") {
		out = append(out, engine.Problem{Path: "to", Message: "exactly one of from and to is in a container, written container:/path"})
	}
	if s, ok := spec["owner"].(string); ok {
		if _, _, err := parseOwner(s); err != nil {
			out = append(out, engine.Problem{Path: "owner", Message: err.Error()})
		} else if to, known := sides["to"]; known && to.container == "" {
			out = append(out, engine.Problem{Path: "owner", Message: "is for files that go into a container"})
		} else if spec["archive"] == true {
			out = append(out, engine.Problem{Path: "owner", Message: "an archive says itself who owns its files"})
		}
	}
	return within("copy", out)
}

func parseOwner(s string) (uid, gid int, err error) {
	u, g, ok := strings.Cut(s, ":")
	uid, errU := strconv.Atoi(u)
	gid, errG := strconv.Atoi(g)
	if !ok || errU != nil || errG != nil || uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("%q is not uid:gid, such as 999:999", s)
	}
	return uid, gid, nil
}

type copying struct {
	copySpec
	from, to place
}

func decodeCopy(params engine.Record) (steps.Operation, error) {
	var p copyParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	return copying{p.Copy, parsePlace(p.Copy.From), parsePlace(p.Copy.To)}, first(checkCopy(params))
}

// inside is the side that is in a container.
func (op copying) inside() place {
	if op.from.container != "" {
		return op.from
	}
	return op.to
}

// here makes a path of this machine absolute; one that ends with / is a folder, for a file of that name.
func (op copying) here(env *steps.Env) string {
	p := op.from.path
	if op.to.container == "" {
		p = op.to.path
		if strings.HasSuffix(p, "/") {
			p = filepath.Join(p, path.Base(op.from.path))
		}
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(env.Dir, p)
	}
	return p
}

// there is the full path of a file that goes into a container.
func (op copying) there() string {
	if strings.HasSuffix(op.to.path, "/") {
		return path.Join(op.to.path, filepath.Base(op.from.path))
	}
	return path.Clean(op.to.path)
}

func (op copying) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("copy a file: %w", errRefused))
	}
	c, all, err := lookAll(ctx, env, []string{op.inside().container})
	if err != nil {
		return failure(err)
	}
	if gone := absent(all); len(gone) > 0 {
		return engine.Failure(noContainer(gone))
	}
	if op.to.container == "" {
		return op.fetch(ctx, c, env, all[0])
	}
	return op.send(ctx, c, env, all[0])
}

func (op copying) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	_, all, err := lookAll(ctx, env, []string{op.inside().container})
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{
		Standing: engine.StandingWould, Risk: engine.RiskChanges, Would: fmt.Sprintf("copy %s to %s", op.from, op.to),
		Facts: []engine.Fact{all[0].fact(env.Now())},
	}
	local := op.here(env)
	info, err := os.Stat(local)
	switch {
	case op.to.container == "" && err == nil:
		i.Risk = engine.RiskDestroys
		i.Warnings = append(i.Warnings, local+" is there and would be replaced")
	case op.from.container == "" && err != nil:
		i.Standing = engine.StandingUnknown
		i.Why = fmt.Sprintf("%v: unless a step before makes it, this step fails and changes nothing", err)
		i.Warnings = append(i.Warnings, err.Error())
	case op.from.container == "" && info.IsDir():
		i.Warnings = append(i.Warnings, isFolder(local).Error())
	case op.from.container == "":
		i.Risk = engine.RiskDestroys
		i.Facts = append(i.Facts, engine.Fact{Name: local, Value: fmt.Sprintf("%d bytes", info.Size())})
		i.Figures = []engine.Figure{{Name: "bytes", Value: info.Size(), Certainty: engine.FigureExact}}
	}
	if gone := absent(all); len(gone) > 0 {
		i.Standing, i.Why = engine.StandingUnknown, noContainer(gone).Error()+": unless a step before makes it, this step fails and changes nothing"
		i.Warnings = append(i.Warnings, noContainer(gone).Error())
	}
	return i, nil
}

func isFolder(p string) error {
	return fmt.Errorf("%s is a folder; copy takes one file, or a tar archive with archive: true", p)
}
