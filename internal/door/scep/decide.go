package scep

import (
	"slices"

	"chancery/internal/ra"
	"chancery/internal/wire/scepmsg"
)

// signer is what the certificate that signed a message is to us. Only the
// signature proves anything; the certificate says whose key it is.
type signer string

// The signers. Whatever is not valid cannot renew.
const (
	selfSigned    signer = "self-signed"    // a transport certificate
	foreign       signer = "foreign"        // issued by somebody else
	unknown       signer = "unknown"        // claims to be ours, and is not in the inventory
	valid         signer = "valid"          // in use, of this template, of a device
	early         signer = "early"          // valid, but its renewal is not open yet
	closed        signer = "closed"         // valid, but the endpoint does not renew
	otherTemplate signer = "other template" // valid, of another template
	otherDevice   signer = "other device"   // of another device than the challenge
	expired       signer = "expired"
	revoked       signer = "revoked"   // or on hold
	noDevice      signer = "no device" // the server's own, or a person's
)

// challenge is what the challengePassword is to us.
type challenge string

// The challenges.
const (
	noChallenge     challenge = "absent"
	goodChallenge   challenge = "valid"
	staticChallenge challenge = "static"
	staticNobody    challenge = "static, no device" // right, but names no device of the group
	ownChallenge    challenge = "own"               // the one its certificate was asked for with
	spentChallenge  challenge = "spent"             // used, expired, or made for another endpoint
	wrongChallenge  challenge = "wrong"
	lockedChallenge challenge = "locked" // not looked at: too many wrong ones came from there
)

// history is what is known of the transaction.
type history string

// The histories.
const (
	fresh    history = "new"
	same     history = "same"      // this request by this requester is known
	otherKey history = "other key" // the transaction belongs to another key
)

// decision is what happens to a message.
type decision string

// The decisions.
const (
	refuse          decision = "refuse"
	enrol           decision = "enrol"
	enrolStatic     decision = "enrol by static challenge"
	renew           decision = "renew"
	repeat          decision = "answer what is known"
	giveCertificate decision = "give certificate"
	giveCRL         decision = "give CRL"
)

// rule allows a decision. An empty list of challenges means any.
type rule struct {
	types      []scepmsg.MessageType
	signers    []signer
	challenges []challenge
	history    history
	do         decision
}

// rules is everything SCEP clients may do. What is not here is refused:
// UpdateReq and CertRep occur nowhere, an unknown, revoked or foreign
// certificate proves nothing, and no rule uses a challenge that is not valid.
// The rules do not overlap, so their order means nothing.
var rules = []rule{
	// The same request again, under a new nonce or as a poll: the same answer.
	// It comes before all looks at the challenge, which is spent by then.
	{[]scepmsg.MessageType{scepmsg.PKCSReq}, []signer{selfSigned, foreign, valid, early, closed, otherTemplate, expired}, nil, same, repeat},
	{[]scepmsg.MessageType{scepmsg.RenewalReq}, []signer{valid, early, closed, expired}, nil, same, repeat},
	{[]scepmsg.MessageType{scepmsg.CertPoll}, []signer{selfSigned, foreign, valid, early, closed, otherTemplate, expired}, []challenge{noChallenge}, same, repeat},

	// A challenge made for a device lets that device in; its certificate, if it
	// signed with one, is only the bearer of a key then.
	{[]scepmsg.MessageType{scepmsg.PKCSReq}, []signer{selfSigned, foreign, early, closed, otherTemplate, expired}, []challenge{goodChallenge}, fresh, enrol},
	{[]scepmsg.MessageType{scepmsg.PKCSReq}, []signer{selfSigned, foreign, expired}, []challenge{staticChallenge}, fresh, enrolStatic},

	// A certificate in use renews itself. A challenge sent along must not be
	// wrong; the one it was enrolled with is what certmonger repeats for ever.
	{[]scepmsg.MessageType{scepmsg.PKCSReq, scepmsg.RenewalReq}, []signer{valid}, []challenge{noChallenge, ownChallenge, staticChallenge, goodChallenge}, fresh, renew},

	{[]scepmsg.MessageType{scepmsg.GetCert}, []signer{valid, early, closed, otherTemplate}, []challenge{noChallenge}, fresh, giveCertificate},
	{[]scepmsg.MessageType{scepmsg.GetCRL}, []signer{valid, early, closed, otherTemplate}, []challenge{noChallenge}, fresh, giveCRL},
}

