package scepproxy

import (
	"errors"
	"net/http"

	"chancery/internal/door/scepin"
	"chancery/internal/pass"
	"chancery/internal/ra"
)

// httpError is an answer before there was anything of a pass to refuse.
type httpError = scepin.Error

// verdict is what a device hears.
type verdict struct {
	status int
	text   string
}

// verdicts is the whole table from the gate's reasons to HTTP. A refusal is
// never a CertRep: devices take only one that is signed by the CA, whose key is
// not here (docs/decisions/0007-scep-proxy.md). The sentences name no server and
// no reason that only the administrator is to know.
var verdicts = map[pass.Reason]verdict{
	pass.Malformed:      {http.StatusBadRequest, "The message cannot be read."},
	pass.BadType:        {http.StatusBadRequest, "Messages of this type are not passed on."},
	pass.BadAlgorithm:   {http.StatusBadRequest, "The message uses algorithms that are not accepted."},
	pass.BadKey:         {http.StatusBadRequest, "The message is signed with a key that is not accepted."},
	pass.Unknown:        {http.StatusForbidden, "This address does not enrol."},
	pass.Used:           {http.StatusForbidden, "This address does not enrol any more."},
	pass.Void:           {http.StatusForbidden, "This address does not enrol any more."},
	pass.Foreign:        {http.StatusForbidden, "This address belongs to another enrolment."},
	pass.TooOften:       {http.StatusForbidden, "This address does not enrol any more."},
	pass.Expired:        {http.StatusGone, "This address has expired."},
	pass.StaleChallenge: {http.StatusGone, "The challenge has expired; new settings are needed."},
	pass.StaleCA:        {http.StatusConflict, "The message is for a certificate the server no longer uses. Fetch the CA certificates again."},
	pass.Away:           {http.StatusServiceUnavailable, "Enrolment does not work at the moment. Try again later."},
	pass.InFlight:       {http.StatusServiceUnavailable, "Another message is under way. Try again later."},
}

// kinds is the table from kinds of errors to HTTP, for what is not refused but
// cannot be done.
var kinds = map[ra.Kind]verdict{
	ra.NotFound:    {http.StatusForbidden, "This address does not enrol."},
	ra.Denied:      {http.StatusForbidden, "This address does not enrol."},
	ra.Unsigned:    {http.StatusForbidden, "This address does not enrol."},
	ra.Invalid:     {http.StatusBadRequest, "The message cannot be read."},
	ra.RefusedByCA: {http.StatusBadGateway, "The enrolment server gave no usable answer."},
	ra.Conflict:    {http.StatusForbidden, "This address does not enrol at the moment."},
	ra.TooLarge:    {http.StatusRequestEntityTooLarge, "The message is too large."},
	ra.Unreachable: {http.StatusServiceUnavailable, "Enrolment does not work at the moment. Try again later."},
	ra.Busy:        {http.StatusServiceUnavailable, "Enrolment does not work at the moment. Try again later."},
	ra.Internal:    {http.StatusServiceUnavailable, "Enrolment does not work at the moment. Try again later."},
}

// refusal turns an error into what the device gets.
func (x *visit) refusal(err error) answer {
	var v verdict
	var own *httpError
	var refused *pass.Refusal
	result := "refused"
	switch {
	case errors.As(err, &own):
		v = verdict{own.Status, own.Text}
	case errors.As(err, &refused):
		v = verdicts[refused.Reason]
		result = string(refused.Reason)
	default:
		v = kinds[ra.KindOf(err)]
		result = "error"
		x.Log.Warn("SCEP proxy cannot answer", "pass", x.ticket.Pass, "authority", x.authority, "operation", x.operation, "remote", x.remote, "error", err)
	}
	if refused != nil {
		x.Log.Info("SCEP proxy refuses", "pass", x.ticket.Pass, "authority", x.authority, "operation", x.operation, "remote", x.remote, "reason", refused.Reason,
			"error", refused.Err.Message, "remedy", refused.Err.Remedy)
	}
	return answer{status: v.status, media: "text/plain; charset=utf-8", body: []byte(v.text + "\n"), result: result}
}
