package pass

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// Outcome is what became of a message that was passed on.
type Outcome struct {
	Reply  *scepmsg.Message    // a CertRep signed by the server; nil: there was none
	Media  string              // of the answer
	Body   []byte              // the answer as it came
	Lost   error               // why there is no Reply
	Status int                 // HTTP, when the server answered outside of SCEP
	Took   time.Duration       // until the server had answered
	CA     []*x509.Certificate // what the server shows in GetCACert
	Remote string
}

// Result writes down what became of a claim: the state of the pass, the answer
// for those who send the same message again, and the certificate, where the
// server leaves it in clear. The device may be answered afterwards.
func (s *Service) Result(ctx context.Context, c *Claim, o Outcome) error {
	leaf := s.issued(c.Pass, &o)
	early := s.takeEarly(c.Pass.ID)
	freed := func() {}
	write := func(tx *store.Tx) error {
		freed = func() {} // this may run again
		p, err := tx.PassAsIs(c.Pass)
		if err != nil {
			return err
		}
		sent := c.sent
		sent.PKIStatus = statusLost
		if o.Status != 0 {
			sent.PKIStatus = statusRefused
		}
		reply := ra.Hop{Step: StepReply, Took: o.Took.Microseconds(), Fields: map[string]string{"bytes": fmt.Sprint(len(o.Body))}}
		if o.Reply == nil {
			e := failed(StepReply, o.Lost)
			reply.Result, reply.Message, reply.Remedy = ra.HopFailed, e.Message, e.Remedy
			if o.Status != 0 {
				reply.Fields["http_status"] = fmt.Sprint(o.Status)
			}
			if err := s.lost(tx, p, c, sent.PKIStatus, &reply); err != nil {
				return err
			}
			return s.answered(tx, p, &sent, slices.Concat(fresh(p, early), []ra.Hop{reply})...)
		}
		if c.former.Messages == 0 && !p.ChallengeUntil.IsZero() {
			// Whatever the server said, it has looked at the challenge by now. When
			// it keeps it all the same, the account is short by one until it ends.
			if freed, err = s.Authorities.FreeSlot(tx, p.AuthorityID, challengeID(p)); err != nil {
				return err
			}
		}
		sent.AnsweredAt, sent.Media, sent.Body = tx.Now, o.Media, o.Body
		return s.replied(tx, p, &o, &sent, leaf, fresh(p, early), reply)
	}
	err := s.DB.Write(ctx, write)
	if ra.KindOf(err) == ra.Conflict { // somebody imported the certificate in the same moment
		err = s.DB.Write(ctx, write)
	}
	if err != nil {
		s.back(c.Pass.ID, early)
		return err
	}
	freed()
	return nil
}

// replied moves a pass by a CertRep; hops came before.
func (s *Service) replied(tx *store.Tx, p *ra.Pass, o *Outcome, sent *store.Sent, leaf *x509.Certificate, hops []ra.Hop, reply ra.Hop) error {
	m := o.Reply
	var learnt []ra.Hop
	var entry *audit.Entry
	ended := p.State.Ended() && p.State != ra.PassFailed // somebody was faster
	p.FailInfo = ""
	switch m.Status {
	case scepmsg.Success:
		sent.PKIStatus = statusSuccess
		reply.Result, reply.Message = ra.HopOK, "The server gave a certificate."
		if !ended {
			p.State, p.Reason, p.LastError = ra.PassDone, "", ""
			p.Obligation = ra.Obligation{Attempts: p.Attempts, Escalated: p.Escalated}
		}
		entry = &audit.Entry{Code: audit.PassDone, Message: "The server gave a certificate for " + p.Subject + "."}
		if leaf != nil {
			h := ra.Hop{Step: StepLearnt, Result: ra.HopInfo}
			var foreign *taken
			switch c, err := s.store(tx, p, leaf, o.CA); {
			case errors.As(err, &foreign):
				h.Result, h.Message, h.Remedy = ra.HopFailed, foreign.err.Message, foreign.err.Remedy
			case err != nil:
				return err
			default:
				h.Message = "The certificate was in clear in the answer."
				h.Fields = map[string]string{"certificate": string(c.ID), "serial": c.Serial, "not_after": stamp(c.NotAfter)}
			}
			learnt = append(learnt, h)
		}
	case scepmsg.Pending:
		sent.PKIStatus = statusPending
		reply.Result, reply.Message = ra.HopWaiting, "The server decides later; the device asks again."
		if !ended {
			if p.State != ra.PassPending {
				p.Deadline = tx.Now.Add(awaitPending)
			}
			p.State, p.Action, p.At = ra.PassPending, ra.ActionAwait, p.Deadline
		}
	default:
		sent.PKIStatus, p.FailInfo = statusFailure, m.FailInfo.String()
		reply.Result, reply.Message, reply.Remedy = ra.HopFailed, "The server refused: "+p.FailInfo+".", remedies[m.FailInfo]
		reply.Fields["fail_info"] = p.FailInfo
		if !ended {
			p.Failures++
			p.State, p.Reason = ra.PassFailed, strings.TrimSpace(reply.Message+" "+reply.Remedy)
			p.Obligation = ra.Obligation{LastError: p.Reason, Attempts: p.Attempts, Escalated: p.Escalated}
		}
		entry = &audit.Entry{Code: audit.PassFailed, Result: "failed", Message: "The server refused a certificate for " + p.Subject + ".", Details: map[string]any{"fail_info": p.FailInfo}}
	}
	reply.Fields["pki_status"] = sent.PKIStatus
	if err := s.answered(tx, p, sent, slices.Concat(hops, []ra.Hop{reply}, learnt)...); err != nil || entry == nil {
		return err
	}
	entry.Actor, entry.Group, entry.Object, entry.Related = deviceActor(p, o.Remote), p.GroupID, string(p.ID), string(p.DeviceID)
	return audit.Record(tx, *entry)
}

