package file

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

// The names of what proves a backup, beside it.
const (
	sumSuffix      = ".sha256"
	manifestSuffix = ".manifest.json"
)

// proofCap bounds what is read of a checksum file or manifest.
const proofCap = 16 << 20

func proofNames(path string) []string { return []string{path + sumSuffix, path + manifestSuffix} }

func isProof(name string) bool {
	return strings.HasSuffix(name, sumSuffix) || strings.HasSuffix(name, manifestSuffix)
}

// claim is what a checksum file or manifest says of the file that it stands beside.
type claim struct {
	by     string // its base name
	sum    string
	size   int64 // -1: it says none
	broken string
}

// claims reads what is said about a file. None is no error.
func (s site) claims(path string) ([]claim, error) {
	var all []claim
	for i, name := range proofNames(path) {
		text, err := s.slurp(name, proofCap)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		c := claim{by: filepath.Base(name), size: -1}
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
func (c *claim) readSum(text []byte, base string) {
	for line := range strings.Lines(string(text)) {
		sum, name, named := strings.Cut(strings.TrimSpace(line), " ")
		name = strings.TrimPrefix(strings.TrimSpace(name), "*")
		if isSum(sum) && (!named || filepath.Base(name) == base) {
			c.sum = strings.ToLower(sum)
			return
		}
	}
	c.broken = "holds no checksum of " + base
}

// readManifest reads a record with at least sha256, and perhaps size.
func (c *claim) readManifest(text []byte) {
	var m struct {
		SHA256 string `json:"sha256"`
		Size   *int64 `json:"size"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		c.broken = "is not a manifest: " + err.Error()
		return
	}
	if !isSum(m.SHA256) {
		c.broken = "holds no sha256"
		return
	}
	c.sum = strings.ToLower(m.SHA256)
	if m.Size != nil {
		c.size = *m.Size
	}
}

func isSum(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32
}

// agree says whether there are claims and all are true of a file of this sum and size.
func agree(claims []claim, sum string, bytes int64) (proven bool, why string) {
	if len(claims) == 0 {
		return false, "there is no checksum file or manifest beside it"
	}
	var by []string
	for _, c := range claims {
		switch {
		case c.broken != "":
			return false, c.by + " " + c.broken
		case c.size >= 0 && c.size != bytes:
			return false, fmt.Sprintf("%s says %d bytes, and it has %d", c.by, c.size, bytes)
		case c.sum != sum:
			return false, fmt.Sprintf("%s says %s…, and it has %s…", c.by, c.sum[:12], sum[:12])
		}
		by = append(by, c.by)
	}
	return true, strings.Join(by, " and ") + " agrees"
}

// proven reads a file and says whether what stands beside it proves it. Where nothing stands beside it, or
// that is broken, the file is not read.
func (s site) proven(m *meter, path string) (bool, string, error) {
	claims, err := s.claims(path)
	if err != nil {
		return false, "", err
	}
	for _, c := range claims {
		if c.broken != "" {
			return false, c.by + " " + c.broken, nil
		}
	}
	if len(claims) == 0 {
		_, why := agree(nil, "", 0)
		return false, why, nil
	}
	f, err := s.Open(path)
	if err != nil {
		return false, "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, c := range claims {
		if c.size >= 0 && c.size != f.Info().Size() {
			ok, why := agree(claims, c.sum, f.Info().Size())
			return ok, why, nil
		}
	}
	sum, err := sum(m, f)
	if err != nil {
		return false, "", err
	}
	ok, why := agree(claims, sum, f.Info().Size())
	return ok, why, nil
}

// slurp reads all of a small file.
func (s site) slurp(path string, most int64) ([]byte, error) {
	f, err := s.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s has %s; at most %s are read", path, size(max(f.Info().Size(), most+1)), size(most))
	}
	return text, f.Unchanged()
}
