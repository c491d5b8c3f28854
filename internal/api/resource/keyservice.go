package resource

import (
	"encoding/json"

	"chancery/internal/ra"
)

// KeyService is a web service that is given keys made here. Secrets in its
// settings are {"set": true}.
type KeyService struct {
	ID          string          `json:"id"`
	GroupID     string          `json:"group_id" doc:"Templates of this group and of those below it may name it."`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Settings    json.RawMessage `json:"settings"`
	Disabled    bool            `json:"disabled,omitempty" doc:"Nothing is sent to it. One that answers 410 is switched off by itself."`
	Times
}

// OfKeyService gives a key service in wire form.
func OfKeyService(k *ra.KeyService) KeyService {
	return KeyService{ID: string(k.ID), GroupID: string(k.GroupID), Name: k.Name, Description: k.Description, Settings: raw(k.Settings), Disabled: k.Disabled, Times: timesOf(k.Times)}
}

// KeyServiceInput is what somebody says about a key service.
type KeyServiceInput struct {
	GroupID     *string         `json:"group_id,omitempty" doc:"Required when the key service is made."`
	Name        *string         `json:"name,omitempty" doc:"Required when the key service is made."`
	Description *string         `json:"description,omitempty"`
	Settings    json.RawMessage `json:"settings,omitempty" doc:"See /key-services/form; in a change, only what changes."`
	Disabled    *bool           `json:"disabled,omitempty"`
}

// KeyServiceQuery narrows a list of key services.
type KeyServiceQuery struct {
	Group string `query:"group_id" doc:"This group and everything below it."`
	Text  string `query:"text" doc:"Part of the name."`
	PageQuery
}

// KeyServiceTest asks to test settings that are not stored.
type KeyServiceTest struct {
	GroupID  string          `json:"group_id,omitempty" doc:"Where it shall belong; needed for a new one."`
	ID       string          `json:"id,omitempty" doc:"The stored key service whose secrets are kept."`
	Settings json.RawMessage `json:"settings,omitempty"`
}

// KeyDelivery is how far the key of a certificate is delivered.
type KeyDelivery struct {
	ID           string `json:"id" doc:"The receiver knows it by this."`
	DirectoryID  string `json:"directory_id,omitempty" doc:"Where it goes: to its user's entry there."`
	KeyServiceID string `json:"key_service_id,omitempty" doc:"Where it goes."`
	Delivered    bool   `json:"delivered" doc:"It is there."`
	Obligation
}

// OfKeyDelivery gives a delivery in wire form.
func OfKeyDelivery(d *ra.KeyDelivery) *KeyDelivery {
	return &KeyDelivery{ID: string(d.ID), DirectoryID: string(d.Directory), KeyServiceID: string(d.Service), Delivered: d.Delivered, Obligation: obligationOf(d.Obligation)}
}
