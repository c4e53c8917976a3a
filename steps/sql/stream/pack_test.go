package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// text is n bytes that look like a dump.
func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "(%d,'COR-%06d',%d),\n", i, i*7, i*i)
	}
	return b.Bytes()[:n]
}

func packedText(t *testing.T, how string, want []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := Pack(&out, how)
	if err != nil {
		t.Fatal(err)
	}
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 70_001)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsPackedCanBeReadByTheToolOfThatName(t *testing.T) {
	for _, how := range []string{Zstd, Gzip, Plain} {
		for _, n := range []int{0, 1, member, member + 1, 5*member + 17} {
			want := text(n)
			b := packedText(t, how, want)
			r, err := Unpack(bytes.NewReader(b))
			if err != nil && n > 0 {
				t.Fatalf("%s of %d: %v", how, n, err)
			}
			if n > 0 {
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s of %d: %d bytes came back, %v", how, n, len(got), err)
				}
				_ = r.Close()
			}
			if how == Plain || n == 0 && how == Zstd {
				continue
			}
			cmd := exec.Command(how, "-dc")
			cmd.Stdin = bytes.NewReader(b)
			if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the program %s reads %d of %d bytes: %v", how, len(got), n, err)
			}
		}
	}
}

// TestWhatIsCutShortIsNotReadToAnEnd: at many places, and at each of the last ones.
func TestWhatIsCutShortIsNotReadToAnEnd(t *testing.T) {
	for _, how := range []string{Zstd, Gzip} {
		b := packedText(t, how, text(2000))
		for cut := 5; cut < len(b); cut += 1 + min(20, len(b)-cut-1)/2 {
			r, err := Unpack(bytes.NewReader(b[:cut]))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close()
			}
			if err == nil {
				t.Fatalf("%s cut at %d of %d is read to an end", how, cut, len(b))
			}
		}
	}
}

type full struct{ room int }

var errFull = errors.New("no room")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAWriterThatFailsEndsThePacking(t *testing.T) {
	for _, how := range []string{Zstd, Gzip, Plain} {
		w, err := Pack(&full{100}, how)
		if err != nil {
			t.Fatal(err)
		}
		chunk := text(100_000)
		for range 500 {
			if _, err = w.Write(chunk); err != nil {
				break
			}
		}
		if end := w.Close(); how != Plain && !errors.Is(errors.Join(err, end), errFull) {
			t.Errorf("%s: %v, %v", how, err, end)
		}
	}
	if _, err := Pack(io.Discard, "rar"); err == nil {
		t.Error("packed by nobody knows what")
	}
	for name, want := range map[string]string{"a.sql.zst": Zstd, "A.SQL.GZ": Gzip, "a.sql": Plain} {
		if got := ByName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, err := Unpack(strings.NewReader("")); err != nil {
		t.Errorf("an empty text: %v", err)
	}
}
