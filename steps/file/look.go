package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

// readCap is how much text a result keeps.
const readCap = 1 << 20

type (
	statParams struct {
		Stat steps.Path `param:"stat" need:"yes" doc:"The path."`
	}
	checksumParams struct {
		Checksum steps.Path `param:"checksum" need:"yes" doc:"The file."`
	}
	readParams struct {
		Read steps.Path `param:"read" need:"yes" doc:"The file."`
	}
)

func (p *statParams) preview(context.Context, site) (engine.Impact, error) {
	return engine.Impact{Standing: engine.StandingWould, Would: "look at " + string(p.Stat)}, nil
}

func (p *statParams) read(_ context.Context, s site) (engine.Record, error) {
	path, err := s.path(p.Stat)
	if err != nil {
		return nil, err
	}
	r := engine.Record{"path": path, "exists": false, "type": "absent", "size": nil, "mode": nil, "uid": nil, "gid": nil,
		"modified": nil, "age": nil, "link": nil, "free": nil, "used_percent": nil}
	if link, err := s.Readlink(path); err == nil {
		r["link"] = link
	}
	info, err := s.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	r["exists"], r["type"] = true, "other"
	switch {
	case info.IsDir():
		r["type"], folder = "folder", path
	case info.Mode().IsRegular():
		r["type"], r["size"] = "file", info.Size()
	}
	uid, gid := disk.Owner(info)
	r["mode"], r["uid"], r["gid"] = fmt.Sprintf("%04o", info.Mode().Perm()), int64(uid), int64(gid)
	r["modified"], r["age"] = info.ModTime(), s.env.Now().Sub(info.ModTime())
	// Of a file that a link leads to, the file system is that of the file.
	if real, err := s.Real(folder); err == nil && r["link"] == nil {
		folder = real
	} else if real, err := s.Real(path); err == nil && !info.IsDir() {
		folder = filepath.Dir(real)
	}
	free, err := s.Free(folder)
	if err != nil {
		return nil, err
	}
	used, err := s.Used(folder)
	if err != nil {
		return nil, err
	}
	r["free"], r["used_percent"] = free, used
	return r, nil
}

func (p *checksumParams) preview(_ context.Context, s site) (engine.Impact, error) {
	return s.previewRead("checksum", p.Checksum)
}

func (p *readParams) preview(_ context.Context, s site) (engine.Impact, error) {
	return s.previewRead("read", p.Read)
}

func (s site) previewRead(word string, p steps.Path) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Would: word + " " + string(p)}
	path, err := s.path(p)
	if err != nil {
		return i, err
	}
	info, err := s.Stat(path)
	if err != nil {
		return i, err
	}
	i.Facts = []engine.Fact{{Name: path, Value: size(info.Size())}}
	return i, nil
}

func (p *checksumParams) read(ctx context.Context, s site) (engine.Record, error) {
	path, err := s.path(p.Checksum)
	if err != nil {
		return nil, err
	}
	// Beside the file itself, not beside a link such as latest, stands what proves it.
	real, err := s.Real(path)
	if err != nil {
		return nil, err
	}
	f, err := s.Open(real)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum, err := sum(newMeter(ctx, s.env, f.Info().Size()), f)
	if err != nil {
		return nil, err
	}
	claims, err := proof.Claims(s.Reader, real)
	if err != nil {
		return nil, err
	}
	proven, why := proof.Agree(claims, sum, f.Info().Size())
	return engine.Record{"path": path, "size": f.Info().Size(), "sha256": sum, "proven": proven, "proof": why,
		"dump": s.dumpOf(real), "modified": f.Info().ModTime()}, nil
}

// dumpOf is what the manifest beside a file says of a dump. One that is broken says nothing; that it is broken
// stands in the proof.
func (s site) dumpOf(path string) engine.Value {
	m, err := proof.Read(s.Reader, path)
	if err != nil || m.Dump == nil {
		return nil
	}
	r := engine.Record{"made": m.Made.At, "database": nil, "databases": engine.List{}, "server": m.Dump.Server, "rows": m.Dump.Rows}
	if m.Dump.Database != "" {
		r["database"] = m.Dump.Database
	}
	for _, name := range m.Dump.Databases {
		r["databases"] = append(r["databases"].(engine.List), name)
	}
	tables := make(engine.List, len(m.Dump.Tables))
	for i, t := range m.Dump.Tables {
		tables[i] = engine.Record{"name": t.Name, "rows": t.Rows}
	}
	r["tables"] = tables
	return r
}

func (p *readParams) read(_ context.Context, s site) (engine.Record, error) {
	path, err := s.path(p.Read)
	if err != nil {
		return nil, err
	}
	text, err := s.Slurp(path, readCap)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s is not text in UTF-8", path)
	}
	h := sha256.Sum256(text)
	return engine.Record{"path": path, "text": string(text), "size": int64(len(text)), "sha256": hex.EncodeToString(h[:])}, nil
}
