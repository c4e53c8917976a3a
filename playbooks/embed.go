// Package playbooks holds the playbooks that are shipped inside the binary. It holds nothing else: a
// playbook of the same name that is found on disk takes the place of a shipped one.
package playbooks

import "embed"

// Files are the playbooks, each as NAME.yaml.
//
//go:embed *.yaml
var Files embed.FS
