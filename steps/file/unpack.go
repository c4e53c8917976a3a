package file

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is how much memory the decompressor may be made to use; zstd --ultra needs this much.
	maxWindow = 128 << 20
	// maxEntries bounds the names that are held while an archive is read.
	maxEntries = 5_000_000
	// maxAfterEnd is how much may follow the end mark of a tar; tar pads to a block.
	maxAfterEnd = 16 << 20
)

// member is one entry of an archive that was found harmless.
type member struct {
	name     string
	kind     memberKind
	size     int64
	mode     fs.FileMode
	uid, gid int
	at       time.Time
	link     string // of a symbolic link, what it says; of a hard link, the name of the file
}

type memberKind int

const (
	memberFolder memberKind = iota + 1
	memberFile
	memberSymlink
	memberLink
)

// hostile is why an archive is refused.
func hostile(name, format string, args ...any) error {
	return fmt.Errorf("the archive is refused: its entry %q %s", name, fmt.Sprintf(format, args...))
}

// unpack reads an archive from its start to the end of its file. visit gets each member, and the content of
// files. All that an archive can do to harm is refused here, so that every reading refuses alike. The sum is
// that of the archive as it was read.
func unpack(m *meter, from io.Reader, most int64, visit func(member, io.Reader) error) (sum string, err error) {
	h := sha256.New()
	raw := bufio.NewReaderSize(io.TeeReader(m.reader(from), h), chunk)
	plain, done, err := decompress(raw)
	if err != nil {
		return "", err
	}
	defer done()
	t, c := tar.NewReader(plain), newCensor(most)
	for {
		if err := m.stop(); err != nil {
			return "", err
		}
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("the archive cannot be read: %w", err)
		}
		one, skip, err := c.pass(header)
		if err != nil {
			return "", err
		}
		if skip {
			continue
		}
		if err := visit(one, t); err != nil {
			return "", err
		}
	}
	// What is behind the end mark belongs to the file and to its sum, and only at the end of the stream does a
	// decompressor compare its own checksum.
	n, err := io.Copy(io.Discard, io.LimitReader(plain, maxAfterEnd+1))
	if err != nil {
		return "", fmt.Errorf("the archive cannot be read: %w", err)
	}
	if n > maxAfterEnd {
		return "", fmt.Errorf("the archive is refused: there is more than %s behind its end", size(maxAfterEnd))
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return "", err
	}
	return hexOf(h), nil
}

// decompress tells the format by its first bytes, whatever the name says.
func decompress(raw *bufio.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	head, err := raw.Peek(262)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nothing, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, nothing, fmt.Errorf("the archive cannot be read: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(raw, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nothing, fmt.Errorf("the archive cannot be read: %w", err)
		}
		return z, z.Close, nil
	case len(head) == 262 && string(head[257:262]) == "ustar":
		return raw, nothing, nil
	}
	return nil, nothing, errors.New("it is not an archive that extract knows: tar, tar.gz or tar.zst")
}

// censor refuses what must not be unpacked.
type censor struct {
	seen    map[string]memberKind // implied folders too
	implied map[string]bool
	total   int64
	most    int64
}

func newCensor(most int64) *censor {
	return &censor{seen: map[string]memberKind{}, implied: map[string]bool{}, most: most}
}

// pass makes a member of a header, or refuses it. skip: it is nothing that is unpacked.
func (c *censor) pass(h *tar.Header) (one member, skip bool, err error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return one, true, nil
	}
	name, err := insideName(h.Name)
	if err != nil {
		return one, false, err
	}
	if name == "." && h.Typeflag == tar.TypeDir {
		return one, true, nil
	}
	one = member{name: name, size: h.Size, mode: fs.FileMode(h.Mode).Perm(), uid: h.Uid, gid: h.Gid, at: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		one.kind = memberFile
	case tar.TypeDir:
		one.kind, one.size = memberFolder, 0
	case tar.TypeSymlink:
		one.kind, one.size, one.link, one.mode = memberSymlink, 0, h.Linkname, fs.ModeSymlink
		if err := staysInside(name, h.Linkname); err != nil {
			return one, false, hostile(h.Name, "%v", err)
		}
	case tar.TypeLink:
		one.kind, one.size = memberLink, 0
		if one.link, err = insideName(h.Linkname); err != nil {
			return one, false, hostile(h.Name, "is a hard link out of the folder, to %q", h.Linkname)
		}
		if c.seen[one.link] != memberFile {
			return one, false, hostile(h.Name, "is a hard link to %q, which is no file before it in the archive", h.Linkname)
		}
	case tar.TypeChar, tar.TypeBlock:
		return one, false, hostile(h.Name, "is a device")
	case tar.TypeFifo:
		return one, false, hostile(h.Name, "is a pipe")
	default:
		return one, false, hostile(h.Name, "is of the unknown type %q", h.Typeflag)
	}
	if one.size < 0 || one.size > c.most-c.total {
		return one, false, hostile(h.Name, "has %s, and all together may have %s unpacked; if that is meant, raise max_size", size(one.size), size(c.most))
	}
	c.total += one.size
	return one, false, c.enter(h.Name, one)
}

// enter takes the name, and those of the folders above it.
func (c *censor) enter(shown string, one member) error {
	for at := path.Dir(one.name); at != "."; at = path.Dir(at) {
		kind, ok := c.seen[at]
		if ok && kind != memberFolder {
			return hostile(shown, "leads through %q, which is no folder", at)
		}
		if ok {
			break
		}
		c.seen[at], c.implied[at] = memberFolder, true
	}
	if _, taken := c.seen[one.name]; taken && (one.kind != memberFolder || !c.implied[one.name]) {
		return hostile(shown, "is there twice")
	}
	delete(c.implied, one.name)
	c.seen[one.name] = one.kind
	if len(c.seen) > maxEntries {
		return fmt.Errorf("the archive is refused: it has more than %d entries", maxEntries)
	}
	return nil
}

// insideName is a name in an archive as a clean relative path. It refuses one that could lead elsewhere,
// even if it would come back.
func insideName(name string) (string, error) {
	switch {
	case name == "", strings.ContainsRune(name, 0):
		return "", hostile(name, "has no usable name")
	case path.IsAbs(name):
		return "", hostile(name, "has an absolute name")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", hostile(name, "leads out of its folder")
		}
	}
	return path.Clean(name), nil
}

// staysInside refuses a symbolic link at a name that could lead out of the folder. A `..` behind a name is
// refused as well: where that leads is known only when all other links are.
func staysInside(name, target string) error {
	if target == "" || strings.ContainsRune(target, 0) {
		return errors.New("is a symbolic link to nothing")
	}
	if path.IsAbs(target) {
		return fmt.Errorf("is a symbolic link to the absolute name %q", target)
	}
	depth, named := strings.Count(name, "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 || named {
				return fmt.Errorf("is a symbolic link that may lead out of the folder, to %q", target)
			}
		default:
			named = true
		}
	}
	return nil
}
