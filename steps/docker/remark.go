package docker

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// remarks are what is known to go wrong with images that are named correctly.
func remarks(params engine.Record) []engine.Remark {
	var out []engine.Remark
	look := func(path string, v engine.Value) {
		if name, ok := v.(string); ok && floats(name) {
			out = append(out, engine.Remark{Rule: engine.RuleUntagged, Path: path,
				Message: fmt.Sprintf("image %s is another one tomorrow; name its version, or its digest", name)})
		}
	}
	look("run.image", part(params, "run")["image"])
	switch pull := params["pull"].(type) {
	case engine.List:
		for i, v := range pull {
			look(fmt.Sprintf("pull[%d]", i), v)
		}
	default:
		look("pull", pull)
	}
	return out
}

// floats: the name stands for whatever is newest.
func floats(image string) bool {
	if strings.Contains(image, "@") {
		return false
	}
	_, last, found := strings.Cut(image, "/")
	for found {
		image = last
		_, last, found = strings.Cut(image, "/")
	}
	_, tag, tagged := strings.Cut(image, ":")
	return !tagged || tag == "latest"
}
