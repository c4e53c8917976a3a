package docker

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// counted passes bytes on, counts and digests them, and shows how far it has come.
type counted struct {
	from  io.Reader
	sum   hash.Hash
	n     int64
	total int64
	env   *steps.Env
}

func newCounted(from io.Reader, total int64, env *steps.Env) *counted {
	return &counted{from: from, sum: sha256.New(), total: total, env: env}
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	c.env.Progress(c.n, c.total, "bytes")
	return n, err
}

func (c *counted) result(to string) engine.Record {
	return engine.Record{"to": to, "bytes": c.n, "sha256": hex.EncodeToString(c.sum.Sum(nil))}
}

// fetch copies out of a container. The file appears under its name only when it is whole.
func (op copying) fetch(ctx context.Context, c *connection, env *steps.Env, s shown) engine.Outcome {
	body, stat, err := c.CopyFromContainer(ctx, s.id, op.from.path)
	if err != nil {
		return failure(fmt.Errorf("copy %s: %w", op.from, c.explain(ctx, err)))
	}
	defer body.Close()
	local := op.here(env)
	var from *counted
	if op.Archive {
		from = newCounted(body, 0, env)
	} else {
		file, err := onlyFile(body, op.from.String())
		if err != nil {
			return failure(c.fetchError(ctx, op.from, err))
		}
		from = newCounted(file, stat.Size, env)
	}
	replaced, err := publish(local, from)
	if err != nil {
		o := failure(c.fetchError(ctx, op.from, err))
		if replaced {
			o.Effect = engine.EffectStands
		}
		return o
	}
	return engine.Outcome{Result: from.result(local)}
}

func (c *connection) fetchError(ctx context.Context, from place, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("copy %s: %w", from, err)
}

// onlyFile is the one file in the archive that the engine sends for a path.
func onlyFile(body io.Reader, name string) (io.Reader, error) {
	archive := tar.NewReader(body)
	h, err := archive.Next()
	switch {
	case err != nil:
		return nil, err
	case h.Typeflag == tar.TypeDir:
		return nil, isFolder(name)
	case h.Typeflag == tar.TypeSymlink:
		return nil, fmt.Errorf("it is a symbolic link to %s; name that", h.Linkname)
	case h.Typeflag != tar.TypeReg:
		return nil, errors.New("it is not a regular file")
	}
	return archive, nil
}

// publish writes a file beside its place, syncs it, and renames it. replaced says whether the name
// was given to it.
func publish(name string, from io.Reader) (replaced bool, err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*.part")
	if err != nil {
		return false, err
	}
	defer func() {
		_ = f.Close()
		if !replaced {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, from); err != nil {
		return false, err
	}
	// Durable BEFORE it gets its name, and the name BEFORE the step says that it is done.
	if err := f.Sync(); err != nil {
		return false, err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return false, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return true, err
	}
	defer d.Close()
	return true, d.Sync()
}

// send copies into a container, and looks afterwards whether the file has come to its full size.
func (op copying) send(ctx context.Context, c *connection, env *steps.Env, s shown) engine.Outcome {
	local := op.here(env)
	f, err := os.Open(local)
	if err != nil {
		return engine.Failure(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return engine.Failure(err)
	case !info.Mode().IsRegular():
		return engine.Failure(isFolder(local))
	}
	from := newCounted(f, info.Size(), env)
	if op.Archive {
		return op.unpack(ctx, c, s, from)
	}
	to := op.there()
	folder, err := c.ContainerStatPath(ctx, s.id, path.Dir(to))
	switch {
	case notFound(err):
		return engine.Failure(fmt.Errorf("copy to %s: there is no folder %s in the container", op.to, path.Dir(to)))
	case err != nil:
		return failure(fmt.Errorf("copy to %s: %w", op.to, c.explain(ctx, err)))
	case !folder.Mode.IsDir() && folder.LinkTarget == "":
		return engine.Failure(fmt.Errorf("copy to %s: %s is not a folder", op.to, path.Dir(to)))
	}
	err = c.upload(ctx, s, path.Dir(to), func(w io.Writer) error { return op.pack(w, to, from, info) })
	if err != nil {
		o := failure(fmt.Errorf("copy to %s: %w", op.to, c.explain(ctx, err)))
		o.Effect = engine.EffectUnknown // it is written in place there
		if errors.Is(err, errRefused) {
			o.Effect = engine.EffectNone
		}
		return o
	}
	return op.provenSent(ctx, c, s, to, info.Size(), from)
}

// upload sends what pack writes, as an archive that the engine unpacks in a folder of the container.
// When it returns, nobody reads for it any more.
func (c *connection) upload(ctx context.Context, s shown, folder string, pack func(io.Writer) error) error {
	packed, to := io.Pipe()
	done := make(chan struct{})
	go func() { // it ends when packed is closed, at the latest
		defer close(done)
		to.CloseWithError(pack(to))
	}()
	err := c.CopyToContainer(ctx, s.id, folder, packed, apicontainer.CopyToContainerOptions{})
	_ = packed.Close()
	<-done
	return err
}

// pack writes the archive of one file.
func (op copying) pack(to io.Writer, name string, from io.Reader, info os.FileInfo) error {
	uid, gid := 0, 0
	if op.Owner != "" {
		var err error
		if uid, gid, err = parseOwner(op.Owner); err != nil {
			return err
		}
	}
	archive := tar.NewWriter(to)
	err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Base(name), Size: info.Size(),
		Mode: int64(info.Mode().Perm()), Uid: uid, Gid: gid, ModTime: info.ModTime().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if _, err := io.Copy(archive, from); err != nil {
		return err
	}
	return archive.Close()
}

func (op copying) provenSent(ctx context.Context, c *connection, s shown, to string, size int64, from *counted) engine.Outcome {
	stat, err := c.ContainerStatPath(ctx, s.id, to)
	switch {
	case err != nil:
		return engine.Outcome{Err: fmt.Sprintf("copy to %s: it was sent, but cannot be looked at: %v", op.to, c.explain(ctx, err)), Effect: engine.EffectUnknown}
	case stat.Size != size:
		return engine.Outcome{Err: fmt.Sprintf("copy to %s: it has %d bytes there, and %d here", op.to, stat.Size, size), Effect: engine.EffectStands}
	}
	return engine.Outcome{Result: from.result(op.to.container + ":" + to)}
}

// unpack sends an archive, which the engine unpacks.
func (op copying) unpack(ctx context.Context, c *connection, s shown, from *counted) engine.Outcome {
	err := c.upload(ctx, s, op.to.path, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
	switch {
	case notFound(err):
		return engine.Failure(fmt.Errorf("copy to %s: there is no such folder in the container", op.to))
	case err != nil:
		o := failure(fmt.Errorf("copy to %s: %w", op.to, c.explain(ctx, err)))
		o.Effect = engine.EffectUnknown
		return o
	}
	// The engine may stop reading at the end of the archive: what is left belongs to the digest.
	if _, err := io.Copy(io.Discard, from); err != nil {
		return engine.Outcome{Err: fmt.Sprintf("copy to %s: %v", op.to, err), Effect: engine.EffectStands}
	}
	return engine.Outcome{Result: from.result(op.to.String())}
}
