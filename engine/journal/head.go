package journal

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// The hash chain shows that nothing in a journal was changed. It cannot show that lines were cut off its
// end, nor that somebody has written the whole of it anew. A signed head can: a note that says how many
// lines there were and with which hash they ended, signed with a key that the other one has not got.
//
// The head lies beside the journal and follows it: it is written anew each time that something was
// synced, AFTER it, so that it never speaks of lines that may be lost. A copy that is kept elsewhere, of
// whatever age, still proves that the journal begins with what it had then.

// headFile has the signed head of a journal, headTitle is its first line.
const (
	headFile  = "head.note"
	headTitle = "handrail journal head"
)

// Head says where a journal stood.
type Head struct {
	Run   string
	Lines int
	Hash  string
	// Signers are the names of the keys that have signed it; Verified: the signature was checked.
	Signers  []string
	Verified bool
}

func (h Head) text() string {
	return fmt.Sprintf("%s\n%s\n%d\n%s\n", headTitle, h.Run, h.Lines, h.Hash)
}

// ReadHead reads a signed head. Without a key it says what the note says, unverified.
func ReadHead(b []byte, key note.Verifier) (Head, error) {
	known := note.VerifierList()
	if key != nil {
		known = note.VerifierList(key)
	}
	n, err := note.Open(b, known)
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		n = unverified.Note
	case err != nil:
		return Head{}, fmt.Errorf("it is not a signed head: %w", err)
	}
	var h Head
	lines := strings.Split(n.Text, "\n")
	if len(lines) == 5 && lines[0] == headTitle {
		h.Run, h.Hash = lines[1], lines[3]
		_, err = fmt.Sscan(lines[2], &h.Lines)
	}
	if h.Run == "" || err != nil && unverified == nil || h.text() != n.Text {
		return Head{}, errors.New("it is signed, and is not the head of a journal")
	}
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		h.Signers = append(h.Signers, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	h.Verified = len(n.Sigs) > 0
	if key != nil && !h.Verified {
		return h, fmt.Errorf("it is signed by %s, and the key given is %s+%08x", strings.Join(h.Signers, ", "), key.Name(), key.KeyHash())
	}
	return h, nil
}

// PublicKey gives the key that checks what a private key has signed, both in the form of sumdb/note.
func PublicKey(private string) (string, error) {
	s, err := note.NewSigner(private)
	if err != nil {
		return "", err
	}
	parts := strings.SplitN(private, "+", 5) // PRIVATE+KEY+name+hash+seed; the seed may have a + too
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("it is not an Ed25519 key")
	}
	public, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(s.Name(), public)
}

// Keys sign the heads of journals, and check them when a journal is opened.
type Keys struct {
	Signer   note.Signer
	Verifier note.Verifier
}

// SignWith has the heads of the journals that are opened from now on signed.
func (s *Store) SignWith(k Keys) { s.keys = k }

// Head reads the signed head of a run; an error for which errors.Is(err, fs.ErrNotExist): it has none.
func (s *Store) Head(id string) ([]byte, error) {
	d, err := s.existing(id)
	if err != nil {
		return nil, err
	}
	return readFile(d, inRun(id, headFile), 1<<16)
}

// sign writes the head of what is on the medium now. Either this head or the one before it is found after
// a power failure; both are true.
func (j *Journal) sign() error {
	if j.keys.Signer == nil || j.at.n == j.signed {
		return nil
	}
	h := Head{Run: j.id, Lines: j.at.n, Hash: j.at.head}
	b, err := note.Sign(&note.Note{Text: h.text()}, j.keys.Signer)
	if err != nil {
		return err
	}
	temp := inRun(j.id, headFile+".new")
	if err := j.disk.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(j.disk, temp, b); err != nil {
		return err
	}
	if err := j.disk.Rename(temp, inRun(j.id, headFile)); err != nil {
		return err
	}
	j.signed = j.at.n
	return nil
}

// signedHead is what a journal that is being opened must begin with; zero: there is no head.
func (j *Journal) signedHead() (Head, error) {
	b, err := readFile(j.disk, inRun(j.id, headFile), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	var h Head
	if err == nil {
		h, err = ReadHead(b, j.keys.Verifier)
	}
	if err == nil && h.Run != j.id {
		err = fmt.Errorf("it is that of run %s", h.Run)
	}
	if err != nil {
		return h, &Fault{Doing: "trust the signed head", Path: j.path[:len(j.path)-len(journalFile)] + headFile, Err: err,
			Remedy: "see what it is worth with: handrail audit " + j.id + " --key KEY"}
	}
	return h, nil
}

// against holds what was read against a head: the error says what is missing.
func (r *Reader) against(h Head) error {
	switch {
	case h.Lines == 0:
		return nil
	case h.Lines > r.at.n:
		return r.fault(fmt.Errorf("its signed head says that it had %d lines, and it has %d: lines were cut off its end", h.Lines, r.at.n))
	case h.Hash != r.watched:
		return r.fault(fmt.Errorf("line %d is not the one that was signed: the journal was written anew", h.Lines))
	}
	return nil
}

// VerifyAgainst checks every line and event, and that the journal begins with what a head says of it.
func (r *Reader) VerifyAgainst(run string, h Head) (Report, error) {
	if h.Lines > 0 && h.Run != run {
		return Report{}, r.fault(fmt.Errorf("the head is that of run %s", h.Run))
	}
	r.watch = h.Lines
	rep, err := r.Verify()
	if err != nil {
		return rep, err
	}
	return rep, r.against(h)
}

// ReadKeys reads the private key in a file, which nobody else may be able to read.
func ReadKeys(path string) (Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Keys{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Keys{}, fmt.Errorf("others can read the key %s; type: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, err
	}
	private := strings.TrimSpace(string(b))
	signer, err := note.NewSigner(private)
	if err != nil {
		return Keys{}, fmt.Errorf("%s holds no signing key; make one with: handrail key FILE", path)
	}
	public, err := PublicKey(private)
	if err != nil {
		return Keys{}, fmt.Errorf("%s: %w", path, err)
	}
	verifier, err := note.NewVerifier(public)
	return Keys{signer, verifier}, err
}
