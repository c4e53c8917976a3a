package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/handrail-dev/handrail/engine"
)

// scarce is less room than any backup needs.
const scarce = 16 << 20

// Lacks says what keeps a file from being made in a folder: that it is not there, or that there is no room.
func Lacks(folder string) []engine.Lack {
	var r Reader
	info, err := r.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []engine.Lack{{What: "the folder " + folder + " does not exist", Remedy: "make it, or mount what should be there"}}
	case err != nil:
		return []engine.Lack{{What: err.Error(), Lasting: true}}
	case !info.IsDir():
		return []engine.Lack{{What: folder + " is not a folder", Lasting: true}}
	}
	if free, err := r.Free(folder); err == nil && free < scarce {
		return []engine.Lack{{What: fmt.Sprintf("only %s are free in %s", Size(free), folder), Remedy: "make room there", Lasting: true}}
	}
	return nil
}
