package keystore

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/smithy-go"
	"go.step.sm/crypto/kms/apiv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"chancery/internal/ra"
)

// verdict is what an error of a store means.
type verdict int

const (
	unclear verdict = iota
	away            // opened again, it may work
	busy            // there, and not now
	denied
	badPIN
	locked
	missing
	taken
	unfit // the key or its state
)

// fault makes an error of a store one for people.
func fault(err error) error {
	var e *ra.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	switch judge(err) {
	case denied:
		return ra.Errorf(ra.Denied, "The key store refuses access to the key.").
			WithRemedy("Give the account of the service the right to read the public key and to sign with it.").WithCause(err)
	case badPIN:
		return ra.Errorf(ra.Denied, "The token refuses the PIN.").
			WithRemedy("Correct the PIN in the settings of the authority or in the file of pin-source. It is not tried again until then, so that the token does not lock itself.").WithCause(err)
	case locked:
		return ra.Errorf(ra.Denied, "The PIN of the token is locked or has expired.").
			WithRemedy("Unlock it with the tools of the token, then restart the server.").WithCause(err)
	case missing:
		return ra.Errorf(ra.NotFound, "The key store has no key of that name.").
			WithRemedy("Correct the address of the key, or have the key made there.").WithCause(err)
	case taken:
		return ra.Errorf(ra.Conflict, "The key store has a key of that name already.").
			WithRemedy("Use the existing key, or give the new one another name.").WithCause(err)
	case unfit:
		return ra.Errorf(ra.Invalid, "The key cannot sign: its type, its permissions or its state do not allow it.").
			WithRemedy("Look at the key in its store: it must be an enabled signing key, RSA or P-256 to P-521.").WithCause(err)
	case busy:
		return ra.Errorf(ra.Unreachable, "The key store has too much to do.").
			WithRemedy("Wait, or raise its limits; the request is tried again.").WithCause(err)
	}
	return ra.Errorf(ra.Unreachable, "The key store is not there or does not work.").
		WithRemedy("Check the token, its library and the network; the log holds the answer of the store. The request is tried again.").WithCause(err)
}

// gone reports whether opening the store again may help.
func gone(err error) bool { return judge(err) == away }

// wrongPIN reports whether the token has counted a wrong PIN.
func wrongPIN(err error) bool { v := judge(err); return v == badPIN || v == locked }

func judge(err error) verdict {
	var exists apiv1.AlreadyExistsError
	var aws smithy.APIError
	var azure *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	switch {
	case errors.Is(err, errPIN):
		return badPIN
	case errors.Is(err, errMissing):
		return missing
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return away
	case errors.As(err, &exists):
		return taken
	case errors.As(err, &aws):
		return judgeAWS(aws.ErrorCode())
	case errors.As(err, &azure):
		return judgeHTTP(azure.StatusCode)
	case errors.As(err, &login):
		return denied
	}
	if v := judgeToken(err); v != unclear {
		return v
	}
	if s, ok := status.FromError(err); ok {
		return judgeGRPC(s.Code())
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return busy
	}
	return unclear
}

// judgeAWS reads the error names of the AWS KMS API.
func judgeAWS(code string) verdict {
	switch code {
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
		"IncompleteSignature", "MissingAuthenticationToken", "InvalidClientTokenId", "OptInRequired":
		return denied
	case "NotFoundException":
		return missing
	case "AlreadyExistsException":
		return taken
	case "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException", "UnsupportedOperationException", "ValidationException":
		return unfit
	case "ThrottlingException", "LimitExceededException", "DependencyTimeoutException", "KeyUnavailableException":
		return busy
	}
	return unclear
}

// judgeHTTP reads the statuses of Azure Key Vault.
func judgeHTTP(code int) verdict {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return denied
	case http.StatusNotFound:
		return missing
	case http.StatusConflict:
		return taken
	case http.StatusBadRequest:
		return unfit
	case http.StatusTooManyRequests:
		return busy
	}
	return unclear
}

// judgeGRPC reads the codes of Google Cloud KMS.
func judgeGRPC(code codes.Code) verdict {
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated:
		return denied
	case codes.NotFound:
		return missing
	case codes.AlreadyExists:
		return taken
	case codes.InvalidArgument, codes.FailedPrecondition:
		return unfit
	case codes.ResourceExhausted, codes.DeadlineExceeded:
		return busy
	}
	return unclear
}
