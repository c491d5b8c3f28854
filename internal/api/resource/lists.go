package resource

import "time"

// Lists are what an authority whose revocation lists are signed here tells relying
// parties, for each of its issuing certificates.
type Lists struct {
	Issuers []ListIssuer `json:"issuers" nullable:"false" doc:"The one that signs now first."`
}

// ListIssuer is one issuing certificate and its lists.
type ListIssuer struct {
	Subject     string           `json:"subject"`
	IssuerHash  string           `json:"issuer_hash" doc:"SHA-256 of its public key, in hexadecimal digits."`
	OCSP        string           `json:"ocsp" doc:"Where the state of one certificate is asked for."`
	Certificate string           `json:"certificate" doc:"Where the issuing certificate is found."`
	Lists       []RevocationList `json:"lists" nullable:"false" doc:"The complete one first."`
}

// RevocationList is one list.
type RevocationList struct {
	Address    string    `json:"address"`
	Named      bool      `json:"named" doc:"Certificates issued now name it."`
	Also       []string  `json:"also,omitempty" doc:"Other addresses, by which certificates that were issued earlier name it."`
	Part       int       `json:"part" doc:"Which part of the revocations, from 1 on."`
	Parts      int       `json:"parts" doc:"Of how many; 1: all of them are on it."`
	State      string    `json:"state" doc:"current, changes wait, on demand, ended or not made yet."`
	Number     int64     `json:"number,omitempty"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	Bytes      int64     `json:"bytes"`
}
