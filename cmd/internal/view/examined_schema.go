package view

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// ExaminedSchema is the JSON Schema of what ExaminedJSON writes. It is made from the same types.
func ExaminedSchema() ([]byte, error) {
	r := jsonschema.Reflector{ExpandedStruct: true, Anonymous: true}
	s := r.Reflect(Examined{})
	s.Version, s.Title = jsonschema.Version, "What handrail doctor -o json says"
	if v, ok := s.Properties.Get("version"); ok {
		v.Const = ExaminedVersion // another form has another number
	}
	return json.MarshalIndent(s, "", "  ")
}
