// Package proof is what stands beside a backup and says whether it is whole: a checksum file in the form of
// sha256sum (NAME.sha256), a [Manifest] (NAME.manifest.json), or both.
//
// It guarantees that a backup is called proven only when something stands beside it and all of that agrees
// with the file. It only reads; who makes a backup writes its manifest, durable BEFORE the backup has its name.
package proof

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// The names of what proves a backup, beside it.
const (
	SumSuffix      = ".sha256"
	ManifestSuffix = ".manifest.json"
)

// most bounds what is read of a checksum file or manifest.
const most = 16 << 20

// Names are the names of all that may stand beside a file.
func Names(path string) []string { return []string{path + SumSuffix, path + ManifestSuffix} }

// Is says whether a name is that of a checksum file or manifest.
func Is(name string) bool {
	return strings.HasSuffix(name, SumSuffix) || strings.HasSuffix(name, ManifestSuffix)
}

// Claim is what a checksum file or manifest says of the file that it stands beside.
type Claim struct {
	By     string // its base name
	Sum    string
	Size   int64  // -1: it says none
	Broken string // why it says nothing; empty: it does
}

// Claims reads what is said about a file. None is no error.
func Claims(r disk.Reader, path string) ([]Claim, error) {
	var all []Claim
	for i, name := range Names(path) {
		text, err := r.Slurp(name, most)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		c := Claim{By: filepath.Base(name), Size: -1}
		if i == 0 {
			c.readSum(text, filepath.Base(path))
		} else {
			c.readManifest(text)
		}
		all = append(all, c)
	}
	return all, nil
}

// readSum reads the form of sha256sum: the sum, and the name that it is of, or the sum alone.
func (c *Claim) readSum(text []byte, base string) {
	for line := range strings.Lines(string(text)) {
		sum, name, named := strings.Cut(strings.TrimSpace(line), " ")
		name = strings.TrimPrefix(strings.TrimSpace(name), "*")
		if isSum(sum) && (!named || filepath.Base(name) == base) {
			c.Sum = strings.ToLower(sum)
			return
		}
	}
	c.Broken = "holds no checksum of " + base
}

// readManifest reads a record with at least sha256, and perhaps size: it may be one of another program.
func (c *Claim) readManifest(text []byte) {
	sum, size, err := sumOfManifest(text)
	if err != nil {
		c.Broken = err.Error()
		return
	}
	c.Sum = sum
	if size != nil {
		c.Size = *size
	}
}

func isSum(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32
}

// Agree says whether there are claims and all are true of a file of this sum and size.
func Agree(claims []Claim, sum string, bytes int64) (proven bool, why string) {
	if len(claims) == 0 {
		return false, "there is no checksum file or manifest beside it"
	}
	var by []string
	for _, c := range claims {
		switch {
		case c.Broken != "":
			return false, c.By + " " + c.Broken
		case c.Size >= 0 && c.Size != bytes:
			return false, fmt.Sprintf("%s says %d bytes, and it has %d", c.By, c.Size, bytes)
		case c.Sum != sum:
			return false, fmt.Sprintf("%s says %s…, and it has %s…", c.By, c.Sum[:12], sum[:12])
		}
		by = append(by, c.By)
	}
	return true, strings.Join(by, " and ") + " agrees"
}
