package file_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/handrail-dev/handrail/engine"
)

// tarOf is a tar of these headers; each regular file has its name as content, unless it says a size.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			content = h.Name
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close() // it complains of sizes that were not kept
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func regular(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
func folder(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func symlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
}

// Each is refused BEFORE anything is written, into a folder that is not there and into one that is, with
// harmless entries before it.
func TestHostileArchivesAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		headers []tar.Header
		want    string
	}{
		"out of the folder":              {[]tar.Header{regular("../evil")}, "leads out of its folder"},
		"out of the folder in between":   {[]tar.Header{regular("a/../../evil")}, "leads out of its folder"},
		"out and back":                   {[]tar.Header{regular("a/../b")}, "leads out of its folder"},
		"absolute":                       {[]tar.Header{regular("/tmp/evil")}, "absolute name"},
		"folder out":                     {[]tar.Header{folder("../evil/")}, "leads out of its folder"},
		"symlink out":                    {[]tar.Header{symlink("l", "../..")}, "may lead out"},
		"symlink to absolute":            {[]tar.Header{symlink("l", "/etc")}, "absolute name"},
		"symlink, then write through it": {[]tar.Header{symlink("l", "deep"), regular("l/evil")}, "leads through"},
		"symlink out by another":         {[]tar.Header{folder("x/y/d/e"), symlink("x/y/d/e/up", "../../../.."), symlink("x/y/m", "d/e/up/..")}, "may lead out"},
		"symlink deep, out by its depth": {[]tar.Header{symlink("a/b/l", "../../../x")}, "may lead out"},
		"symlink in place of a folder":   {[]tar.Header{folder("d/"), symlink("d", "x"), regular("d/evil")}, "twice"},
		"symlink, then file of its name": {[]tar.Header{symlink("l", "x"), regular("l")}, "twice"},
		"file below a file":              {[]tar.Header{regular("f"), regular("f/evil")}, "leads through"},
		"hard link out":                  {[]tar.Header{hardlink("h", "../secret")}, "hard link out"},
		"hard link to absolute":          {[]tar.Header{hardlink("h", "/etc/passwd")}, "hard link out"},
		"hard link to what is not in it": {[]tar.Header{hardlink("h", "own")}, "no file before it"},
		"hard link to a symlink":         {[]tar.Header{symlink("l", "x"), hardlink("h", "l")}, "no file before it"},
		"character device":               {[]tar.Header{{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, "device"},
		"block device":                   {[]tar.Header{{Name: "dev", Typeflag: tar.TypeBlock}}, "device"},
		"pipe":                           {[]tar.Header{{Name: "p", Typeflag: tar.TypeFifo}}, "pipe"},
		"unknown type":                   {[]tar.Header{{Name: "u", Typeflag: 'Q'}}, "unknown type"},
		"same name twice":                {[]tar.Header{regular("a"), regular("./a")}, "twice"},
		"huge":                           {[]tar.Header{{Name: "huge", Typeflag: tar.TypeReg, Size: 1 << 60}}, "raise max_size"},
	} {
		for _, there := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				packed := tarOf(t, append([]tar.Header{regular("good")}, c.headers...)...)
				write(t, dir, "x.tar.gz", string(gzipped(t, packed)), "secret", "s")
				if there {
					write(t, dir, "to/own", "own")
				}
				before := tree(t, dir)
				o := newStep(t, dir, "extract", engine.Record{"from": "x.tar.gz", "to": "to", "overwrite": true}).mustFail(c.want)
				if o.Effect != engine.EffectNone {
					t.Errorf("effect %s", o.Effect)
				}
				if now := tree(t, dir); now != before {
					t.Errorf("AFTER it there is\n%s\nbefore:\n%s", now, before)
				}
			})
		}
	}
}

// sparse is a GNU sparse file of 4 EiB in two blocks.
func sparse() []byte {
	h := make([]byte, 512)
	copy(h, "sparse")
	copy(h[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	base256 := func(at int, n uint64) {
		h[at] = 0x80
		for i := range 8 {
			h[at+11-i] = byte(n >> (8 * i))
		}
	}
	base256(386, 1<<62)
	base256(398, 0)
	base256(483, 1<<62)
	sum := 0
	copy(h[148:156], "        ")
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	return append(h, make([]byte, 1024)...)
}

func TestBombsAreRefusedByWhatTheyDeclare(t *testing.T) {
	zeros := func(n int) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: int64(n), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	behind := append(tarOf(t, regular("a")), make([]byte, 32<<20)...)
	var wide bytes.Buffer
	z, err := zstd.NewWriter(&wide, zstd.WithWindowSize(zstd.MaxWindowSize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(make([]byte, 300<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		packed []byte
		limit  engine.Value
		want   string
	}{
		"sparse":              {sparse(), nil, "raise max_size"},
		"zip bomb":            {gzipped(t, zeros(64<<20)), int64(1 << 20), "raise max_size"},
		"behind the end":      {gzipped(t, behind), nil, "behind its end"},
		"window of a monster": {wide.Bytes(), nil, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "x", string(c.packed))
			params := engine.Record{"from": "x", "to": "to"}
			if c.limit != nil {
				params["max_size"] = c.limit
			}
			newStep(t, dir, "extract", params).mustFail(c.want)
			if got := names(t, dir); got != "x" {
				t.Errorf("there is %s", got)
			}
		})
	}
}

func TestArchivesThatAreBrokenAreRefused(t *testing.T) {
	whole := gzipped(t, tarOf(t, regular("a"), regular("b")))
	for name, c := range map[string]struct{ text, want string }{
		"cut short":      {string(whole[:len(whole)-9]), "cannot be read"},
		"no archive":     {"plain text", "not an archive"},
		"empty":          {"", "not an archive"},
		"a byte flipped": {string(append(append([]byte{}, whole[:len(whole)-6]...), append([]byte{whole[len(whole)-6] ^ 1}, whole[len(whole)-5:]...)...)), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "x", c.text)
			newStep(t, dir, "extract", engine.Record{"from": "x", "to": "to"}).mustFail(c.want)
		})
	}
	t.Run("another than its checksum file says", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "x", string(whole), "x.sha256", sumOf("another")+"  x\n")
		newStep(t, dir, "extract", engine.Record{"from": "x", "to": "to"}).mustFail("x.sha256 says")
		if got := names(t, dir); got != "x x.sha256" {
			t.Errorf("there is %s", got)
		}
	})
}

