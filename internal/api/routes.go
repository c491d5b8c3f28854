package api

import (
	"net/http"

	"chancery/internal/access"
)

const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete

	created  = http.StatusCreated
	accepted = http.StatusAccepted
)

// routes lists every operation: what the API can do, on one page. The
// permission is what the capability will ask for.
func (*Server) routes() []route {
	return []route{
		{"list-groups", get, "/groups", access.See, "List organization groups", 0, false, handle((*Server).listGroups)},
		{"create-group", post, "/groups", access.EditGroups, "Make an organization group", created, false, handle((*Server).createGroup)},
		{"show-group", get, "/groups/{id}", access.See, "Show an organization group", 0, false, handle((*Server).showGroup)},
		{"update-group", patch, "/groups/{id}", access.EditGroups, "Change an organization group", 0, false, handle((*Server).updateGroup)},
		{"delete-group", remove, "/groups/{id}", access.EditGroups, "Delete an organization group that holds nothing", 0, false, handle((*Server).deleteGroup)},

		{"list-users", get, "/users", access.See, "List users", 0, false, handle((*Server).listUsers)},
		{"create-user", post, "/users", access.EditDevices, "Add a user", created, false, handle((*Server).createUser)},
		{"import-users", post, "/users/import", access.EditDevices, "Take users in from CSV", 0, true, handle((*Server).importUsers)},
		{"export-users", get, "/users/export", access.See, "Give users out as CSV", 0, true, handle((*Server).exportUsers)},
		{"show-user", get, "/users/{id}", access.See, "Show a user", 0, false, handle((*Server).showUser)},
		{"update-user", patch, "/users/{id}", access.EditDevices, "Change a user", 0, false, handle((*Server).updateUser)},
		{"delete-user", remove, "/users/{id}", access.EditDevices, "Delete a user without certificates in use", 0, false, handle((*Server).deleteUser)},

		{"list-devices", get, "/devices", access.See, "List devices", 0, false, handle((*Server).listDevices)},
		{"create-device", post, "/devices", access.EditDevices, "Add a device", created, false, handle((*Server).createDevice)},
		{"import-devices", post, "/devices/import", access.EditDevices, "Take devices in from CSV", 0, true, handle((*Server).importDevices)},
		{"export-devices", get, "/devices/export", access.See, "Give devices out as CSV", 0, true, handle((*Server).exportDevices)},
		{"show-device", get, "/devices/{id}", access.See, "Show a device", 0, false, handle((*Server).showDevice)},
		{"update-device", patch, "/devices/{id}", access.EditDevices, "Change a device", 0, false, handle((*Server).updateDevice)},
		{"delete-device", remove, "/devices/{id}", access.EditDevices, "Delete a device without certificates in use", 0, false, handle((*Server).deleteDevice)},
		{"enrol-device", post, "/devices/{id}/enrol", access.EditDevices, "Put a device in service again", 0, false, handle((*Server).enrolDevice)},
		{"unenrol-device", post, "/devices/{id}/unenrol", access.EditDevices, "Take a device out of service", 0, false, handle((*Server).unenrolDevice)},
		{"block-device", post, "/devices/{id}/block", access.EditDevices, "Stop a device from asking for anything", 0, false, handle((*Server).blockDevice)},

		{"list-authorities", get, "/authorities", access.See, "List certificate authorities", 0, false, handle((*Server).listAuthorities)},
		{"create-authority", post, "/authorities", access.EditAuthorities, "Define an authority", created, false, handle((*Server).createAuthority)},
		{"list-authority-kinds", get, "/authorities/kinds", "", "List the kinds of authority with their forms", 0, false, handle((*Server).listKinds)},
		{"test-authority-settings", post, "/authorities/test", access.EditAuthorities, "Test settings before they are saved", 0, false, handle((*Server).testSettings)},
		{"show-authority", get, "/authorities/{id}", access.See, "Show an authority", 0, false, handle((*Server).showAuthority)},
		{"update-authority", patch, "/authorities/{id}", access.EditAuthorities, "Change an authority", 0, false, handle((*Server).updateAuthority)},
		{"delete-authority", remove, "/authorities/{id}", access.EditAuthorities, "Delete an authority nothing refers to", 0, false, handle((*Server).deleteAuthority)},
		{"test-authority", post, "/authorities/{id}/test", access.EditAuthorities, "Test the connection to an authority", 0, false, handle((*Server).testAuthority)},
		{"list-authority-catalog", get, "/authorities/{id}/catalog", access.See, "Ask an authority for its templates or profiles", 0, false, handle((*Server).catalog)},
		{"create-authority-csr", post, "/authorities/{id}/csr", access.EditAuthorities, "Make a request for the authority's own certificate", 0, false, handle((*Server).authorityCSR)},
		{"renew-authority", post, "/authorities/{id}/renew", access.EditAuthorities, "Renew the signing certificate of an authority whose keys are here", 0, false, handle((*Server).renewAuthority)},
		{"install-authority-certificate", post, "/authorities/{id}/certificate", access.EditAuthorities, "Install the certificate a superior CA issued", 0, false, handle((*Server).installCertificate)},
		{"show-authority-forecast", get, "/authorities/{id}/forecast", access.See, "Show what the coming days ask of an authority, and what it can do", 0, false, handle((*Server).showForecast)},
		{"show-authority-challenges", get, "/authorities/{id}/challenges", access.See, "Tell how many challenges of an authority's SCEP server are out", 0, false, handle((*Server).authorityChallenges)},
		{"compare-authority-certificates", post, "/authorities/{id}/scep-certificates/compare", access.EditAuthorities, "Ask a SCEP server for its certificates and compare them with those that are kept", 0, false, handle((*Server).compareCertificates)},
		{"accept-authority-certificates", post, "/authorities/{id}/scep-certificates/accept", access.EditAuthorities, "Accept the certificates that a SCEP server shows now", 0, false, handle((*Server).acceptCertificates)},
		{"show-authority-guard", get, "/authorities/{id}/guard", access.See, "Show what the guard last found of a Microsoft CA and its templates", 0, false, handle((*Server).showGuard)},
		{"run-authority-guard", post, "/authorities/{id}/guard", access.EditAuthorities, "Have the guard look now", 0, true, handle((*Server).runGuard)},
		{"show-authority-guard-script", get, "/authorities/{id}/guard/script", access.EditAuthorities, "Write the script for the least rights on one of the CA's templates", 0, true, handle((*Server).guardScript)},
		{"show-danger", get, "/dangers/{id}", access.See, "Show a danger the guard found", 0, false, handle((*Server).showDanger)},
		{"sign-off-danger", post, "/dangers/{id}/sign-off", access.EditAuthorities, "Let a danger be, in your own name", 0, false, handle((*Server).signOffDanger)},
		{"reopen-danger", post, "/dangers/{id}/reopen", access.EditAuthorities, "Take the sign-off of a danger back", 0, false, handle((*Server).reopenDanger)},
		{"show-authority-import", get, "/authorities/{id}/import", access.See, "Show how the certificates that an authority issued without this server are taken over", 0, false, handle((*Server).showAuthorityImport)},
		{"set-authority-import", put, "/authorities/{id}/import", access.EditAuthorities, "Set the import of an authority's certificates up, or change it", 0, false, handle((*Server).setAuthorityImport)},
		{"delete-authority-import", remove, "/authorities/{id}/import", access.EditAuthorities, "Remove the import; what was taken over stays", 0, false, handle((*Server).deleteAuthorityImport)},
		{"order-import", post, "/authorities/{id}/imports", access.EditAuthorities, "Take certificates over now, or count what would come in, in the background", accepted, false, handle((*Server).orderImport)},
		{"list-imports", get, "/authorities/{id}/imports", access.See, "List the runs of an authority's import, newest first", 0, false, handle((*Server).listImports)},
		{"show-import", get, "/imports/{id}", access.See, "Show how far an import has come", 0, false, handle((*Server).showImport)},
		{"cancel-import", post, "/imports/{id}/cancel", access.EditAuthorities, "End an import; what it has taken over stays", 0, false, handle((*Server).cancelImport)},
		{"list-differences", get, "/differences", access.See, "List what authorities' records and those here do not agree on", 0, false, handle((*Server).listDifferences)},
		{"export-differences", get, "/differences/export", access.See, "Give differences out as CSV", 0, true, handle((*Server).exportDifferences)},
		{"show-difference", get, "/differences/{id}", access.See, "Show a difference, with what it means and what to do", 0, false, handle((*Server).showDifference)},
		{"settle-difference", post, "/differences/{id}/settle", access.EditAuthorities, "Say that a difference is known, in your own name", 0, false, handle((*Server).settleDifference)},
		{"show-authority-lists", get, "/authorities/{id}/lists", access.See, "Show the revocation lists of an authority that are signed here", 0, false, handle((*Server).authorityLists)},
		{"show-authority-chain", get, "/authorities/{id}/chain", access.See, "Show an authority's certificates", 0, false, handle((*Server).authorityChain)},

		{"list-directories", get, "/directories", access.See, "List directories, from which users are taken over", 0, false, handle((*Server).listDirectories)},
		{"create-directory", post, "/directories", access.EditAuthorities, "Define a directory", created, false, handle((*Server).createDirectory)},
		{"show-directory-form", get, "/directories/form", "", "Describe the settings of a directory", 0, false, handle((*Server).directoryForm)},
		{"test-directory-settings", post, "/directories/test", access.EditAuthorities, "Test settings before they are saved", 0, false, handle((*Server).testDirectorySettings)},
		{"show-directory", get, "/directories/{id}", access.See, "Show a directory and how far it is taken over", 0, false, handle((*Server).showDirectory)},
		{"update-directory", patch, "/directories/{id}", access.EditAuthorities, "Change a directory", 0, false, handle((*Server).updateDirectory)},
		{"delete-directory", remove, "/directories/{id}", access.EditAuthorities, "Delete a directory; its users stay", 0, false, handle((*Server).deleteDirectory)},
		{"test-directory", post, "/directories/{id}/test", access.EditAuthorities, "Test the connection to a directory", 0, false, handle((*Server).testDirectory)},
		{"order-sync", post, "/directories/{id}/syncs", access.EditAuthorities, "Take users over now, or count what would change, in the background", accepted, false, handle((*Server).orderSync)},
		{"list-syncs", get, "/directories/{id}/syncs", access.See, "List the runs of a directory, newest first", 0, false, handle((*Server).listSyncs)},
		{"show-sync", get, "/syncs/{id}", access.See, "Show how far a run has come", 0, false, handle((*Server).showSync)},

		{"list-key-services", get, "/key-services", access.See, "List key services, which are given keys made here", 0, false, handle((*Server).listKeyServices)},
		{"create-key-service", post, "/key-services", access.EditAuthorities, "Define a key service", created, false, handle((*Server).createKeyService)},
		{"show-key-service-form", get, "/key-services/form", "", "Describe the settings of a key service", 0, false, handle((*Server).keyServiceForm)},
		{"test-key-service-settings", post, "/key-services/test", access.EditAuthorities, "Test settings before they are saved", 0, false, handle((*Server).testKeyServiceSettings)},
		{"show-key-service", get, "/key-services/{id}", access.See, "Show a key service", 0, false, handle((*Server).showKeyService)},
		{"update-key-service", patch, "/key-services/{id}", access.EditAuthorities, "Change a key service", 0, false, handle((*Server).updateKeyService)},
		{"delete-key-service", remove, "/key-services/{id}", access.EditAuthorities, "Delete a key service that no template names", 0, false, handle((*Server).deleteKeyService)},
		{"test-key-service", post, "/key-services/{id}/test", access.EditAuthorities, "Send a key service a signed message without a key", 0, false, handle((*Server).testKeyService)},

		{"list-templates", get, "/templates", access.See, "List certificate templates", 0, false, handle((*Server).listTemplates)},
		{"create-template", post, "/templates", access.EditTemplates, "Define a template", created, false, handle((*Server).createTemplate)},
		{"preview-unsaved-template", post, "/templates/preview", access.See, "Look at what an unsaved template gives", 0, false, handle((*Server).previewUnsaved)},
		{"show-template", get, "/templates/{id}", access.See, "Show a template", 0, false, handle((*Server).showTemplate)},
		{"update-template", patch, "/templates/{id}", access.EditTemplates, "Change a template", 0, false, handle((*Server).updateTemplate)},
		{"delete-template", remove, "/templates/{id}", access.EditTemplates, "Delete a template that was never used", 0, false, handle((*Server).deleteTemplate)},
		{"preview-template", post, "/templates/{id}/preview", access.See, "Look at what a template gives for a device or user", 0, false, handle((*Server).previewTemplate)},
		{"run-template-tests", post, "/templates/{id}/run-tests", access.See, "Run a template's own tests", 0, false, handle((*Server).testTemplate)},
		{"list-lookup-values", get, "/lookup-values", "", "List the names templates may use", 0, false, handle((*Server).listLookupValues)},

		{"list-endpoints", get, "/endpoints", access.See, "List SCEP endpoints", 0, false, handle((*Server).listEndpoints)},
		{"create-endpoint", post, "/endpoints", access.EditTemplates, "Open a SCEP endpoint", created, false, handle((*Server).createEndpoint)},
		{"show-endpoint-form", get, "/endpoints/form", "", "Describe the settings of an endpoint", 0, false, handle((*Server).endpointForm)},
		{"show-endpoint", get, "/endpoints/{id}", access.See, "Show a SCEP endpoint", 0, false, handle((*Server).showEndpoint)},
		{"update-endpoint", patch, "/endpoints/{id}", access.EditTemplates, "Change a SCEP endpoint", 0, false, handle((*Server).updateEndpoint)},
		{"delete-endpoint", remove, "/endpoints/{id}", access.EditTemplates, "Close a SCEP endpoint and void its challenges", 0, false, handle((*Server).deleteEndpoint)},

		{"list-challenges", get, "/challenges", access.See, "List a device's challenges", 0, false, handle((*Server).listChallenges)},
		{"create-challenge", post, "/challenges", access.EditDevices, "Make a challenge; its text is answered once", created, false, handle((*Server).createChallenge)},
		{"delete-challenge", remove, "/challenges/{id}", access.EditDevices, "Void a challenge", 0, false, handle((*Server).deleteChallenge)},

		{"list-passes", get, "/passes", access.See, "List passes, which let devices enrol at SCEP servers elsewhere", 0, false, handle((*Server).listPasses)},
		{"create-pass", post, "/passes", access.Request, "Make a pass for a device", created, false, handle((*Server).createPass)},
		{"export-passes", get, "/passes/export", access.See, "Give passes out as CSV", 0, true, handle((*Server).exportPasses)},
		{"learn-pass", post, "/passes/learn", access.EditDevices, "Tell of a certificate that was seen elsewhere, and find the pass it came from", 0, false, handle((*Server).learnPass)},
		{"show-pass", get, "/passes/{id}", access.See, "Show a pass", 0, false, handle((*Server).showPass)},
		{"show-pass-parameters", post, "/passes/{id}/parameters", access.EditDevices, "Fetch the challenge and give what the device's SCEP client needs", 0, false, handle((*Server).passParameters)},
		{"revoke-pass", post, "/passes/{id}/revoke", access.EditDevices, "Void a pass", 0, false, handle((*Server).revokePass)},
		{"show-pass-trace", get, "/passes/{id}/trace", access.See, "Tell how the enrolment with a pass went, step by step", 0, false, handle((*Server).passTrace)},
		{"show-trace", get, "/traces/{id}", access.See, "Tell how the enrolment of a pass, request, certificate, device or SCEP transaction went", 0, false, handle((*Server).showTrace)},

		{"list-requests", get, "/requests", access.See, "List certificate requests", 0, false, handle((*Server).listRequests)},
		{"create-request", post, "/requests", access.Request, "Ask for a certificate", created, false, handle((*Server).createRequest)},
		{"show-request", get, "/requests/{id}", access.See, "Show a request", 0, false, handle((*Server).showRequest)},
		{"approve-request", post, "/requests/{id}/approve", access.Approve, "Approve a request", 0, false, handle((*Server).approveRequest)},
		{"deny-request", post, "/requests/{id}/deny", access.Approve, "Deny a request", 0, false, handle((*Server).denyRequest)},
		{"cancel-request", post, "/requests/{id}/cancel", access.Request, "Cancel a request", 0, false, handle((*Server).cancelRequest)},

		{"list-certificates", get, "/certificates", access.See, "List certificates", 0, false, handle((*Server).listCertificates)},
		{"export-certificates", get, "/certificates/export", access.See, "Give certificates out as CSV", 0, true, handle((*Server).exportCertificates)},
		{"revoke-certificates", post, "/certificates/revoke", access.Revoke, "Revoke many certificates", 0, false, handle((*Server).revokeMany)},
		{"order-revocation", post, "/revocations", access.Revoke, "Revoke everything a filter finds, in the background", accepted, false, handle((*Server).orderRevocation)},
		{"list-revocations", get, "/revocations", access.Revoke, "List the revocations of many, newest first", 0, false, handle((*Server).listRevocations)},
		{"show-revocation", get, "/revocations/{id}", access.Revoke, "Show how far a revocation of many has come", 0, false, handle((*Server).showRevocation)},
		{"show-certificate", get, "/certificates/{id}", access.See, "Show a certificate with its life line", 0, false, handle((*Server).showCertificate)},
		{"download-certificate", get, "/certificates/{id}/download", access.See, "Download a certificate", 0, false, handle((*Server).downloadCertificate)},
		{"renew-certificate", post, "/certificates/{id}/renew", access.Request, "Renew a certificate whose key is made here", accepted, false, handle((*Server).renewCertificate)},
		{"renew-certificate-by-pass", post, "/certificates/{id}/pass", access.Request, "Make a pass by which the device of a certificate enrols anew", created, false, handle((*Server).renewByPass)},
		{"revoke-certificate", post, "/certificates/{id}/revoke", access.Revoke, "Revoke a certificate", 0, false, handle((*Server).revokeCertificate)},
		{"hold-certificate", post, "/certificates/{id}/hold", access.Revoke, "Put a certificate on hold", 0, false, handle((*Server).holdCertificate)},
		{"unhold-certificate", post, "/certificates/{id}/unhold", access.Revoke, "Take a certificate off hold", 0, false, handle((*Server).unholdCertificate)},
		{"take-certificate-key", post, "/certificates/{id}/key", access.TakeKey, "Hand out the key made here as PKCS #12, once", 0, false, handle((*Server).takeKey)},

		{"list-obligations", get, "/obligations", access.See, "List what waits, what is due first on top", 0, false, handle((*Server).listObligations)},
		{"show-calendar", get, "/calendar", access.See, "Count what ends on each of the coming days", 0, false, handle((*Server).calendar)},
		{"list-audit", get, "/audit", access.SeeAudit, "List the audit log, newest first", 0, false, handle((*Server).listAudit)},
		{"verify-audit", post, "/audit/verify", access.SeeAudit, "Check that the audit log is unbroken", 0, true, handle((*Server).verifyAudit)},

		{"list-admins", get, "/admins", access.EditAdmins, "List administrators", 0, false, handle((*Server).listAdmins)},
		{"create-admin", post, "/admins", access.EditAdmins, "Add an administrator", created, false, handle((*Server).createAdmin)},
		{"show-admin", get, "/admins/{id}", access.EditAdmins, "Show an administrator", 0, false, handle((*Server).showAdmin)},
		{"update-admin", patch, "/admins/{id}", access.EditAdmins, "Change an administrator", 0, false, handle((*Server).updateAdmin)},
		{"delete-admin", remove, "/admins/{id}", access.EditAdmins, "Delete an administrator", 0, false, handle((*Server).deleteAdmin)},
		{"set-admin-password", post, "/admins/{id}/password", access.EditAdmins, "Set an administrator's password", 0, false, handle((*Server).setPassword)},
		{"create-admin-link", post, "/admins/{id}/link", access.EditAdmins, "Make a link that signs an administrator in once", created, false, handle((*Server).createLink)},

		{"list-tokens", get, "/tokens", access.EditAdmins, "List API tokens", 0, false, handle((*Server).listTokens)},
		{"create-token", post, "/tokens", access.EditAdmins, "Make an API token; its text is answered once", created, false, handle((*Server).createToken)},
		{"show-token", get, "/tokens/{id}", access.EditAdmins, "Show an API token", 0, false, handle((*Server).showToken)},
		{"delete-token", remove, "/tokens/{id}", access.EditAdmins, "Revoke an API token", 0, false, handle((*Server).deleteToken)},

		{"show-master-key", get, "/master-key", access.EditAdmins, "Tell how far a rotation of the master key is", 0, true, handle((*Server).showMasterKey)},
		{"rotate-master-key", post, "/master-key/rotate", access.EditAdmins, "Replace the master key while the servers work", accepted, false, handle((*Server).rotateMasterKey)},
		{"drop-master-key", post, "/master-key/drop", access.EditAdmins, "Forget the former master key", 0, true, handle((*Server).dropMasterKey)},

		{"show-me", get, "/me", "", "Tell who the caller is", 0, false, handle((*Server).me)},
		{"show-status", get, "/status", access.See, "Tell version, counts and health", 0, false, handle((*Server).showStatus)},
		{"examine", post, "/doctor", access.EditAuthorities, "Look for what could fail, with what to do about it", 0, true, handle((*Server).examine)},
	}
}
