package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// Counted passes bytes on, and counts and hashes those that were taken.
type Counted struct {
	to io.Writer
	h  hash.Hash
	n  int64
}

// NewCounted passes on to a writer.
func NewCounted(to io.Writer) *Counted { return &Counted{to: to, h: sha256.New()} }

func (c *Counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

// Size is how many bytes went through.
func (c *Counted) Size() int64 { return c.n }

// SHA256 is the sum of them, in hexadecimal digits.
func (c *Counted) SHA256() string { return hex.EncodeToString(c.h.Sum(nil)) }