func TestExtractDoesNotFollowLinksThatTheFolderHas(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.tgz", string(gzipped(t, tarOf(t, regular("l/evil")))), "to/own", "", "outside/own", "")
	if err := os.Symlink("../outside", filepath.Join(dir, "to/l")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	newStep(t, dir, "extract", engine.Record{"from": "x.tgz", "to": "to", "overwrite": true}).mustFail("stands in the way")
	if now := tree(t, dir); now != before {
		t.Errorf("AFTER it there is\n%s", now)
	}
}

func TestExtractGivesBackWhatWasPacked(t *testing.T) {
	for _, to := range []string{"b.tar.zst", "b.tar.gz"} {
		dir := t.TempDir()
		write(t, dir, "src/a", "a", "src/deep/b", "b", "src/deep/skip.tmp", "", "one", "1")
		for _, link := range [][2]string{{"deep/b", "src/l"}, {"../a", "src/deep/up"}} {
			if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, "src/deep"), 0o500); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, "src/a"), 1234, 2345); err != nil {
			t.Fatal(err)
		}
		r := newStep(t, dir, "archive", engine.Record{"from": engine.List{"src", "one"}, "to": to, "exclude": "*.tmp"}).mustDo()
		if r["count"] != int64(3) || r["content"] != int64(3) || r["size"] != int64(len(read(t, dir, to))) {
			t.Errorf("%s: %v", to, r)
		}
		newStep(t, dir, "extract", engine.Record{"from": to, "to": "back"}).mustDo()
		if err := os.Remove(filepath.Join(dir, "src/deep/skip.tmp")); err != nil {
			t.Fatal(err)
		}
		if got, want := tree(t, filepath.Join(dir, "back/src")), tree(t, filepath.Join(dir, "src")); got != want {
			t.Errorf("%s: there is\n%s\nand should be\n%s", to, got, want)
		}
		if s := newStep(t, dir, "stat", "back/src/a").mustDo(); s["uid"] != int64(1234) {
			t.Errorf("%s: its owner is %v", to, s["uid"])
		}
		if i := preview(t, dir, "extract", engine.Record{"from": to, "to": "back"}); i.Standing != engine.StandingAlready {
			t.Errorf("%s: the preview says %s %s", to, i.Standing, i.Why)
		}
	}
}

func TestExtractIntoAFolderReplacesOnlyWhenToldTo(t *testing.T) {
	dir := t.TempDir()
	packed := tarOf(t, regular("a"), regular("n/b"), hardlink("h", "a"), symlink("l", "a"))
	write(t, dir, "x.tar", string(packed), "to/a", "mine", "to/own", "own")
	params := engine.Record{"from": "x.tar", "to": "to"}
	before := tree(t, dir)
	newStep(t, dir, "extract", params).mustFail("1 files of")
	if now := tree(t, dir); now != before {
		t.Errorf("AFTER it there is\n%s", now)
	}
	params["overwrite"] = true
	if r := newStep(t, dir, "extract", params).mustDo(); r["written"] != int64(4) {
		t.Errorf("%v", r)
	}
	if got := names(t, filepath.Join(dir, "to")); got != "a h l n/b own" {
		t.Errorf("there is %s", got)
	}
	if read(t, dir, "to/a") != "a" || read(t, dir, "to/h") != "a" || read(t, dir, "to/own") != "own" {
		t.Error("the contents are others")
	}
	if r := newStep(t, dir, "extract", params).mustDo(); r["changed"] != false {
		t.Errorf("the second time: %v", r)
	}
}

func TestSetUserIDIsNeverUnpacked(t *testing.T) {
	dir := t.TempDir()
	h := regular("su")
	h.Mode = 0o4755
	write(t, dir, "x.tar", string(tarOf(t, h)))
	newStep(t, dir, "extract", engine.Record{"from": "x.tar", "to": "to"}).mustDo()
	info, err := os.Stat(filepath.Join(dir, "to/su"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	if strings.Contains(info.Mode().String(), "u") {
		t.Error("set-user-id")
	}
}
