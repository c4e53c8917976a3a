package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/compose-spec/compose-go/v2/types"
)

// hash is the digest of a service's configuration that the Compose command in Go puts into the label
// com.docker.compose.config-hash: without what says how to build, pull and scale. Commands of other versions
// may make another of the same configuration; so equal hashes prove that nothing has changed, and different
// ones prove nothing.
func hash(s types.ServiceConfig) string {
	s.Build, s.PullPolicy, s.Scale, s.DependsOn, s.Profiles = nil, "", nil, nil, nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.Replicas = nil
		s.Deploy = &d
	}
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
