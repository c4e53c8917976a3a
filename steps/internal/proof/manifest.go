package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// format is the version of what is written. A later one adds fields, or gets a number of its own.
const format = 1

// Manifest says what a backup is, in JSON.
type Manifest struct {
	Format int    `json:"handrail"`
	File   string `json:"file"` // its base name when it was made
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Made   Made   `json:"made"`
	Dump   *Dump  `json:"dump,omitempty"`
}

// Made says when and by what.
type Made struct {
	At  time.Time `json:"at"`
	Run string    `json:"run"`
	// By is the digest of the step's token: a later attempt of the step knows its own work by it.
	By string `json:"by"`
}

// Dump is what there is to say of a backup that is SQL text.
type Dump struct {
	System    string   `json:"system"` // mysql or postgres: whose SQL it is
	Server    string   `json:"server"` // the version of the server that it was taken from
	Tool      string   `json:"tool"`   // the program that made it, with its version
	Compress  string   `json:"compress"`
	Snapshot  string   `json:"snapshot"` // how it came to be of one moment: transaction, lock or none
	Database  string   `json:"database,omitempty"`
	Databases []string `json:"databases,omitempty"` // when it holds whole databases by name
	Whole     bool     `json:"whole,omitempty"`     // all that Database held, not some of its tables
	Size      int64    `json:"size"`                // bytes of the text
	Longest   int64    `json:"longest"`             // bytes of its longest statement
	Rows      int64    `json:"rows"`
	Tables    []Table  `json:"tables"`
}

// Table is one table of a dump, in the order of the dump.
type Table struct {
	Name string `json:"name"` // with its database where the dump holds databases
	Rows int64  `json:"rows"`
}

// Encode is a manifest as it stands in its file.
func (m Manifest) Encode() ([]byte, error) {
	m.Format = format
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// ErrNone: there is no manifest beside a file.
var ErrNone = errors.New("there is no manifest beside it")

// Read reads the manifest beside a file, and refuses one that could not have been written by [Manifest.Encode].
func Read(r disk.Reader, path string) (Manifest, error) {
	var m Manifest
	name := filepath.Base(path) + ManifestSuffix
	text, err := r.Slurp(path+ManifestSuffix, most)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, fmt.Errorf("%w (%s)", ErrNone, name)
	case err != nil:
		return m, err
	}
	if _, _, err := sumOfManifest(text); err != nil {
		return m, fmt.Errorf("%s %w", name, err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s is not a manifest: %w", name, err)
	}
	switch {
	case m.Format == 0:
		return m, fmt.Errorf("%s was not written by Handrail", name)
	case m.Format > format:
		return m, fmt.Errorf("%s was written by a newer Handrail (format %d, this one knows %d)", name, m.Format, format)
	}
	m.SHA256 = strings.ToLower(m.SHA256)
	return m, nil
}

// sumOfManifest takes from any manifest what proves the file.
func sumOfManifest(text []byte) (sum string, size *int64, err error) {
	var m struct {
		SHA256 string `json:"sha256"`
		Size   *int64 `json:"size"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", nil, fmt.Errorf("is not a manifest: %w", err)
	}
	if !isSum(m.SHA256) {
		return "", nil, errors.New("holds no sha256")
	}
	return strings.ToLower(m.SHA256), m.Size, nil
}
