package setting

import (
	"errors"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"chancery/internal/ra"
)

// input reads the files that flags, variables and configuration name.
type input struct {
	stdin io.Reader
	taken bool // standard input has been read
}

// read gives the content of the file at path for x. One line break at the end,
// as editors leave it, does not belong to a value of one line.
func (in *input) read(x *field, path string) (string, error) {
	raw, err := in.bytes(path)
	if err != nil {
		if _, ok := errors.AsType[*ra.Error](err); ok {
			return "", err
		}
		return "", ra.Errorf(ra.Invalid, "%s cannot be read from the file %s.", x.Label, printable(path)).
			WithRemedy("Check that the file exists and that this account may read it.").WithCause(err)
	}
	if len(raw) > maxDocument || !utf8.Valid(raw) {
		return "", ra.Errorf(ra.Invalid, "%s must be a text file of at most %d KiB.", x.Label, maxDocument>>10).WithRemedy("Name another file.")
	}
	text := strings.TrimSuffix(newlines(string(raw)), "\n")
	if text == "" {
		return "", ra.Errorf(ra.Invalid, "%s cannot be read: the file is empty.", x.Label).WithRemedy("Write the value into the file.")
	}
	if x.Type != TypeSecret {
		text += "\n"
	}
	return text, nil
}

func (in *input) bytes(path string) ([]byte, error) {
	if path == "-" {
		if in.taken || in.stdin == nil {
			return nil, ra.Errorf(ra.Invalid, "Standard input can be read for one value only.").WithRemedy("Put the other values into files.")
		}
		in.taken = true
		return io.ReadAll(io.LimitReader(in.stdin, maxDocument+1))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDocument+1))
}