// StatusWord is the word for a pkiStatus in rows and numbers.
func StatusWord(s scepmsg.Status) string {
	switch s {
	case scepmsg.Success:
		return statusSuccess
	case scepmsg.Pending:
		return statusPending
	}
	return statusFailure
}

// remedies are for those who run the installation; SCEP has one word for many
// reasons, and the server's own log has them all.
var remedies = map[scepmsg.FailInfo]string{
	scepmsg.NoFailInfo:      "Look into the log of the server.",
	scepmsg.BadAlg:          "The server wants other algorithms: compare what the device used with GetCACaps.",
	scepmsg.BadMessageCheck: "The server could not open or verify the message: see whether its RA certificate was replaced.",
	scepmsg.BadRequest:      "The server did not accept the challenge, the subject or the key: look into its log, and make a new pass.",
	scepmsg.BadTime:         "Set the clock of the device.",
	scepmsg.BadCertID:       "The server does not know the transaction: make a new pass.",
}

// lost moves a pass of which nobody knows whether the server acted. A poll may
// be lost as often as it likes.
func (s *Service) lost(tx *store.Tx, p *ra.Pass, c *Claim, status string, reply *ra.Hop) error {
	p.PKIStatus, p.LastError = status, strings.TrimSpace(reply.Message+" "+reply.Remedy)
	if c.poll || p.State.Ended() {
		return nil
	}
	p.Failures++
	if p.Failures <= maxFailures {
		return nil
	}
	p.State, p.Reason = ra.PassFailed, p.LastError
	p.Obligation = ra.Obligation{LastError: p.LastError, Attempts: p.Attempts, Escalated: p.Escalated}
	return audit.Record(tx, audit.Entry{Code: audit.PassFailed, Actor: ra.System(door), Group: p.GroupID, Object: string(p.ID), Related: string(p.DeviceID), Result: "failed",
		Message: "The server did not answer for " + p.Subject + "."})
}

// answered stores what a message came to.
func (s *Service) answered(tx *store.Tx, p *ra.Pass, sent *store.Sent, hops ...ra.Hop) error {
	p.PKIStatus = sent.PKIStatus
	if err := tx.AnswerSent(sent); err != nil {
		return err
	}
	if sent.AnsweredAt.IsZero() {
		hops = append(hops, ra.Hop{Step: StepReturned, Result: ra.HopFailed, Message: "The device was told that the server gave no answer."})
	} else {
		hops = append(hops, ra.Hop{Step: StepReturned, Result: ra.HopOK})
	}
	if err := hop(tx, p, hops...); err != nil {
		return err
	}
	if p.CertificateID != "" {
		return tx.UpdatePass(p)
	}
	return tx.MovePass(p)
}

// Undo takes a claim back: nothing left for the server. The pass is as it was,
// but for the trace.
func (s *Service) Undo(ctx context.Context, c *Claim, cause error) error {
	early := s.takeEarly(c.Pass.ID)
	err := s.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		p, err := tx.Pass(c.Pass.ID)
		if err != nil {
			return err
		}
		if c.known != nil {
			err = tx.PutSent(c.known)
		} else {
			err = tx.DeleteSent(p.ID, c.sent.Hash)
		}
		if err != nil {
			return err
		}
		h := failed(StepForwarded, cause)
		if err := hop(tx, p, slices.Concat(fresh(p, early), []ra.Hop{h})...); err != nil {
			return err
		}
		if p.Messages != c.Pass.Messages || p.PKIStatus != statusSent || p.State.Ended() { // something happened since
			return tx.MovePass(p)
		}
		hops := p.Hops
		*p = c.former
		p.Hops, p.LastError = hops, strings.TrimSpace(h.Message+" "+h.Remedy)
		return tx.UpdatePass(p)
	})
	if err != nil {
		s.back(c.Pass.ID, early)
	}
	return err
}
