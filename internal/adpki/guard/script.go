package guard

import (
	"fmt"
	"strings"
	"unicode"

	"chancery/internal/adpki"
)

// The scripts name objects by GUID and people by SID. Text of the directory is
// in comments only, and what an administrator typed in quotes.

// comment is one line; whatever could end it is replaced.
func comment(format string, args ...any) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	return "# " + text + "\n"
}

// quote makes a PowerShell string without expansion. PowerShell takes the
// typographic quotation marks for the plain one.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range text {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		} else if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// openObject binds an object of the directory by its GUID and asks for its
// owner and access list only.
func openObject(guid string) string {
	return fmt.Sprintf("$object = [ADSI]%s\n$object.Options.SecurityMasks = 'Owner, Dacl'\n", quote("LDAP://<GUID="+guid+">"))
}

const commitObject = "$object.CommitChanges()\n"

// enrollRights are the functions that change who may enrol. They look before
// they add, so that running a script twice changes nothing more.
const enrollRights = `$enroll = [Guid]'` + adpki.RightEnroll + `'
$autoEnroll = [Guid]'` + adpki.RightAutoEnroll + `'
$extended = [System.DirectoryServices.ActiveDirectoryRights]'ExtendedRight'
$rules = { $object.ObjectSecurity.GetAccessRules($true, $false, [System.Security.Principal.SecurityIdentifier]) }
function Remove-Enroll($sid) {
  foreach ($rule in (& $rules)) {
    if ($rule.IdentityReference.Value -ne $sid -or $rule.AccessControlType -ne 'Allow') { continue }
    if (-not ($rule.ActiveDirectoryRights -band $extended)) { continue }
    if ($rule.ObjectType -in $enroll, $autoEnroll, [Guid]::Empty) { [void]$object.ObjectSecurity.RemoveAccessRuleSpecific($rule) }
  }
}
function Add-Enroll($sid) {
  $have = (& $rules) | Where-Object { $_.IdentityReference.Value -eq $sid -and $_.AccessControlType -eq 'Allow' -and $_.ObjectType -eq $enroll -and ($_.ActiveDirectoryRights -band $extended) }
  if ($have) { return }
  $who = [System.Security.Principal.SecurityIdentifier]$sid
  $object.ObjectSecurity.AddAccessRule((New-Object System.DirectoryServices.ActiveDirectoryAccessRule($who, 'GenericRead', 'Allow')))
  $object.ObjectSecurity.AddAccessRule((New-Object System.DirectoryServices.ActiveDirectoryAccessRule($who, 'ExtendedRight', 'Allow', $enroll)))
}
`

// registry changes one value of the authority and starts it again.
func registry(a Authority, value, change string) string {
	return comment("On the authority %s, as its administrator.", a.Name) +
		fmt.Sprintf("certutil -setreg %s %s\nRestart-Service certsvc\n", quote(value), quote(change))
}

// authorityRights changes the authority's own access list, where the snap-in
// keeps it: it gives rights to some and takes all but Read and Request from
// others. AddAccess and RemoveAccess leave no doubles.
func authorityRights(a Authority, give []grant, from []adpki.Principal) string {
	var b strings.Builder
	b.WriteString(comment("On the authority %s, as its administrator.", a.Name))
	b.WriteString(`$configuration = 'HKLM:\SYSTEM\CurrentControlSet\Services\CertSvc\Configuration'
$active = Join-Path $configuration (Get-ItemProperty $configuration).Active
$security = New-Object System.Security.AccessControl.CommonSecurityDescriptor($false, $false, (Get-ItemProperty $active).Security, 0)
$list = $security.DiscretionaryAcl
`)
	for _, p := range from {
		b.WriteString(comment("%s", p.Name))
		fmt.Fprintf(&b, "[void]$list.RemoveAccess('Allow', %s, %d, 'None', 'None')\n", quote(p.SID), adpki.ManageAuthority|adpki.ManageCertificates)
	}
	for _, g := range give {
		b.WriteString(comment("%s", g.to.Name))
		fmt.Fprintf(&b, "$list.AddAccess('Allow', %s, %d, 'None', 'None')\n", quote(g.to.SID), g.rights)
	}
	b.WriteString(`$bytes = New-Object byte[] $security.BinaryLength
$security.GetBinaryForm($bytes, 0)
Set-ItemProperty $active -Name Security -Value $bytes
Restart-Service certsvc
`)
	return b.String()
}

// grant is rights on the authority for somebody.
type grant struct {
	to     adpki.Principal
	rights uint32
}
