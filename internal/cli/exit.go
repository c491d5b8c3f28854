package cli

import (
	"strings"

	"chancery/internal/ra"
)

// The exit codes. They are stable: scripts decide by them.
const (
	codeOK       = 0
	codeInternal = 1
	codeUsage    = 2 // a wrong call; with apply --diff: there are differences
	codeNotFound = 3
	codeDenied   = 4
	codeInvalid  = 5
	codeConflict = 6
	codeNoAnswer = 7
	codeRefused  = 8
	codeFindings = 9 // doctor, authority test, authority guard, template test, audit verify
)

const exitHelp = `Exit codes:
  0  done                          5  something in the input is not right
  1  an error inside Chancery      6  it is not possible as things stand
  2  a wrong call, or differences  7  no answer, or busy
  3  there is no such thing        8  the authority refused
  4  not allowed, or no token      9  a check or test found something`

// codes is the exit code of every kind of error.
var codes = map[ra.Kind]int{
	ra.NotFound:    codeNotFound,
	ra.Denied:      codeDenied,
	ra.Unsigned:    codeDenied,
	ra.Invalid:     codeInvalid,
	ra.RefusedByCA: codeRefused,
	ra.Unreachable: codeNoAnswer,
	ra.Conflict:    codeConflict,
	ra.TooLarge:    codeInvalid,
	ra.Busy:        codeNoAnswer,
	ra.Internal:    codeInternal,
}

func codeOf(err error) int {
	e := ra.AsError(err)
	if _, ok := e.Err.(*usageError); ok {
		return codeUsage
	}
	return codes[e.Kind]
}

// usageError marks an error as a wrong call.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }

// usage makes a sentence of what the flag library says.
func usage(err error) error {
	if codeOf(err) == codeUsage {
		return err
	}
	text, more, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if text != "" {
		text = strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
	}
	remedy := "Add --help to see what is possible."
	if _, near, ok := strings.Cut(more, "Did you mean this?"); ok {
		remedy = "Did you mean " + strings.Join(strings.Fields(near), " or ") + "?"
	}
	return ra.Errorf(ra.Invalid, "%s", text).WithRemedy("%s", remedy).WithCause(&usageError{err})
}

// wrongCall is a call that says too little or too much.
func wrongCall(message, remedy string) error {
	e := ra.Errorf(ra.Invalid, "%s", message).WithRemedy("%s", remedy)
	e.Err = &usageError{e}
	return e
}

// exit ends the program with a code and without a word.
type exit struct{ code int }

func (*exit) Error() string { return "" }