// facts is what decides about a message, and what a yes needs.
type facts struct {
	kind      scepmsg.MessageType
	signer    signer
	challenge challenge
	history   history

	row    *ra.Certificate // the signer's, when the inventory has it
	ticket *ra.Challenge   // the one-time challenge, when it is good
	device *ra.Device      // whose challenge or certificate it is; nil when nobody's
	known  *ra.Request     // the request of the transaction, when the history is same
	key    string          // the idempotency key
	cause  error           // what is wrong with the challenge
}

// decide looks the facts up in the table.
func decide(f facts) decision {
	for _, r := range rules {
		if r.allows(f) {
			return r.do
		}
	}
	return refuse
}

func (r *rule) allows(f facts) bool {
	return slices.Contains(r.types, f.kind) && slices.Contains(r.signers, f.signer) &&
		(len(r.challenges) == 0 || slices.Contains(r.challenges, f.challenge)) && r.history == f.history
}

// accepted reports whether any rule is about this type.
func accepted(t scepmsg.MessageType) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return slices.Contains(r.types, t) })
}

// why says for the log what the first obstacle was.
func (f *facts) why() error {
	switch {
	case !accepted(f.kind):
		return refusedType(f.kind)
	case f.history == otherKey:
		return ra.Errorf(ra.Conflict, "The transaction ID was used with another key.").
			WithRemedy("Start again on the device, so that it makes a new transaction ID.")
	case f.kind == scepmsg.CertPoll && f.history == fresh:
		return ra.Errorf(ra.NotFound, "There is no request of this transaction to poll for.").WithRemedy("Start the enrolment on the device again.")
	}
	if obstacle, ok := signerObstacles[f.signer]; ok {
		return ra.Errorf(ra.Denied, "%s", obstacle[0]).WithRemedy("%s", obstacle[1])
	}
	if f.challenge != ownChallenge && f.cause != nil {
		return f.cause
	}
	if obstacle, ok := challengeObstacles[f.challenge]; ok {
		return ra.Errorf(ra.Denied, "%s", obstacle[0]).WithRemedy("%s", obstacle[1])
	}
	if need, ok := needs[f.signer]; ok {
		return ra.Errorf(ra.Denied, "%s", need[0]).WithRemedy("%s", need[1])
	}
	return ra.Errorf(ra.Denied, "A %s signed by a %s certificate proves nothing without a valid challenge.", f.kind, f.signer).
		WithRemedy("Make a challenge for the device, or renew with the device's certificate.")
}

// signerObstacles are the signers that nothing helps.
var signerObstacles = map[signer][2]string{
	unknown:     {"The message is signed with a certificate that names our CA and is not in the inventory.", "Somebody may have forged it, or it was issued elsewhere with the same CA: look at the issuing CA's record."},
	revoked:     {"The certificate that signed the message is revoked or on hold.", "Make a new key and a new challenge for the device, if it may enrol again."},
	otherDevice: {"The challenge is for another device than the certificate that signed the message.", "Make the challenge for the device that uses it."},
	noDevice:    {"The certificate that signed the message is not a device's.", "Renew it where it came from."},
}

// needs are the signers that a valid challenge would help.
var needs = map[signer][2]string{
	expired:       {"The certificate to be renewed has expired.", "Make a new challenge for the device."},
	early:         {"The renewal of the certificate is not open yet.", "Wait until the endpoint's renewal window opens, or make a new challenge for the device."},
	closed:        {"The endpoint does not renew by certificate.", "Switch renewal on, or make a new challenge for the device."},
	otherTemplate: {"The certificate is of another template, or was imported and is of none.", "Renew it at the endpoint of its template, have this one adopt what was imported, or make a challenge for the device."},
}

var challengeObstacles = map[challenge][2]string{
	staticNobody:    {"The static challenge came with a subject that names no device of the endpoint's group.", "Put the device's platform ID into the serial number or common name of its request, and add the device first."},
	lockedChallenge: {"Too many wrong challenges came from this address; none is looked at now.", "Wait a quarter of an hour, and look for the device that guesses."},
	staticChallenge: {"The static challenge does not go with this message.", "Enrol with PKCSReq, or renew without a challenge."},
}
