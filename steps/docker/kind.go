package docker

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Kind is the step kind docker.
type Kind struct{ yard host.Yard }

var (
	_ steps.Kind      = (*Kind)(nil)
	_ steps.Connector = (*Kind)(nil)
)

// New makes the kind.
func New() *Kind { return &Kind{} }

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	operations := []engine.Operation{defineInspect(), defineLogs()}
	operations = append(append(operations, defineChanges()...), defineRun(), definePull(), defineCopy(), defineExec(), defineNetwork(), defineNetworks(), defineVolume(), defineVolumes(), defineCompose())
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
func (k *Kind) Decode(operation string, params engine.Record) (steps.Operation, error) {
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
	case "connect":
		return decodeChange(verbConnect, params)
	case "disconnect":
		return decodeChange(verbDisconnect, params)
	case "run":
		return decodeRun(params)
	case "pull":
		return decodePull(params)
	case "copy":
		return decodeCopy(params)
	case "exec":
		return decodeExec(params)
	case "network":
		return decodeNetwork(params)
	case "compose":
		return k.decodeCompose(params)
	case "networks":
		return decodeNetworks(params)
	case "volumes":
		return decodeVolumes(params)
	case "volume":
		return decodeVolume(params)
	}
	return nil, fmt.Errorf("docker has no operation %s", operation)
}
