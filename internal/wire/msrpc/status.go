package msrpc

import "fmt"

// Statuses of a fault or of the endpoint mapper that a client acts upon.
const (
	StatusAccessDenied  uint32 = 0x00000005
	StatusProtocolError uint32 = 0x1C01000B // what Samba says after a bad login
	StatusSecurity      uint32 = 0x00000721
	StatusNotRegistered uint32 = 0x16C9A0D6 // the mapper has no endpoint of the interface
	StatusDisconnected  uint32 = 0x80010108 // DCOM: the object is gone
	StatusUnknownIPID   uint32 = 0x80010113
	StatusInvalidObject uint32 = 0x80010114
)

// statuses gives the names of C706 appendix E, MS-RPCE §3.3.3.5 and MS-ERREF.
var statuses = map[uint32]string{
	StatusAccessDenied:  "access denied",
	0x000006BA:          "RPC_S_SERVER_UNAVAILABLE",
	0x000006BB:          "RPC_S_SERVER_TOO_BUSY",
	0x000006BE:          "RPC_S_CALL_FAILED",
	0x000006BF:          "RPC_S_CALL_FAILED_DNE",
	0x000006C0:          "RPC_S_PROTOCOL_ERROR",
	0x000006D1:          "RPC_S_PROCNUM_OUT_OF_RANGE",
	0x000006D3:          "RPC_S_UNKNOWN_AUTHN_TYPE",
	0x000006D8:          "EPT_S_CANT_PERFORM_OP",
	0x000006D9:          "EPT_S_NOT_REGISTERED",
	0x000006F7:          "RPC_X_BAD_STUB_DATA",
	StatusSecurity:      "RPC_S_SEC_PKG_ERROR",
	StatusNotRegistered: "ept_s_not_registered",
	0x1C000008:          "nca_s_rpc_version_mismatch",
	0x1C000009:          "nca_s_unspec_reject",
	0x1C00000D:          "nca_s_fault_cancel",
	0x1C000012:          "nca_s_fault_unspec",
	0x1C000013:          "nca_s_fault_remote_comm_failure",
	0x1C00001A:          "nca_s_fault_context_mismatch",
	0x1C00001B:          "nca_s_fault_remote_no_memory",
	0x1C00001C:          "nca_s_invalid_pres_context_id",
	0x1C00001D:          "nca_s_unsupported_authn_level",
	0x1C00001F:          "nca_s_invalid_checksum",
	0x1C010001:          "nca_s_comm_failure",
	0x1C010002:          "nca_s_op_rng_error",
	0x1C010003:          "nca_s_unk_if",
	StatusProtocolError: "nca_s_proto_error",
	0x1C010013:          "nca_s_out_args_too_big",
	0x1C010014:          "nca_s_server_too_busy",
	0x1C010017:          "nca_s_unsupported_type",
	StatusDisconnected:  "RPC_E_DISCONNECTED",
	StatusUnknownIPID:   "RPC_E_INVALID_IPID",
	StatusInvalidObject: "RPC_E_INVALID_OBJECT",
}

// StatusText names a status: "access denied (0x00000005)".
func StatusText(status uint32) string {
	if name := statuses[status]; name != "" {
		return fmt.Sprintf("%s (0x%08X)", name, status)
	}
	return fmt.Sprintf("status 0x%08X", status)
}
