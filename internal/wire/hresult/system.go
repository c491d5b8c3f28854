package hresult

// system are Win32 codes of the CA's host and of the directory it asks.
var system = []Entry{
	{0x80070002, "ERROR_FILE_NOT_FOUND", "The CA did not find something it needs: a revocation list that was not made yet, a private key, its pipe.",
		"For a revocation list, publish one (certutil -crl). For a request on behalf of, check the enrollment agent's key. Otherwise check that certsvc runs.", Final},
	{0x8007000d, "ERROR_INVALID_DATA", "The CA cannot use the data: the request is malformed, or the certificate's state does not allow this change.",
		"A certificate that is revoked for good cannot be put on hold or taken off it. Otherwise have the request made anew.", Final},
	{0x8007000e, "E_OUTOFMEMORY", "The CA's host is out of memory.",
		"Look at the CA's host.", Later},
	{0x80070057, "E_INVALIDARG", "The CA's server does not know this CA name, or a value it was given.",
		"Check the authority name: it is the common name of the CA certificate, without the host. When revoking, the serial number is not of this CA or the reason is not allowed.", Final},
	{0x80070490, "ERROR_NOT_FOUND", "The CA did not find an object in the directory.",
		"Check that the template and the CA's objects have replicated to the domain controller that the CA uses.", Later},
	{0x80070525, "ERROR_NO_SUCH_USER", "There is no such user in the directory.",
		"Check the requester name of the template: it is written DOMAIN\\account, with the short name of the domain.", Final},
	{0x80070534, "ERROR_NONE_MAPPED", "The name of the requester cannot be turned into a security identifier.",
		"Write it with the domain's short (NetBIOS) name, and the account's logon name: CORP\\alice.", Final},
	{0x8007054b, "ERROR_NO_SUCH_DOMAIN", "The CA does not know the domain in the requester name, or reaches none of its controllers.",
		"Use the short name of a domain that the CA's domain trusts.", Final},
	{0x8007202b, "ERROR_DS_REFERRAL", "The directory refers the CA to another domain, and it does not follow.",
		"On the CA: certutil -setreg policy\\EditFlags +EDITF_ENABLELDAPREFERRALS, then restart certsvc.", Final},
	{0x80072030, "ERROR_DS_NO_SUCH_OBJECT", "The user is not in the directory where the CA looks.",
		"Users of another forest need referrals at the CA (EDITF_ENABLELDAPREFERRALS) and a trust.", Final},
}
