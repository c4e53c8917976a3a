package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type pullAuth struct {
	User     string        `param:"user" need:"yes" doc:"The user at the registry."`
	Password engine.Secret `param:"password" need:"yes" doc:"The password or token."`
}

type pullParams struct {
	Pull   steps.Texts `param:"pull" need:"yes" doc:"The images, in this order."`
	Policy string      `param:"policy" enum:"always,missing" default:"always" doc:"missing: an image that is on the engine is not asked for again."`
	Auth   *pullAuth   `param:"auth" doc:"How to log in at the registry. It is sent to the engine for this pull only."`
}

func definePull() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "pull", Key: "pull", Class: engine.ClassIdempotent, Risk: engine.RiskChanges,
		Doc:    "Brings images from their registry to the engine.",
		Params: steps.Params[pullParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "changed", Shape: engine.ListOf(text), Doc: "The images that are new or newer than before."},
			engine.Field{Name: "already", Shape: engine.ListOf(text), Doc: "Those that were there as they are."},
			engine.Field{Name: "images", Doc: "All of them, in the order in which they were named.", Shape: engine.ListOf(engine.RecordOf(
				engine.Field{Name: "image", Shape: text, Doc: "As it was named."},
				engine.Field{Name: "id", Shape: text, Doc: "Its id."}))}),
		Example: "{id: fetch, docker: {pull: [\"redis:7\", \"mariadb:10.11\"], policy: missing}}",
		Judge:   judge(checkPull, engine.RiskChanges),
	}
}

func checkPull(params engine.Record) []engine.Problem {
	v := params["pull"]
	items, ok := v.(engine.List)
	if !ok {
		if s, one := v.(string); one {
			if err := checkImage(s); err != nil {
				return []engine.Problem{{Path: "pull", Message: err.Error()}}
			}
		}
		return nil
	}
	if len(items) == 0 {
		return []engine.Problem{{Path: "pull", Message: "names no image"}}
	}
	return checkEach(params, "pull", checkImage)
}

type pull struct{ pullParams }

func decodePull(params engine.Record) (steps.Operation, error) {
	var op pull
	if err := steps.Bind(params, &op.pullParams); err != nil {
		return nil, err
	}
	return op, first(checkPull(params))
}

// image gives the id of an image, if the engine has it.
func (c *connection) image(ctx context.Context, ref string) (id string, there bool, err error) {
	i, err := c.ImageInspect(ctx, ref)
	if notFound(err) {
		steps.Saw(ctx, "image "+ref, stateAbsent)
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look at image %s: %w", ref, c.explain(ctx, err))
	}
	steps.Saw(ctx, "image "+ref, "image "+brief(i.ID))
	return i.ID, true, nil
}

func (op pull) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("pull images: %w", errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	changed, already, images := engine.List{}, engine.List{}, engine.List{}
	for _, ref := range op.Pull {
		before, there, err := c.image(ctx, ref)
		if err == nil && !(there && op.Policy == pullMissing) {
			err = c.pull(ctx, env, ref, op.Auth)
		}
		now := ""
		if err == nil {
			now, there, err = c.image(ctx, ref)
		}
		if err == nil && !there {
			err = fmt.Errorf("image %s was pulled, but is not on the engine", ref)
		}
		if err != nil {
			o := failure(err)
			if len(changed) > 0 {
				o.Effect = engine.EffectStands
			}
			return o
		}
		if now == before {
			already = append(already, ref)
		} else {
			changed = append(changed, ref)
		}
		images = append(images, engine.Record{"image": ref, "id": now})
	}
	return engine.Outcome{Result: engine.Record{"changed": changed, "already": already, "images": images}}
}

func (op pull) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskChanges}
	var would []string
	for _, ref := range op.Pull {
		id, there, err := c.image(ctx, ref)
		if err != nil {
			return engine.Impact{}, err
		}
		fact := engine.Fact{Name: ref, Value: "not on the engine"}
		if there {
			fact.Value = "on the engine, " + id
		}
		i.Facts = append(i.Facts, fact)
		if !there || op.Policy != pullMissing {
			would = append(would, ref)
		}
	}
	i.Figures = []engine.Figure{{Name: "images", Value: int64(len(would)), Certainty: engine.FigureEstimate,
		Bounds: &engine.Bounds{Most: int64(len(would))}, Why: "what the registry has now is not asked in a dry-run"}}
	i.Would = "pull " + strings.Join(would, ", ")
	if len(would) == 0 {
		i.Standing, i.Would, i.Risk = engine.StandingAlready, strings.Join(op.Pull, ", ")+" already on the engine", engine.RiskReads
		i.Figures = []engine.Figure{{Name: "images", Certainty: engine.FigureExact}}
	}
	return i, nil
}

// pull brings one image. The engine does the work and tells about it line by line.
func (c *connection) pull(ctx context.Context, env *steps.Env, ref string, auth *pullAuth) error {
	var o image.PullOptions
	if auth != nil {
		encoded, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: auth.User, Password: auth.Password.Reveal()})
		if err != nil {
			return fmt.Errorf("pull image %s: the login cannot be sent", ref)
		}
		o.RegistryAuth = encoded
	}
	body, err := c.ImagePull(ctx, ref, o)
	if err != nil {
		return pullError(ref, c.explain(ctx, err))
	}
	defer body.Close()
	return c.followPull(ctx, env, ref, body)
}

func (c *connection) followPull(ctx context.Context, env *steps.Env, ref string, body io.Reader) error {
	type layer struct{ done, total int64 }
	layers := map[string]layer{}
	for lines := json.NewDecoder(body); ; {
		var m struct {
			ID, Status     string
			ProgressDetail struct{ Current, Total int64 }
			Error          string
		}
		if err := lines.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return pullError(ref, c.explain(ctx, err))
		}
		switch {
		case m.Error != "":
			return pullError(ref, errors.New(m.Error))
		case m.Status == "Downloading":
			layers[m.ID] = layer{m.ProgressDetail.Current, m.ProgressDetail.Total}
			var done, total int64
			for _, l := range layers {
				done, total = done+l.done, total+l.total
			}
			env.Progress(done, total, "bytes")
		default:
			_, _ = fmt.Fprintln(env.Output(), strings.TrimSpace(m.ID+" "+m.Status))
		}
	}
}

// pullError says what to do about the usual reasons; the engine's own words stay.
func pullError(ref string, err error) error {
	s := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(s, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(err, errRefused), errors.Is(err, errUnreachable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("pull image %s: %w", ref, err)
	case has("unauthorized", "access denied", "access to the resource is denied", "authentication required", "no basic auth"):
		return fmt.Errorf("pull image %s: the registry refuses it, or has no such image; give a login by auth: {user, password}: %w", ref, err)
	case has("manifest unknown", "not found", "not known"):
		return fmt.Errorf("pull image %s: the registry has no such image; see whether its name and tag are right: %w", ref, err)
	case has("no such host", "dial tcp", "timeout", "connection refused", "i/o timeout", "deadline exceeded", "tls handshake", "server misbehaving", "network is unreachable"):
		return fmt.Errorf("pull image %s: the engine cannot reach the registry; see its network and proxy, or bring the image by docker load: %w", ref, transient{err})
	}
	return fmt.Errorf("pull image %s: %w", ref, err)
}
