package hresult

// aliases are forms of a code that no rule of arithmetic brings to the one the
// table has: access denied as MS-ICPR prints it, and NTSTATUS values (MS-ERREF
// §2.3) of logins and of SMB, which have a counterpart of other number.
var aliases = map[uint32]Code{
	0x80000009: AccessDenied,
	0x80030005: AccessDenied, // STG_E_ACCESSDENIED
	0x16c9a0d6: 0x800706d9,   // ept_s_not_registered (C706 appendix E)
	0x1c000008: 0x800706bb,   // nca_server_too_busy
	0x1c010014: 0x800706bb,   // nca_s_server_too_busy

	0xc0000022: AccessDenied,
	0xc0000034: 0x80070002, // STATUS_OBJECT_NAME_NOT_FOUND
	0xc00000ac: 0x800706bb, // STATUS_PIPE_NOT_AVAILABLE
	0xc000005e: 0x80090311, // STATUS_NO_LOGON_SERVERS
	0xc0000064: 0x8007052e, // STATUS_NO_SUCH_USER: not told apart from a wrong password
	0xc000006a: 0x8007052e, // STATUS_WRONG_PASSWORD
	0xc000006d: 0x8007052e, // STATUS_LOGON_FAILURE
	0xc000006e: 0x8007052f, // STATUS_ACCOUNT_RESTRICTION
	0xc000006f: 0x80070530, // STATUS_INVALID_LOGON_HOURS
	0xc0000070: 0x80070531, // STATUS_INVALID_WORKSTATION
	0xc0000071: 0x80070532, // STATUS_PASSWORD_EXPIRED
	0xc0000072: 0x80070533, // STATUS_ACCOUNT_DISABLED
	0xc000015b: 0x80070569, // STATUS_LOGON_TYPE_NOT_GRANTED
	0xc0000193: 0x80070701, // STATUS_ACCOUNT_EXPIRED
	0xc0000224: 0x80070773, // STATUS_PASSWORD_MUST_CHANGE
	0xc0000234: 0x80070775, // STATUS_ACCOUNT_LOCKED_OUT
	0xc0000133: 0x80090324, // STATUS_TIME_DIFFERENCE_AT_DC
	0xc00000be: 0x800706ba, // STATUS_BAD_NETWORK_PATH
	0xc0000236: 0x800706ba, // STATUS_CONNECTION_REFUSED
	0xc000020c: 0x800706be, // STATUS_CONNECTION_DISCONNECTED
	0xc000020d: 0x800706be, // STATUS_CONNECTION_RESET
}

// Codes that callers decide on.
const (
	FileNotFound     Code = 0x80070002
	AccessDenied     Code = 0x80070005
	InvalidData      Code = 0x8007000d
	InvalidArgument  Code = 0x80070057
	TooBusy          Code = 0x800706bb
	BadStub          Code = 0x800706f7
	SecurityPackage  Code = 0x80070721
	Disconnected     Code = 0x80010108
	InvalidIPID      Code = 0x80010113
	InvalidObject    Code = 0x80010114
	ContextMismatch  Code = 0x1c00001a
	UnknownCall      Code = 0x1c010002
	UnknownInterface Code = 0x1c010003
	ProtocolError    Code = 0x1c01000b
	NoRequest        Code = 0x80094002
	PropertyEmpty    Code = 0x80094004
	AdminDenied      Code = 0x80094014
)
