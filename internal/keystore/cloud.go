package keystore

import (
	"context"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/awskms"
	"go.step.sm/crypto/kms/azurekms"
	"go.step.sm/crypto/kms/cloudkms"

	"chancery/internal/ra"
)

// opener gives what opens the stores of a scheme; nil when this program was
// built without it.
func opener(scheme string) func(context.Context, apiv1.Options) (apiv1.KeyManager, error) {
	switch scheme {
	case schemeToken:
		return openToken
	case schemeAWS:
		return func(ctx context.Context, o apiv1.Options) (apiv1.KeyManager, error) {
			return awskms.New(context.WithoutCancel(ctx), o)
		}
	case schemeGCP:
		return func(ctx context.Context, o apiv1.Options) (apiv1.KeyManager, error) {
			return cloudkms.New(context.WithoutCancel(ctx), o)
		}
	case schemeAzure:
		return func(ctx context.Context, o apiv1.Options) (apiv1.KeyManager, error) {
			return azurekms.New(context.WithoutCancel(ctx), o)
		}
	}
	return nil
}

func notBuilt() error {
	return ra.Errorf(ra.Invalid, "This program was built without PKCS#11.").
		WithRemedy("Use a program built with CGO_ENABLED=1 go build -tags pkcs11, or keep the key in another store.")
}
