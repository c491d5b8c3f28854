package ra

// KeyService is a web service that is given private keys made here, each
// encrypted to its certificate.
type KeyService struct {
	ID          KeyServiceID
	GroupID     GroupID
	Name        string
	Description string
	Settings    []byte // JSON without secrets
	Disabled    bool   // nothing is sent to it; what waits goes on waiting
	Times
}

// KeyDelivery is a key made here that belongs, or belonged, into its user's
// directory entry or to a key service. A sealed copy of the key goes with it
// until it is there.
type KeyDelivery struct {
	ID          KeyDeliveryID // the receiver knows it by this, however often it is sent
	Certificate CertificateID
	GroupID     GroupID
	AuthorityID AuthorityID
	DeviceID    DeviceID
	UserID      UserID
	Subject     string
	Directory   DirectoryID  // where it goes; empty: to a key service
	ObjectGUID  string       // whose entry there
	Attribute   string       // of the entry, where it was written last
	Digest      string       // SHA-256 of the value that was written there last, in hexadecimal
	Service     KeyServiceID // where it goes; empty: to a directory
	Delivered   bool         // the receiver has it, as far as it has said
	Obligation
	Times
}
