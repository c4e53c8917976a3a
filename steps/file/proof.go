package file

import (
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

// proven reads a file and says whether what stands beside it proves it. Where nothing stands beside it, or
// that is broken, the file is not read.
func (s site) proven(m *meter, path string) (bool, string, error) {
	claims, err := proof.Claims(s.Reader, path)
	if err != nil {
		return false, "", err
	}
	for _, c := range claims {
		if c.Broken != "" {
			return false, c.By + " " + c.Broken, nil
		}
	}
	if len(claims) == 0 {
		_, why := proof.Agree(nil, "", 0)
		return false, why, nil
	}
	f, err := s.Open(path)
	if err != nil {
		return false, "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, c := range claims {
		if c.Size >= 0 && c.Size != f.Info().Size() {
			ok, why := proof.Agree(claims, c.Sum, f.Info().Size())
			return ok, why, nil
		}
	}
	sum, err := sum(m, f)
	if err != nil {
		return false, "", err
	}
	ok, why := proof.Agree(claims, sum, f.Info().Size())
	return ok, why, nil
}

func size(n int64) string { return disk.Size(n) }
