package docker

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Kind is the step kind docker.
type Kind struct{}

var (
	_ steps.Kind      = (*Kind)(nil)
	_ steps.Connector = (*Kind)(nil)
)

// New makes the kind.
func New() *Kind { return &Kind{} }

type settings struct {
	Host string `param:"host" doc:"Where the engine listens: unix:///path or tcp://address:port. Without it DOCKER_HOST holds, else unix:///var/run/docker.sock."`
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	operations := []engine.Operation{defineInspect(), defineLogs()}
	operations = append(append(operations, defineChanges()...), defineRun(), definePull(), defineCopy(), defineExec())
	return engine.Kind{
		Name: "docker",
		Doc:  "Acts on the containers of a Docker engine.",
		Targets: []engine.TargetType{{
			Name: "docker", Doc: "A Docker engine.", Settings: steps.Params[settings](),
			Example: "{host: unix:///var/run/docker.sock}",
		}},
		Operations: operations,
	}
}

// Decode makes an operation of its parameters.
func (*Kind) Decode(operation string, params engine.Record) (steps.Operation, error) {
	switch operation {
	case "inspect":
		return decodeInspect(params)
	case "logs":
		return decodeLogs(params)
	case "start":
		return decodeChange(verbStart, params)
	case "stop":
		return decodeChange(verbStop, params)
	case "restart":
		return decodeChange(verbRestart, params)
	case "kill":
		return decodeChange(verbKill, params)
	case "remove":
		return decodeChange(verbRemove, params)
	case "run":
		return decodeRun(params)
	case "pull":
		return decodePull(params)
	case "copy":
		return decodeCopy(params)
	case "exec":
		return decodeExec(params)
	}
	return nil, fmt.Errorf("docker has no operation %s", operation)
}
